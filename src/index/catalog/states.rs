//! FileState: what tells whether a file on disk is still the indexed one.

use duckdb::Row;

use super::reader::Catalog;
use super::rows::hash;
use crate::base::error::Result;

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
}

impl Catalog {
    /// The states of all files, in any order.
    pub fn file_states(&self) -> Result<Vec<FileState>> {
        let sql = "select path, size_bytes, modified_ns, hash, indexed_at_s from files";
        self.query(sql, [], |row: &Row<'_>| {
            Ok(FileState {
                path: row.get(0)?,
                size_bytes: row.get(1)?,
                modified_ns: row.get(2)?,
                hash: hash(row, 3)?,
                indexed_at_s: row.get(4)?,
            })
        })
    }
}
