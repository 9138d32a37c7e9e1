//! FileState: what tells whether a file on disk is still the indexed one.

use duckdb::Row;

use super::reader::Catalog;
use super::rows::hash;
use crate::base::error::Result;
use crate::corpus::source::{Entry, FileIdentity, SourceFile};

/// The state in which a file was indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileState {
    pub path: String,
    pub size_bytes: u64,
    /// Nanoseconds since 1970.
    pub modified_ns: i64,
    /// BLAKE3 of the bytes.
    pub hash: [u8; 32],
    /// When the file was read, seconds since 1970.
    pub indexed_at_s: i64,
    pub identity: FileIdentity,
    /// The attributes that git had for it.
    pub marks: String,
}

const NS_PER_S: i64 = 1_000_000_000;

impl FileState {
    /// Whether a file on disk has the same size, times, inode and attributes, so that it need not be
    /// read. A file that was written in the second in which it was read may have been written again
    /// within one tick of the file system's clock, so it is not the same.
    pub fn is(&self, entry: &Entry) -> bool {
        let read_ns = self.indexed_at_s.saturating_mul(NS_PER_S);
        self.size_bytes == entry.size_bytes
            && self.modified_ns == entry.modified_ns
            && self.identity == entry.identity
            && self.marks == entry.marks.to_string()
            && entry.modified_ns < read_ns
            && entry.identity.changed_ns < read_ns
    }

    /// Whether the content and the attributes are the same.
    pub fn holds(&self, file: &SourceFile) -> bool {
        self.hash == file.hash && self.marks == file.marks.to_string()
    }
}

impl Catalog {
    /// The states of all files, in any order.
    pub fn file_states(&self) -> Result<Vec<FileState>> {
        let sql = format!(
            "select path, size_bytes, modified_ns, hash, indexed_at_s, inode, changed_ns, marks from {}",
            self.files_table
        );
        self.query(&sql, [], |row: &Row<'_>| {
            Ok(FileState {
                path: row.get(0)?,
                size_bytes: row.get(1)?,
                modified_ns: row.get(2)?,
                hash: hash(row, 3)?,
                indexed_at_s: row.get(4)?,
                identity: FileIdentity { inode: row.get(5)?, changed_ns: row.get(6)? },
                marks: row.get(7)?,
            })
        })
    }
}
