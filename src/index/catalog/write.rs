//! How does a difference get into a catalog, all of it or nothing?

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use duckdb::{Appender, Connection, params, params_from_iter};

use super::fault::{OnFile, While};
use super::read::Counts;
use super::rows::{ChunkRow, FileRow, RefRow, RunRow, SymbolRow, VersionRow};
use super::{pool, schema};
use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;

/// Bytes of rows kept until they go to DuckDB together: an appender for each file would cost more
/// than its rows.
const PENDING_BYTES_MAX: usize = 8 << 20;

/// Files deleted by one statement; each statement reads the paths of all chunks once.
const DELETE_BATCH: usize = 1000;

/// Writes one catalog that nobody reads yet.
///
/// Everything after [`CatalogWriter::create`] or [`CatalogWriter::open`] is one transaction, which
/// [`CatalogWriter::finish`] commits. Dropped or killed before that, it leaves the file as it was.
/// Not legal: writing a published file, or one file by two writers (`IndexLocked`).
pub struct CatalogWriter {
    path: PathBuf,
    conn: Connection,
    pending: Pending,
    known: HashSet<String>,
    /// One more than the highest chunk id ever given.
    universe: u32,
}

#[derive(Default)]
struct Pending {
    files: Vec<FileRow>,
    chunks: Vec<ChunkRow>,
    symbols: Vec<SymbolRow>,
    refs: Vec<RefRow>,
    bytes: usize,
}

impl CatalogWriter {
    /// Makes a new, empty catalog; a file that is already there is an error.
    pub fn create(path: &Path) -> Result<Self> {
        if path.exists() {
            return Err(Error::io("create", path, io::ErrorKind::AlreadyExists.into()));
        }
        let conn = pool::open_writer(path)?;
        schema::create(&conn, path)?;
        Self::start(path, conn)
    }

    /// Opens the copy of a catalog to change it.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(Error::io("open", path, io::ErrorKind::NotFound.into()));
        }
        let conn = pool::open_writer(path)?;
        Self::start(path, conn)
    }

    fn start(path: &Path, conn: Connection) -> Result<Self> {
        let universe = schema::check(&conn, path)?;
        let known = paths(&conn).on(While::Writing, path)?;
        conn.execute_batch("begin").on(While::Writing, path)?;
        schema::upgrade(&conn).on(While::Writing, path)?;
        let (path, pending) = (path.to_path_buf(), Pending::default());
        Ok(Self { path, conn, pending, known, universe })
    }

    /// The id that the first chunk of the next file must have.
    pub fn next_chunk(&self) -> ChunkId {
        ChunkId(self.universe)
    }

    /// Adds a file with everything in it. Its path must not be in the catalog (delete it first),
    /// and its chunks must be numbered from [`CatalogWriter::next_chunk`] without a gap.
    ///
    /// chunks: `[file.chunk_count]`; symbols, refs: any number, of these chunks.
    pub fn append_file(
        &mut self,
        file: &FileRow,
        chunks: &[ChunkRow],
        symbols: &[SymbolRow],
        refs: &[RefRow],
    ) -> Result<()> {
        self.check(file, chunks, symbols, refs)?;
        self.universe += file.chunk_count;
        self.known.insert(file.path.clone());
        self.pending.add(file, chunks, symbols, refs);
        if self.pending.bytes >= PENDING_BYTES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Removes files with everything in them and gives the ids of their chunks, ascending; those
    /// ids stay holes. Paths that are not in the catalog are passed over.
    ///
    /// paths: any number, as in [`FileRow::path`].
    pub fn delete_files(&mut self, paths: &[String]) -> Result<Vec<ChunkId>> {
        self.flush()?;
        let there: Vec<&String> = paths.iter().filter(|path| self.known.remove(*path)).collect();
        let mut removed = Vec::new();
        for batch in there.chunks(DELETE_BATCH) {
            removed.extend(delete(&self.conn, batch).on(While::Writing, &self.path)?);
        }
        removed.sort_unstable();
        Ok(removed)
    }

    /// How many rows the catalog will hold.
    pub fn counts(&mut self) -> Result<Counts> {
        self.flush()?;
        self.conn.query_row(Counts::SQL, [], Counts::read).on(While::Writing, &self.path)
    }

    pub fn record_run(&mut self, run: &RunRow) -> Result<()> {
        let row = params![
            run.run_id,
            run.started_at_ms,
            run.tool,
            run.duration_ms,
            run.status,
            run.report
        ];
        self.insert("insert into runs values (?, ?, ?, ?, ?, ?)", row)
    }

    pub fn record_version(&mut self, version: &VersionRow) -> Result<()> {
        let row = params![
            version.name,
            version.created_at_s,
            version.files,
            version.chunks,
            version.symbols,
            version.model
        ];
        self.insert("insert into versions values (?, ?, ?, ?, ?, ?)", row)
    }

    /// Commits, writes everything into the one file and closes it.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        let universe = self.universe.to_string();
        self.insert("update meta set value = ? where key = 'universe'", params![universe])?;
        self.conn.execute_batch("commit; checkpoint").on(While::Writing, &self.path)?;
        self.conn.close().map_err(|(_, error)| error).on(While::Writing, &self.path)?;
        let spill = pool::spill_folder(&self.path);
        match std::fs::remove_dir_all(&spill) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &spill, source))
            }
            _ => Ok(()),
        }
    }

    fn insert(&self, sql: &str, row: &[&dyn duckdb::ToSql]) -> Result<()> {
        self.conn.execute(sql, row).on(While::Writing, &self.path)?;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        pending.write(&self.conn).on(While::Writing, &self.path)
    }

    /// The journey that numbers the chunks is ours, so a wrong number is a bug, named with values.
    fn check(
        &self,
        file: &FileRow,
        chunks: &[ChunkRow],
        symbols: &[SymbolRow],
        refs: &[RefRow],
    ) -> Result<()> {
        let first = self.universe;
        let Some(end) = first.checked_add(file.chunk_count) else {
            return Err(bug(file, format!("chunk ids end at {}", u32::MAX)));
        };
        if self.known.contains(&file.path) {
            return Err(bug(file, "it is already in the catalog".to_owned()));
        }
        if file.first_chunk.0 != first || file.chunk_count as usize != chunks.len() {
            let (given, count) = (file.first_chunk.0, file.chunk_count);
            let found = chunks.len();
            let detail = format!("{found} chunks, said to be {count} from {given}, not {first}");
            return Err(bug(file, detail));
        }
        let wrong = (first..).zip(chunks).find(|(id, c)| c.id.0 != *id || c.path != file.path);
        if let Some((id, chunk)) = wrong {
            return Err(bug(file, format!("chunk {} of {} as {id}", chunk.id.0, chunk.path)));
        }
        let used = symbols.iter().map(|s| s.chunk).chain(refs.iter().map(|r| r.chunk));
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
    fn add(&mut self, file: &FileRow, chunks: &[ChunkRow], symbols: &[SymbolRow], refs: &[RefRow]) {
        self.files.push(file.clone());
        self.chunks.extend_from_slice(chunks);
        self.symbols.extend_from_slice(symbols);
        self.refs.extend_from_slice(refs);
        let text = |c: &ChunkRow| c.text.len() + c.header.len() + size_of::<ChunkRow>();
        self.bytes += chunks.iter().map(text).sum::<usize>()
            + size_of::<FileRow>()
            + size_of_val(symbols)
            + size_of_val(refs);
    }

    fn write(&self, conn: &Connection) -> duckdb::Result<()> {
        append(conn, "files", &self.files, FileRow::append)?;
        append(conn, "chunks", &self.chunks, ChunkRow::append)?;
        append(conn, "symbols", &self.symbols, SymbolRow::append)?;
        append(conn, "symbol_refs", &self.refs, RefRow::append)
    }
}

fn append<R>(
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

/// Removes the files of `batch` and gives the ids of their chunks.
///
/// No temporary table and no cached statement: DuckDB 1.5.6 loses rows of a prepared join against a
/// temporary table that is filled again.
fn delete(conn: &Connection, batch: &[&String]) -> duckdb::Result<Vec<ChunkId>> {
    let marks = vec!["?"; batch.len()].join(",");
    let of_paths = format!("select id from chunks where path in ({marks})");
    let ids = conn
        .prepare(&of_paths)?
        .query_map(params_from_iter(batch), |row| Ok(ChunkId(row.get(0)?)))?
        .collect::<duckdb::Result<Vec<_>>>()?;
    for sql in [
        format!("delete from symbol_refs where chunk_id in ({of_paths})"),
        format!("delete from symbols where path in ({marks})"),
        format!("delete from chunks where path in ({marks})"),
        format!("delete from files where path in ({marks})"),
    ] {
        conn.execute(&sql, params_from_iter(batch))?;
    }
    Ok(ids)
}
