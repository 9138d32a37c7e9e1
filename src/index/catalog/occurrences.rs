//! Occurrences: where `index.scip` says that symbols are defined and used.

use std::collections::HashSet;

use duckdb::{Connection, Row, params, params_from_iter};

use super::reader::Catalog;
use crate::base::error::Result;
use crate::base::hit::ChunkId;

/// The table, which catalogs of older releases do not have.
pub(super) const TABLE: &str = "
create table if not exists occurrences (
    symbol varchar not null, name varchar not null, chunk_id uinteger not null,
    line uinteger not null, start_col uinteger not null, end_col uinteger not null,
    is_definition boolean not null);
";

/// The most symbols whose occurrences are searched at once.
const SYMBOLS_MAX: usize = 256;

/// A definition or a use of a symbol. Its path is that of the chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OccurrenceRow {
    /// Identifies the symbol in all files.
    pub symbol: String,
    /// The name of the symbol where it is defined; empty for a local symbol.
    pub name: String,
    pub chunk: ChunkId,
    /// Counted from 1.
    pub line: u32,
    /// The first column, in characters from 0.
    pub start_col: u32,
    /// One more than the last column; equal to the first for a module, which is defined by a file.
    pub end_col: u32,
    pub is_definition: bool,
}

impl OccurrenceRow {
    const COLUMNS: &str = "symbol, name, chunk_id, line, start_col, end_col, is_definition";

    fn read(row: &Row<'_>) -> duckdb::Result<Self> {
        Ok(Self {
            symbol: row.get(0)?,
            name: row.get(1)?,
            chunk: ChunkId(row.get(2)?),
            line: row.get(3)?,
            start_col: row.get(4)?,
            end_col: row.get(5)?,
            is_definition: row.get(6)?,
        })
    }

    pub(super) fn append(&self, to: &mut duckdb::Appender<'_>) -> duckdb::Result<()> {
        to.append_row(params![
            self.symbol,
            self.name,
            self.chunk.0,
            self.line,
            self.start_col,
            self.end_col,
            self.is_definition,
        ])
    }
}

/// Whether the catalog has occurrences at all.
pub(super) fn exist(conn: &Connection) -> duckdb::Result<bool> {
    let tables =
        "select count(*) > 0 from information_schema.tables where table_name = 'occurrences'";
    let yes = |sql: &str| conn.query_row(sql, [], |row| row.get::<usize, bool>(0));
    Ok(yes(tables)? && yes("select count(*) > 0 from (select 1 from occurrences limit 1)")?)
}

impl Catalog {
    /// The symbols at a position in a file; those of the shortest range if ranges overlap. A position
    /// directly after a word counts if no other word is there.
    ///
    /// line: from 1. column: in characters from 0.
    pub fn symbols_at(&self, path: &str, line: u32, column: u32) -> Result<Vec<String>> {
        let Some(file) = self.file_with_occurrences(path)? else { return Ok(Vec::new()) };
        let columns = OccurrenceRow::COLUMNS;
        let sql = format!(
            "select {columns} from occurrences where chunk_id >= ? and chunk_id < ? and line = ? \
             and start_col <= ? and end_col >= ? and start_col < end_col \
             order by end_col = ?, end_col - start_col, symbol"
        );
        let at = params![file.start, file.end, line, column, column, column];
        let rows = self.query(&sql, at, OccurrenceRow::read)?;
        let range = rows.first().map(|row| (row.start_col, row.end_col));
        let nearest = rows.into_iter().filter(|row| Some((row.start_col, row.end_col)) == range);
        Ok(nearest.map(|row| row.symbol).collect())
    }

    /// The symbols with this name that are defined in the index, without local ones.
    pub fn scip_definitions(&self, name: &str) -> Result<Vec<OccurrenceRow>> {
        if !self.has_occurrences || name.is_empty() {
            return Ok(Vec::new());
        }
        let columns = OccurrenceRow::COLUMNS;
        let sql = format!(
            "select {columns} from occurrences where name = ? and is_definition \
             order by chunk_id, line, start_col limit {SYMBOLS_MAX}"
        );
        self.query(&sql, [name], OccurrenceRow::read)
    }

    /// The first `limit` definitions, or uses, of symbols, in the order of the chunks.
    ///
    /// symbols: at most 256 are searched.
    pub fn occurrences_of(
        &self,
        symbols: &[String],
        is_definition: bool,
        limit: usize,
    ) -> Result<Vec<OccurrenceRow>> {
        if !self.has_occurrences || symbols.is_empty() {
            return Ok(Vec::new());
        }
        let symbols = &symbols[..symbols.len().min(SYMBOLS_MAX)];
        let (columns, marks) = (OccurrenceRow::COLUMNS, vec!["(?)"; symbols.len()].join(","));
        let sql = format!(
            "select {columns} from occurrences semi join (values {marks}) wanted(symbol) \
             using (symbol) where is_definition = {is_definition} \
             order by chunk_id, line, start_col limit {limit}"
        );
        self.query(&sql, params_from_iter(symbols), OccurrenceRow::read)
    }

    /// The chunks that have occurrences.
    pub fn chunks_with_occurrences(&self) -> Result<HashSet<ChunkId>> {
        if !self.has_occurrences {
            return Ok(HashSet::new());
        }
        let sql = "select distinct chunk_id from occurrences";
        Ok(self.query(sql, [], |row| Ok(ChunkId(row.get(0)?)))?.into_iter().collect())
    }

    /// The chunks of a file, if the catalog has occurrences.
    fn file_with_occurrences(&self, path: &str) -> Result<Option<std::ops::Range<u32>>> {
        if !self.has_occurrences {
            return Ok(None);
        }
        Ok(self.file_spans()?.iter().find(|span| span.path == path).map(|span| span.ids()))
    }
}
