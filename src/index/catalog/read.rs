//! What does a published catalog hold?

use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use duckdb::{Connection, Params, Row, params};

use super::fault::{OnFile, While, corrupt};
use super::pool::Pool;
use super::rows::{
    ChunkRow, FileRow, FileSpan, RefRow, RunRow, SymbolName, SymbolRow, VersionRow, hash,
};
use super::schema;
use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkId, ChunkSet};

/// One published catalog, read-only and shared by all threads.
///
/// Any number of these, in any number of processes, read one file at once. Not legal: a writer on
/// the same file meanwhile; it is refused with `IndexLocked`.
pub struct Catalog {
    pub(super) pool: Pool,
    /// One more than the highest chunk id ever given.
    universe: u32,
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
    /// Opens a published catalog; one that is missing, cut short, of another schema or no catalog
    /// at all is `IndexCorrupt`.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(corrupt(path, "the file is missing"));
        }
        let pool = Pool::open(path)?;
        let universe = pool.with(|conn| {
            schema::check_length(conn, path)?;
            schema::check(conn, path)
        })?;
        Ok(Self { pool, universe, spans: OnceLock::new() })
    }

    pub fn path(&self) -> &Path {
        self.pool.path()
    }

    /// The number of chunk ids ever given, holes included: the rows of every index of the version.
    pub fn universe(&self) -> usize {
        self.universe as usize
    }

    /// Every file, by path.
    pub fn files(&self) -> Result<Vec<FileRow>> {
        self.all(&format!("select {} from files order by path", FileRow::COLUMNS), FileRow::read)
    }

    pub fn file(&self, path: &str) -> Result<Option<FileRow>> {
        let sql = format!("select {} from files where path = ?", FileRow::COLUMNS);
        Ok(self.query(&sql, [path], FileRow::read)?.pop())
    }

    /// The light form of [`Catalog::files`], in the order of the chunks; read once and kept.
    pub fn file_spans(&self) -> Result<&[FileSpan]> {
        if let Some(spans) = self.spans.get() {
            return Ok(spans);
        }
        let columns = FileSpan::COLUMNS;
        let sql = format!("select {columns} from files order by first_chunk, path");
        let spans = self.all(&sql, FileSpan::read)?;
        if let Some(span) = spans.iter().find(|span| span.end() > self.universe) {
            let (path, end, universe) = (&span.path, span.end(), self.universe);
            let detail = format!("{path} ends at chunk {end}, but there are only {universe}");
            return Err(corrupt(self.path(), detail));
        }
        Ok(self.spans.get_or_init(|| spans))
    }

    /// The chunks of a file, ascending; none when the file is not in the catalog.
    pub fn chunk_ids_of(&self, path: &str) -> Result<Vec<ChunkId>> {
        let span = self.file_spans()?.iter().find(|span| span.path == path);
        Ok(span.map(|span| span.ids().map(ChunkId).collect()).unwrap_or_default())
    }

    /// Every chunk that is not deleted.
    pub fn live(&self) -> Result<ChunkSet> {
        let mut set = ChunkSet::none(self.universe());
        for id in self.file_spans()?.iter().flat_map(FileSpan::ids) {
            set.insert(ChunkId(id));
        }
        Ok(set)
    }

    /// Name, kind and chunk of every definition, in the order of the chunks.
    pub fn symbols(&self) -> Result<Vec<SymbolName>> {
        let columns = SymbolName::COLUMNS;
        let sql = format!("select {columns} from symbols order by chunk_id, rowid");
        self.all(&sql, SymbolName::read)
    }

    /// The definitions that start in these chunks, in the order of the chunks' ids.
    ///
    /// ids: any number, in any order.
    pub fn symbols_of(&self, ids: &[ChunkId]) -> Result<Vec<SymbolRow>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        // A join, because readers run long lists slowly (see the settings of the pool); planned
        // afresh, and numbers cannot be misread as SQL.
        let list: Vec<String> = ids.iter().map(|id| format!("({})", id.0)).collect();
        let (columns, list) = (SymbolRow::COLUMNS, list.join(","));
        let sql = format!(
            "select {columns} from symbols semi join (values {list}) wanted(id) \
             on chunk_id = wanted.id order by chunk_id, start_line, start_col, symbols.rowid"
        );
        self.all(&sql, SymbolRow::read)
    }

    /// The definitions of exactly this name.
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

    /// The first `limit` places that use this name, in the order of the chunks.
    pub fn references(&self, name: &str, limit: usize) -> Result<Vec<RefRow>> {
        let columns = RefRow::COLUMNS;
        let sql = format!(
            "select {columns} from symbol_refs where name = ? order by chunk_id, line limit ?"
        );
        self.query(&sql, params![name, limit as u64], RefRow::read)
    }

    /// The chunks in a range of ids that are not deleted, ascending; a compaction reads with it.
    pub fn rows_in(&self, ids: Range<u32>) -> Result<Vec<ChunkRow>> {
        let columns = ChunkRow::COLUMNS;
        let sql = format!("select {columns} from chunks where id >= ? and id < ? order by id");
        self.query(&sql, params![ids.start, ids.end], ChunkRow::read)
    }

    /// The references in a range of chunk ids, in the order of the chunks.
    pub fn references_in(&self, ids: Range<u32>) -> Result<Vec<RefRow>> {
        let columns = RefRow::COLUMNS;
        let sql = format!(
            "select {columns} from symbol_refs where chunk_id >= ? and chunk_id < ? \
             order by chunk_id, rowid"
        );
        self.query(&sql, params![ids.start, ids.end], RefRow::read)
    }

    /// Id and content hash of the chunks in a range that are not deleted, ascending.
    pub fn chunk_hashes(&self, ids: Range<u32>) -> Result<Vec<(ChunkId, [u8; 32])>> {
        let sql = "select id, hash from chunks where id >= ? and id < ? order by id";
        let read = |row: &Row<'_>| Ok((ChunkId(row.get(0)?), hash(row, 1)?));
        self.query(sql, params![ids.start, ids.end], read)
    }

    pub fn counts(&self) -> Result<Counts> {
        Ok(self.all(Counts::SQL, Counts::read)?.pop().unwrap_or_default())
    }

    /// The version of DuckDB that is linked.
    pub fn library_version() -> Result<String> {
        let version = duckdb::Connection::open_in_memory().and_then(|conn| conn.version());
        version.map_err(Error::library("DuckDB", "say its version"))
    }

    /// Languages, the one with most chunks first.
    pub fn languages(&self) -> Result<Vec<LanguageCount>> {
        let sql = "select language, count(*)::ubigint, sum(chunk_count)::ubigint as chunks \
                   from files group by language order by chunks desc, language";
        self.all(sql, |row| {
            Ok(LanguageCount { language: row.get(0)?, files: row.get(1)?, chunks: row.get(2)? })
        })
    }

    /// The latest `limit` runs, the latest first.
    pub fn runs(&self, limit: usize) -> Result<Vec<RunRow>> {
        let columns = RunRow::COLUMNS;
        let sql =
            format!("select {columns} from runs order by started_at_ms desc, rowid desc limit ?");
        self.query(&sql, [limit as u64], RunRow::read)
    }

    /// The versions that led to this one, the latest first.
    pub fn versions(&self) -> Result<Vec<VersionRow>> {
        let columns = VersionRow::COLUMNS;
        self.all(
            &format!("select {columns} from versions order by created_at_s desc, rowid desc"),
            VersionRow::read,
        )
    }

    fn all<T>(&self, sql: &str, read: fn(&Row<'_>) -> duckdb::Result<T>) -> Result<Vec<T>> {
        self.query(sql, [], read)
    }

    fn query<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> duckdb::Result<T>,
    ) -> Result<Vec<T>> {
        let run = |conn: &Connection| -> duckdb::Result<Vec<T>> {
            conn.prepare(sql)?.query_map(params, read)?.collect()
        };
        self.pool.with(|conn| run(conn).on(While::Reading, self.path()))
    }
}

impl FileSpan {
    /// One more than its last chunk id, as far as a number can go.
    pub(super) fn end(&self) -> u32 {
        self.first_chunk.0.saturating_add(self.chunk_count)
    }

    pub(super) fn ids(&self) -> Range<u32> {
        self.first_chunk.0..self.end()
    }
}
