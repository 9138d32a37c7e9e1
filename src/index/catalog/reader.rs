//! Catalog: reads the rows of a published catalog.

use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use duckdb::{Connection, Params, Row, params};

use super::duckdb_error::read_error;
use super::file_span::FileSpan;
use super::occurrences;
use super::pool::Pool;
use super::rows::{ChunkRow, FileRow, RefRow, SymbolName, SymbolRow, hash};
use super::schema;
use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkId, ChunkSet};
use crate::corpus::source::Channels;
use crate::index::versions::file::corrupt;

/// One published catalog, read-only and shared by all threads.
///
/// Any number of these, in any number of processes, can read one file at once. A writer on the same
/// file meanwhile is refused with `IndexLocked`.
pub struct Catalog {
    pub(super) pool: Pool,
    /// One more than the highest chunk id ever assigned.
    universe: u32,
    pub(super) has_occurrences: bool,
    /// As [`schema::files_table`].
    pub(super) files_table: String,
    spans: OnceLock<Vec<FileSpan>>,
}

/// How many rows a catalog holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub files: u64,
    pub chunks: u64,
    pub symbols: u64,
    pub references: u64,
    /// Bytes of the indexed files.
    pub source_bytes: u64,
}

/// How much of a catalog is in one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanguageCount {
    pub language: String,
    pub files: u64,
    pub chunks: u64,
}

impl Counts {
    pub(super) const SQL: &str = "select (select count(*) from files), \
        (select count(*) from chunks), (select count(*) from symbols), \
        (select count(*) from symbol_refs), \
        (select coalesce(sum(size_bytes), 0)::ubigint from files)";

    pub(super) fn read(row: &Row<'_>) -> duckdb::Result<Self> {
        let count = |i| row.get::<usize, u64>(i);
        Ok(Self {
            files: count(0)?,
            chunks: count(1)?,
            symbols: count(2)?,
            references: count(3)?,
            source_bytes: count(4)?,
        })
    }
}

impl Catalog {
    /// Opens a published catalog. One that is missing, truncated, of an unknown schema or not a catalog
    /// is `IndexCorrupt`.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(corrupt(path, "the file is missing"));
        }
        let pool = Pool::open(path)?;
        pool.with(|conn| schema::check_length(conn, path))?;
        let universe = pool.with(|conn| schema::check(conn, path))?;
        let has_occurrences =
            pool.with(|conn| occurrences::exist(conn).map_err(read_error(path)))?;
        let files_table = pool.with(|conn| schema::files_table(conn, path))?;
        Ok(Self { pool, universe, has_occurrences, files_table, spans: OnceLock::new() })
    }

    pub fn path(&self) -> &Path {
        self.pool.path()
    }

    /// The number of chunk ids ever assigned, deleted ones included. Every index of the version has so
    /// many rows.
    pub fn universe(&self) -> usize {
        self.universe as usize
    }

    /// All files, ordered by path.
    pub fn files(&self) -> Result<Vec<FileRow>> {
        let (columns, table) = (FileRow::COLUMNS, &self.files_table);
        self.all(&format!("select {columns} from {table} order by path"), FileRow::read)
    }

    pub fn file(&self, path: &str) -> Result<Option<FileRow>> {
        let (columns, table) = (FileRow::COLUMNS, &self.files_table);
        let sql = format!("select {columns} from {table} where path = ?");
        Ok(self.query(&sql, [path], FileRow::read)?.pop())
    }

    /// The path, language and chunks of all files, in the order of the chunks. They are read once.
    pub fn file_spans(&self) -> Result<&[FileSpan]> {
        if let Some(spans) = self.spans.get() {
            return Ok(spans);
        }
        let (columns, table) = (FileSpan::COLUMNS, &self.files_table);
        let sql = format!("select {columns} from {table} order by first_chunk, path");
        let spans = self.all(&sql, FileSpan::read)?;
        if let Some(span) = spans.iter().find(|span| span.end() > self.universe) {
            let (path, end, universe) = (&span.path, span.end(), self.universe);
            let detail = format!("{path} ends at chunk {end}, but there are only {universe}");
            return Err(corrupt(self.path(), detail));
        }
        Ok(self.spans.get_or_init(|| spans))
    }

    /// The file that holds chunk `id`; `None` if the chunk is deleted.
    pub fn file_of(&self, id: ChunkId) -> Result<Option<&FileSpan>> {
        let spans = self.file_spans()?;
        let after = spans.partition_point(|span| span.first_chunk <= id);
        let before = spans[..after].iter().rev().find(|span| span.chunk_count > 0);
        Ok(before.filter(|span| id.0 < span.end()))
    }

    /// Every chunk that is not deleted.
    pub fn live(&self) -> Result<ChunkSet> {
        let mut set = ChunkSet::none(self.universe());
        for id in self.file_spans()?.iter().flat_map(FileSpan::ids) {
            set.insert(ChunkId(id));
        }
        Ok(set)
    }

    /// Every chunk that is not deleted and has a vector.
    pub fn with_vectors(&self) -> Result<ChunkSet> {
        let mut set = ChunkSet::none(self.universe());
        let spans = self.file_spans()?.iter().filter(|span| span.channels == Channels::Every);
        spans.flat_map(FileSpan::ids).for_each(|id| set.insert(ChunkId(id)));
        Ok(set)
    }

    /// Name, kind and chunk of all definitions, in the order of the chunks.
    pub fn symbols(&self) -> Result<Vec<SymbolName>> {
        self.all(SymbolName::SQL, SymbolName::read)
    }

    /// The definitions that start in these chunks, in the order of the chunk ids.
    ///
    /// ids: any number, in any order.
    pub fn symbols_of(&self, ids: &[ChunkId]) -> Result<Vec<SymbolRow>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        // A join, because readers run long lists slowly (see the settings of the pool).
        let list: Vec<String> = ids.iter().map(|id| format!("({})", id.0)).collect();
        let (columns, list) = (SymbolRow::COLUMNS, list.join(","));
        let sql = format!(
            "select {columns} from symbols semi join (values {list}) wanted(id) \
             on chunk_id = wanted.id order by chunk_id, start_line, start_col, symbols.rowid"
        );
        self.all(&sql, SymbolRow::read)
    }

    /// The definitions with exactly this name.
    pub fn symbols_named(&self, name: &str) -> Result<Vec<SymbolRow>> {
        let columns = SymbolRow::COLUMNS;
        let sql = format!(
            "select {columns} from symbols where name = ? order by chunk_id, start_line, start_col"
        );
        self.query(&sql, [name], SymbolRow::read)
    }

    /// The definitions in a file, from top to bottom.
    pub fn symbols_in(&self, path: &str) -> Result<Vec<SymbolRow>> {
        let columns = SymbolRow::COLUMNS;
        let sql = format!(
            "select {columns} from symbols where path = ? order by start_line, start_col, rowid"
        );
        self.query(&sql, [path], SymbolRow::read)
    }

    /// The first `limit` uses of this name, in the order of the chunks.
    pub fn references(&self, name: &str, limit: usize) -> Result<Vec<RefRow>> {
        let columns = RefRow::COLUMNS;
        let sql = format!(
            "select {columns} from symbol_refs where name = ? order by chunk_id, line limit ?"
        );
        self.query(&sql, params![name, limit as u64], RefRow::read)
    }

    /// The chunk that has this line of the file with these chunks; `None` if the file has no such line.
    pub fn chunk_at(&self, chunks: Range<u32>, line: u32) -> Result<Option<ChunkId>> {
        let sql =
            "select id from chunks where id >= ? and id < ? and ? between start_line and end_line";
        let params = params![chunks.start, chunks.end, line];
        Ok(self.query(sql, params, |row| row.get(0).map(ChunkId))?.pop())
    }

    /// The chunks in a range of ids that are not deleted, ascending.
    pub fn rows_in(&self, ids: Range<u32>) -> Result<Vec<ChunkRow>> {
        let columns = ChunkRow::COLUMNS;
        let sql = format!("select {columns} from chunks where id >= ? and id < ? order by id");
        self.query(&sql, params![ids.start, ids.end], ChunkRow::read)
    }

    /// Id and content hash of every chunk that is not deleted, ascending.
    pub fn chunk_hashes(&self) -> Result<Vec<(ChunkId, [u8; 32])>> {
        self.all("select id, hash from chunks order by id", |row| {
            Ok((ChunkId(row.get(0)?), hash(row, 1)?))
        })
    }

    pub fn counts(&self) -> Result<Counts> {
        Ok(self.all(Counts::SQL, Counts::read)?.pop().unwrap_or_default())
    }

    /// The version of DuckDB that is linked.
    pub fn library_version() -> Result<String> {
        let version = duckdb::Connection::open_in_memory().and_then(|conn| conn.version());
        version.map_err(Error::library("DuckDB", "say its version"))
    }

    /// Languages, those with most chunks first.
    pub fn languages(&self) -> Result<Vec<LanguageCount>> {
        let sql = "select language, count(*)::ubigint, sum(chunk_count)::ubigint as chunks \
                   from files group by language order by chunks desc, language";
        self.all(sql, |row| {
            Ok(LanguageCount { language: row.get(0)?, files: row.get(1)?, chunks: row.get(2)? })
        })
    }

    fn all<T>(&self, sql: &str, read: fn(&Row<'_>) -> duckdb::Result<T>) -> Result<Vec<T>> {
        self.query(sql, [], read)
    }

    pub(super) fn query<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> duckdb::Result<T>,
    ) -> Result<Vec<T>> {
        let run = |conn: &Connection| -> duckdb::Result<Vec<T>> {
            conn.prepare(sql)?.query_map(params, read)?.collect()
        };
        self.pool.with(|conn| run(conn).map_err(read_error(self.path())))
    }
}
