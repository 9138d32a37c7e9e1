//! FileSpan: where the chunks of a file are, and what a search needs to know of it.

use std::ops::Range;

use duckdb::Row;

use super::rows::word;
use crate::base::hit::ChunkId;
use crate::corpus::source::{Channels, FileKind};

/// The parts of a file that are needed often. Its chunks are `first_chunk .. first_chunk + chunk_count`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpan {
    pub path: String,
    pub language: String,
    pub size_bytes: u64,
    pub first_chunk: ChunkId,
    pub chunk_count: u32,
    /// When a commit last changed it, seconds since 1970.
    pub commit_time_s: Option<i64>,
    pub kind: FileKind,
    pub channels: Channels,
}

impl FileSpan {
    pub(super) const COLUMNS: &str =
        "path, language, size_bytes, first_chunk, chunk_count, commit_time_s, kind, channels";

    pub(super) fn read(row: &Row<'_>) -> duckdb::Result<Self> {
        Ok(Self {
            path: row.get(0)?,
            language: row.get(1)?,
            size_bytes: row.get(2)?,
            first_chunk: ChunkId(row.get(3)?),
            chunk_count: row.get(4)?,
            commit_time_s: row.get(5)?,
            kind: word(row, 6, FileKind::parse)?,
            channels: word(row, 7, Channels::parse)?,
        })
    }

    /// One more than its last chunk id, saturating.
    pub(super) fn end(&self) -> u32 {
        self.first_chunk.0.saturating_add(self.chunk_count)
    }

    pub(crate) fn ids(&self) -> Range<u32> {
        self.first_chunk.0..self.end()
    }
}
