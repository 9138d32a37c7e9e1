//! CatalogWriter: writes a catalog in one transaction.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use duckdb::{Appender, Connection, params, params_from_iter};

use super::duckdb_error::write_error;
use super::occurrences::OccurrenceRow;
use super::reader::Counts;
use super::rows::{ChunkRow, FileRow, FileRows, RefRow, SymbolName, SymbolRow};
use super::{pool, schema};
use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;

/// Bytes of rows that are collected before they go to DuckDB together: an appender per file would cost
/// more than its rows.
const PENDING_BYTES_MAX: usize = 8 << 20;

/// Files deleted by one statement, which reads the paths of all chunks once.
const DELETE_BATCH: usize = 1000;

/// Writes a catalog that is not published yet.
///
/// Everything after [`CatalogWriter::create`] or [`CatalogWriter::open`] is one transaction, which
/// [`CatalogWriter::finish`] commits. If it is dropped or killed before that, the file stays as it was.
/// It must not write a published file. A second writer of one file is refused with `IndexLocked`.
pub struct CatalogWriter {
    pub(super) path: PathBuf,
    pub(super) conn: Connection,
    pending: Pending,
    pub(super) known: HashSet<String>,
    /// One more than the highest chunk id ever assigned.
    universe: u32,
}

#[derive(Default)]
struct Pending {
    files: Vec<FileRow>,
    chunks: Vec<ChunkRow>,
    symbols: Vec<SymbolRow>,
    references: Vec<RefRow>,
    occurrences: Vec<OccurrenceRow>,
    bytes: usize,
}

impl CatalogWriter {
    /// Creates an empty catalog. An existing file is an error.
    pub fn create(path: &Path) -> Result<Self> {
        if path.exists() {
            return Err(Error::io("create", path, io::ErrorKind::AlreadyExists.into()));
        }
        let conn = pool::open_writer(path)?;
        schema::create(&conn, path)?;
        Self::start(path, conn)
    }

    /// Opens a copy of a catalog to change it.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(Error::io("open", path, io::ErrorKind::NotFound.into()));
        }
        let conn = pool::open_writer(path)?;
        Self::start(path, conn)
    }

    fn start(path: &Path, conn: Connection) -> Result<Self> {
        let universe = schema::check(&conn, path)?;
        let known = paths(&conn).map_err(write_error(path))?;
        conn.execute_batch("begin").map_err(write_error(path))?;
        schema::upgrade(&conn).map_err(write_error(path))?;
        let (path, pending) = (path.to_path_buf(), Pending::default());
        Ok(Self { path, conn, pending, known, universe })
    }

    /// The id that the first chunk of the next file must have.
    pub fn next_chunk(&self) -> ChunkId {
        ChunkId(self.universe)
    }

    /// Adds a file with everything in it. Its path must not be in the catalog (delete it first), and its
    /// chunks must be numbered from [`CatalogWriter::next_chunk`] without a gap.
    pub fn append_file(&mut self, rows: FileRows) -> Result<()> {
        self.check(&rows)?;
        self.universe += rows.file.chunk_count;
        self.known.insert(rows.file.path.clone());
        self.pending.add(rows);
        if self.pending.bytes >= PENDING_BYTES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Removes files with everything in them and returns the ids of their chunks, ascending. These ids
    /// are not assigned again. Paths that are not in the catalog are ignored.
    ///
    /// paths: any number, as in [`FileRow::path`].
    pub fn delete_files(&mut self, paths: &[String]) -> Result<Vec<ChunkId>> {
        self.flush()?;
        let present: Vec<&String> = paths.iter().filter(|path| self.known.remove(*path)).collect();
        let mut removed = Vec::new();
        for batch in present.chunks(DELETE_BATCH) {
            removed.extend(delete(&self.conn, batch).map_err(write_error(&self.path))?);
        }
        removed.sort_unstable();
        Ok(removed)
    }

    /// Name, kind and chunk of all definitions written so far, in the order of the chunks.
    pub fn symbols(&mut self) -> Result<Vec<SymbolName>> {
        self.flush()?;
        let read = || -> duckdb::Result<Vec<SymbolName>> {
            self.conn.prepare(SymbolName::SQL)?.query_map([], SymbolName::read)?.collect()
        };
        read().map_err(write_error(&self.path))
    }

    /// How many rows the catalog will have.
    pub fn counts(&mut self) -> Result<Counts> {
        self.flush()?;
        self.conn.query_row(Counts::SQL, [], Counts::read).map_err(write_error(&self.path))
    }

    /// Commits, writes everything into one file and closes it.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        let universe = self.universe.to_string();
        self.insert("update meta set value = ? where key = 'universe'", params![universe])?;
        self.conn.execute_batch("commit; checkpoint").map_err(write_error(&self.path))?;
        self.conn.close().map_err(|(_, error)| error).map_err(write_error(&self.path))?;
        let spill = pool::spill_folder(&self.path);
        match std::fs::remove_dir_all(&spill) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &spill, source))
            }
            _ => Ok(()),
        }
    }

    fn insert(&self, sql: &str, row: &[&dyn duckdb::ToSql]) -> Result<()> {
        self.conn.execute(sql, row).map_err(write_error(&self.path))?;
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        pending.write(&self.conn).map_err(write_error(&self.path))
    }

    /// The ingest that numbers the chunks is ours, so a wrong number is a bug.
    fn check(&self, rows: &FileRows) -> Result<()> {
        let FileRows { file, chunks, symbols, references, occurrences } = rows;
        let first = self.universe;
        let Some(end) = first.checked_add(file.chunk_count) else {
            return Err(bug(file, format!("chunk ids end at {}", u32::MAX)));
        };
        if self.known.contains(&file.path) {
            return Err(bug(file, "it is already in the catalog".to_owned()));
        }
        if file.first_chunk.0 != first || file.chunk_count as usize != chunks.len() {
            let (claimed, from) = (file.chunk_count, file.first_chunk.0);
            let found = chunks.len();
            let detail =
                format!("{found} chunks from {first} expected, not {claimed} chunks from {from}");
            return Err(bug(file, detail));
        }
        let wrong = (first..).zip(chunks).find(|(id, c)| c.id.0 != *id || c.path != file.path);
        if let Some((id, chunk)) = wrong {
            return Err(bug(file, format!("chunk {} of {} as {id}", chunk.id.0, chunk.path)));
        }
        let used = symbols.iter().map(|s| s.chunk).chain(references.iter().map(|r| r.chunk));
        let used = used.chain(occurrences.iter().map(|o| o.chunk));
        match used.into_iter().find(|chunk| !(first..end).contains(&chunk.0)) {
            Some(chunk) => Err(bug(file, format!("a symbol in chunk {} of another", chunk.0))),
            None => Ok(()),
        }
    }
}

fn bug(file: &FileRow, detail: String) -> Error {
    Error::Internal { what: "catalog", detail: format!("{}: {detail}", file.path) }
}

impl Pending {
    fn add(&mut self, rows: FileRows) {
        let text = |c: &ChunkRow| c.text.len() + c.header.len() + size_of::<ChunkRow>();
        self.bytes += rows.chunks.iter().map(text).sum::<usize>()
            + size_of::<FileRow>()
            + size_of_val(rows.symbols.as_slice())
            + size_of_val(rows.references.as_slice())
            + rows.occurrences.iter().map(|o| o.symbol.len() + size_of_val(o)).sum::<usize>();
        self.files.push(rows.file);
        self.chunks.extend(rows.chunks);
        self.symbols.extend(rows.symbols);
        self.references.extend(rows.references);
        self.occurrences.extend(rows.occurrences);
    }

    fn write(&self, conn: &Connection) -> duckdb::Result<()> {
        append(conn, "files", &self.files, FileRow::append)?;
        append(conn, "chunks", &self.chunks, ChunkRow::append)?;
        append(conn, "symbols", &self.symbols, SymbolRow::append)?;
        append(conn, "symbol_refs", &self.references, RefRow::append)?;
        append(conn, "occurrences", &self.occurrences, OccurrenceRow::append)
    }
}

pub(super) fn append<R>(
    conn: &Connection,
    table: &str,
    rows: &[R],
    one: impl Fn(&R, &mut Appender<'_>) -> duckdb::Result<()>,
) -> duckdb::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut appender = conn.appender(table)?;
    rows.iter().try_for_each(|row| one(row, &mut appender))?;
    appender.flush()
}

fn paths(conn: &Connection) -> duckdb::Result<HashSet<String>> {
    conn.prepare("select path from files")?.query_map([], |row| row.get(0))?.collect()
}

/// Removes the files of `batch` and returns the ids of their chunks.
///
/// Without a temporary table and cached statements, because DuckDB 1.5.6 loses rows of a prepared join
/// with a temporary table that is filled again.
fn delete(conn: &Connection, batch: &[&String]) -> duckdb::Result<Vec<ChunkId>> {
    let marks = vec!["?"; batch.len()].join(",");
    let of_paths = format!("select id from chunks where path in ({marks})");
    let ids = conn
        .prepare(&of_paths)?
        .query_map(params_from_iter(batch), |row| Ok(ChunkId(row.get(0)?)))?
        .collect::<duckdb::Result<Vec<_>>>()?;
    for sql in [
        format!("delete from symbol_refs where chunk_id in ({of_paths})"),
        format!("delete from occurrences where chunk_id in ({of_paths})"),
        format!("delete from symbols where path in ({marks})"),
        format!("delete from chunks where path in ({marks})"),
        format!("delete from files where path in ({marks})"),
    ] {
        conn.execute(&sql, params_from_iter(batch))?;
    }
    Ok(ids)
}
