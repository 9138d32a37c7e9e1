//! The tables of a catalog, and the check that a file is one.

use std::path::Path;

use duckdb::{Connection, params};

use super::duckdb_error::{read_error, write_error};
use super::{facts, occurrences};
use crate::base::error::Result;
use crate::index::versions::file::corrupt;

/// Raised by every change of a table; a file with a higher number is refused.
pub(super) const SCHEMA_VERSION: u32 = 4;
/// The oldest schema that is read: 1 had the tables [`DROPPED`], too, and 2 no occurrences and facts,
/// 3 not the columns [`ADDED`].
const SCHEMA_VERSION_MIN: u32 = 1;
/// Tables that an older release wrote and nothing reads.
const DROPPED: [&str; 4] = ["path_weights", "kind_weights", "runs", "versions"];

/// The columns of `files` that an older catalog lacks, each with what stands for it.
const ADDED: [(&str, &str, &str); 7] = [
    ("inode", "ubigint", "0"),
    ("changed_ns", "bigint", "0"),
    ("kind", "varchar", "'code'"),
    ("channels", "varchar", "'every'"),
    ("why", "varchar", "''"),
    ("marks", "varchar", "''"),
    ("encoding", "varchar", "null"),
];

/// The tables.
///
/// A hydration fetches about twenty scattered rows, and a compressed column is decompressed for each
/// of them. Measured on 100,000 chunks of 900 bytes, 20 rows with all columns, CPU time: with the
/// compression that DuckDB chooses 3.2 ms and 52 MiB, with only `text` uncompressed 3.3 ms and 91 MiB,
/// with all texts uncompressed 1.5 ms and 103 MiB, and a third of the time for writing. Smaller blocks
/// (16 and 64 KiB) were slower than the default 256 KiB for both.
///
/// `files.path` is unique, which the writer checks: a replaced file is deleted and appended in one
/// transaction, which a unique index of DuckDB would refuse.
const TABLES: &str = "
create table meta (key varchar not null, value varchar not null);
create table files (
    path varchar not null, root varchar not null, language varchar not null,
    size_bytes ubigint not null, modified_ns bigint not null, hash blob not null,
    lines uinteger not null, first_chunk uinteger not null, chunk_count uinteger not null,
    commit_id varchar, commit_time_s bigint, author varchar, indexed_at_s bigint not null,
    inode ubigint not null, changed_ns bigint not null, kind varchar not null,
    channels varchar not null, why varchar not null, marks varchar not null, encoding varchar);
create table chunks (
    id uinteger primary key,
    path varchar not null using compression uncompressed,
    language varchar not null,
    start_line uinteger not null, end_line uinteger not null,
    start_byte uinteger not null, end_byte uinteger not null,
    header varchar not null using compression uncompressed,
    text varchar not null using compression uncompressed,
    enclosing varchar not null using compression uncompressed,
    signature varchar using compression uncompressed,
    doc varchar using compression uncompressed,
    hash blob not null, tokens uinteger not null);
create table symbols (
    name varchar not null, qualified varchar not null, kind varchar not null,
    signature varchar not null, doc varchar, path varchar not null,
    start_line uinteger not null, end_line uinteger not null, start_col uinteger not null,
    chunk_id uinteger not null);
create table symbol_refs (
    name varchar not null, chunk_id uinteger not null, line uinteger not null);
";

/// Makes the tables in an empty file.
pub(super) fn create(conn: &Connection, path: &Path) -> Result<()> {
    let make = || -> duckdb::Result<()> {
        conn.execute_batch("begin")?;
        conn.execute_batch(TABLES)?;
        conn.execute_batch(occurrences::TABLE)?;
        conn.execute_batch(facts::TABLE)?;
        let mut meta = conn.prepare("insert into meta values (?, ?)")?;
        meta.execute(params!["schema", SCHEMA_VERSION.to_string()])?;
        meta.execute(params!["universe", "0"])?;
        conn.execute_batch("commit")
    };
    make().map_err(write_error(path))
}

/// Brings an older catalog to this schema, as a part of the writer's transaction.
pub(super) fn upgrade(conn: &Connection) -> duckdb::Result<()> {
    for table in DROPPED {
        conn.execute_batch(&format!("drop table if exists {table}"))?;
    }
    conn.execute_batch(occurrences::TABLE)?;
    conn.execute_batch(facts::TABLE)?;
    for (name, kind, default) in ADDED {
        let column = format!("{name} {kind} default {default}");
        conn.execute_batch(&format!("alter table files add column if not exists {column}"))?;
    }
    let sql = "update meta set value = ? where key = 'schema'";
    conn.execute(sql, [SCHEMA_VERSION.to_string()]).map(drop)
}

/// Checks that a file is a catalog of a schema that is read. Returns the size of its universe: one more
/// than the highest chunk id ever assigned.
pub(super) fn check(conn: &Connection, path: &Path) -> Result<u32> {
    if let Err(error) = conn.prepare("select key, value from meta") {
        let foreign = error.to_string().contains("Catalog Error");
        return Err(if foreign {
            corrupt(path, "it is a DuckDB file, but not a catalog of codeintel")
        } else {
            read_error(path)(error)
        });
    }
    let schema = meta(conn, path, "schema")?;
    if !(SCHEMA_VERSION_MIN..=SCHEMA_VERSION).contains(&schema) {
        return Err(corrupt(
            path,
            format!(
                "its schema is {schema} and this program reads {SCHEMA_VERSION_MIN} to \
                 {SCHEMA_VERSION}, so another release wrote it"
            ),
        ));
    }
    meta(conn, path, "universe")
}

/// The table of files as it is read: in an older catalog, with what stands for the columns it lacks.
pub(super) fn files_table(conn: &Connection, path: &Path) -> Result<String> {
    let sql =
        "select count(*) from duckdb_columns() where table_name = 'files' and column_name = ?";
    let (first, ..) = ADDED[0];
    let has_all: u64 = conn.query_row(sql, [first], |row| row.get(0)).map_err(read_error(path))?;
    if has_all > 0 {
        return Ok("files".to_owned());
    }
    let columns = ADDED.iter().map(|(name, kind, value)| format!("({value})::{kind} as {name}"));
    let columns: Vec<String> = columns.collect();
    Ok(format!("(select *, {} from files)", columns.join(", ")))
}

fn meta(conn: &Connection, path: &Path, key: &str) -> Result<u32> {
    let value: Option<String> = conn
        .prepare("select value from meta where key = ?")
        .and_then(|mut statement| statement.query_map([key], |row| row.get(0))?.next().transpose())
        .map_err(read_error(path))?;
    let value = value.ok_or_else(|| corrupt(path, format!("it has no {key} number")))?;
    value.parse().map_err(|_| corrupt(path, format!("its {key} number is {value:?}")))
}

/// A DuckDB file begins with three headers of 4 KiB.
const HEADERS_BYTES: i64 = 3 * 4096;

/// Refuses a truncated file, which DuckDB notices only when it reads the missing part.
///
/// Only blocks in use count: a checkpoint removes free blocks from the end of the file after it has
/// written the header that still counts them.
pub(super) fn check_length(conn: &Connection, path: &Path) -> Result<()> {
    let sql = "select block_size * used_blocks from pragma_database_size()";
    let blocks: i64 = conn.query_row(sql, [], |row| row.get(0)).map_err(read_error(path))?;
    let expected = blocks.saturating_add(HEADERS_BYTES);
    let found = std::fs::metadata(path)
        .map_err(|source| crate::base::error::Error::io("read", path, source))?
        .len();
    match u64::try_from(expected) {
        Ok(expected) if found >= expected => Ok(()),
        _ => Err(corrupt(path, format!("it has {found} of {expected} bytes: it is truncated"))),
    }
}
