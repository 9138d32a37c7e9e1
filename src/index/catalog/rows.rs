//! The rows of each table.

use duckdb::{Error as DuckError, Row, params};

use super::occurrences::OccurrenceRow;
use crate::base::hit::ChunkId;
use crate::corpus::chunk::{SymbolKind, embedded_text};
use crate::corpus::source::{Channels, FileIdentity, FileKind};

type Appended = duckdb::Result<()>;
type Appender<'a> = duckdb::Appender<'a>;

/// A file as it was indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    pub path: String,
    /// The root that contains it.
    pub root: String,
    pub language: String,
    pub size_bytes: u64,
    pub modified_ns: i64,
    /// BLAKE3 of the bytes.
    pub hash: [u8; 32],
    pub lines: u32,
    /// Its chunks are `first_chunk .. first_chunk + chunk_count`.
    pub first_chunk: ChunkId,
    pub chunk_count: u32,
    /// The last commit that touched it, as hexadecimal digits.
    pub commit_id: Option<String>,
    pub commit_time_s: Option<i64>,
    pub author: Option<String>,
    pub indexed_at_s: i64,
    pub identity: FileIdentity,
    pub kind: FileKind,
    /// Chunks that are found by their words only have a vector of zeros.
    pub channels: Channels,
    /// What decided that; empty if the kind did.
    pub why: String,
    /// The attributes that git had for it.
    pub marks: String,
    /// `None` for UTF-8.
    pub encoding: Option<String>,
}

/// A chunk of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkRow {
    pub id: ChunkId,
    pub path: String,
    pub language: String,
    /// First line, from 1.
    pub start_line: u32,
    /// Last line, inclusive.
    pub end_line: u32,
    pub start_byte: u32,
    pub end_byte: u32,
    /// The header that is embedded before the text.
    pub header: String,
    /// The lines, without the header.
    pub text: String,
    /// Names of the enclosing symbols, outermost first.
    pub enclosing: Vec<String>,
    pub signature: Option<String>,
    pub doc: Option<String>,
    /// BLAKE3 of [`ChunkRow::embedded_text`].
    pub hash: [u8; 32],
    pub tokens: u32,
}

/// The parts of a chunk that an answer shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownChunk {
    pub id: ChunkId,
    pub path: String,
    pub language: String,
    /// First line, from 1.
    pub start_line: u32,
    /// Last line, inclusive.
    pub end_line: u32,
    /// The lines, without the header.
    pub text: String,
    /// Names of the enclosing symbols, outermost first.
    pub enclosing: Vec<String>,
    pub signature: Option<String>,
}

/// A file with everything in it.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRows {
    pub file: FileRow,
    /// `[file.chunk_count]`
    pub chunks: Vec<ChunkRow>,
    /// The definitions in these chunks.
    pub symbols: Vec<SymbolRow>,
    /// The references in these chunks.
    pub references: Vec<RefRow>,
    /// What `index.scip` says about these chunks.
    pub occurrences: Vec<OccurrenceRow>,
}

/// A definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolRow {
    pub name: String,
    pub qualified: String,
    pub kind: SymbolKind,
    pub signature: String,
    pub doc: Option<String>,
    pub path: String,
    pub start_line: u32,
    pub end_line: u32,
    pub start_col: u32,
    pub chunk: ChunkId,
}

/// The parts of a definition that the symbol index needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolName {
    pub name: String,
    pub qualified: String,
    pub kind: SymbolKind,
    pub chunk: ChunkId,
}

/// The use of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefRow {
    pub name: String,
    pub chunk: ChunkId,
    pub line: u32,
}

impl FileRow {
    pub(super) const COLUMNS: &str = "path, root, language, size_bytes, modified_ns, hash, lines, \
        first_chunk, chunk_count, commit_id, commit_time_s, author, indexed_at_s, inode, changed_ns, \
        kind, channels, why, marks, encoding";

    pub(super) fn read(row: &Row<'_>) -> duckdb::Result<Self> {
        Ok(Self {
            path: row.get(0)?,
            root: row.get(1)?,
            language: row.get(2)?,
            size_bytes: row.get(3)?,
            modified_ns: row.get(4)?,
            hash: hash(row, 5)?,
            lines: row.get(6)?,
            first_chunk: ChunkId(row.get(7)?),
            chunk_count: row.get(8)?,
            commit_id: row.get(9)?,
            commit_time_s: row.get(10)?,
            author: row.get(11)?,
            indexed_at_s: row.get(12)?,
            identity: FileIdentity { inode: row.get(13)?, changed_ns: row.get(14)? },
            kind: word(row, 15, FileKind::parse)?,
            channels: word(row, 16, Channels::parse)?,
            why: row.get(17)?,
            marks: row.get(18)?,
            encoding: row.get(19)?,
        })
    }

    pub(super) fn append(&self, to: &mut Appender<'_>) -> Appended {
        to.append_row(params![
            self.path,
            self.root,
            self.language,
            self.size_bytes,
            self.modified_ns,
            &self.hash[..],
            self.lines,
            self.first_chunk.0,
            self.chunk_count,
            self.commit_id,
            self.commit_time_s,
            self.author,
            self.indexed_at_s,
            self.identity.inode,
            self.identity.changed_ns,
            self.kind.as_str(),
            self.channels.as_str(),
            self.why,
            self.marks,
            self.encoding,
        ])
    }
}

impl ChunkRow {
    pub(super) const COLUMNS: &str = "id, path, language, start_line, end_line, start_byte, \
        end_byte, header, text, enclosing, signature, doc, hash, tokens";

    /// The text that the model embeds.
    pub fn embedded_text(&self) -> String {
        embedded_text(&self.header, &self.text)
    }

    pub(super) fn read(row: &Row<'_>) -> duckdb::Result<Self> {
        Ok(Self {
            id: ChunkId(row.get(0)?),
            path: row.get(1)?,
            language: row.get(2)?,
            start_line: row.get(3)?,
            end_line: row.get(4)?,
            start_byte: row.get(5)?,
            end_byte: row.get(6)?,
            header: row.get(7)?,
            text: row.get(8)?,
            enclosing: split_names(row.get_ref(9)?.as_str()?),
            signature: row.get(10)?,
            doc: row.get(11)?,
            hash: hash(row, 12)?,
            tokens: row.get(13)?,
        })
    }

    pub(super) fn append(&self, to: &mut Appender<'_>) -> Appended {
        to.append_row(params![
            self.id.0,
            self.path,
            self.language,
            self.start_line,
            self.end_line,
            self.start_byte,
            self.end_byte,
            self.header,
            self.text,
            join_names(&self.enclosing),
            self.signature,
            self.doc,
            &self.hash[..],
            self.tokens,
        ])
    }
}

impl ShownChunk {
    pub(super) const COLUMNS: &str = "id, start_line, end_line, text, enclosing, signature";

    /// Path and language are left empty: those of the file are known without reading them.
    pub(super) fn read(row: &Row<'_>) -> duckdb::Result<Self> {
        Ok(Self {
            id: ChunkId(row.get(0)?),
            path: String::new(),
            language: String::new(),
            start_line: row.get(1)?,
            end_line: row.get(2)?,
            text: row.get(3)?,
            enclosing: split_names(row.get_ref(4)?.as_str()?),
            signature: row.get(5)?,
        })
    }
}

impl SymbolRow {
    pub(super) const COLUMNS: &str = "name, qualified, kind, signature, doc, path, start_line, \
        end_line, start_col, chunk_id";

    pub(super) fn read(row: &Row<'_>) -> duckdb::Result<Self> {
        Ok(Self {
            name: row.get(0)?,
            qualified: row.get(1)?,
            kind: kind(row, 2)?,
            signature: row.get(3)?,
            doc: row.get(4)?,
            path: row.get(5)?,
            start_line: row.get(6)?,
            end_line: row.get(7)?,
            start_col: row.get(8)?,
            chunk: ChunkId(row.get(9)?),
        })
    }

    pub(super) fn append(&self, to: &mut Appender<'_>) -> Appended {
        to.append_row(params![
            self.name,
            self.qualified,
            self.kind.as_str(),
            self.signature,
            self.doc,
            self.path,
            self.start_line,
            self.end_line,
            self.start_col,
            self.chunk.0,
        ])
    }
}

impl SymbolName {
    /// All definitions, in the order of the chunks.
    pub(super) const SQL: &str =
        "select name, qualified, kind, chunk_id from symbols order by chunk_id, rowid";

    pub(super) fn read(row: &Row<'_>) -> duckdb::Result<Self> {
        Ok(Self {
            name: row.get(0)?,
            qualified: row.get(1)?,
            kind: kind(row, 2)?,
            chunk: ChunkId(row.get(3)?),
        })
    }
}

impl RefRow {
    pub(super) const COLUMNS: &str = "name, chunk_id, line";

    pub(super) fn read(row: &Row<'_>) -> duckdb::Result<Self> {
        Ok(Self { name: row.get(0)?, chunk: ChunkId(row.get(1)?), line: row.get(2)? })
    }

    pub(super) fn append(&self, to: &mut Appender<'_>) -> Appended {
        to.append_row(params![self.name, self.chunk.0, self.line])
    }
}

/// The kind of definition in column `i`.
fn kind(row: &Row<'_>, i: usize) -> duckdb::Result<SymbolKind> {
    word(row, i, SymbolKind::parse)
}

/// The value whose word is in column `i`.
pub(super) fn word<T>(
    row: &Row<'_>,
    i: usize,
    parse: impl Fn(&str) -> Option<T>,
) -> duckdb::Result<T> {
    let value = row.get_ref(i)?;
    let word = value.as_str()?;
    parse(word).ok_or_else(|| {
        let found = format!("{word:?} is a word of another release");
        DuckError::FromSqlConversionFailure(i, value.data_type(), found.into())
    })
}

/// The 32 bytes in column `i`.
pub(super) fn hash(row: &Row<'_>, i: usize) -> duckdb::Result<[u8; 32]> {
    let value = row.get_ref(i)?;
    let bytes = value.as_blob()?;
    bytes.try_into().map_err(|_| {
        let found = format!("a hash of {} bytes", bytes.len());
        DuckError::FromSqlConversionFailure(i, value.data_type(), found.into())
    })
}

/// Ends each name. `ESCAPE` precedes each `END` and `ESCAPE` inside a name.
const END: char = '\u{1f}';
const ESCAPE: char = '\u{1b}';

/// Joins a list of names into one text, because the appender cannot write lists.
fn join_names(names: &[String]) -> String {
    let mut text = String::new();
    for name in names {
        for c in name.chars() {
            if c == END || c == ESCAPE {
                text.push(ESCAPE);
            }
            text.push(c);
        }
        text.push(END);
    }
    text
}

fn split_names(text: &str) -> Vec<String> {
    let (mut names, mut name) = (Vec::new(), String::new());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ESCAPE => name.extend(chars.next()),
            END => names.push(std::mem::take(&mut name)),
            c => name.push(c),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_of_names_survives_whatever_the_names_hold(
            names in proptest::collection::vec("[ab\u{1b}\u{1f}\0é]{0,6}", 0..5)
        ) {
            prop_assert_eq!(split_names(&join_names(&names)), names);
        }
    }
}
