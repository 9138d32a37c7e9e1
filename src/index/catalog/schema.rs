//! Which tables does a catalog have, and is this file one?

use std::path::Path;

use duckdb::{Connection, params};

use super::fault::{OnFile, While, corrupt};
use crate::base::error::Result;

/// Raised by every change of a table; a file with a higher number is refused.
pub(super) const SCHEMA_VERSION: u32 = 2;
/// The oldest schema that is read: 1 had two more tables, `path_weights` and `kind_weights`.
const SCHEMA_VERSION_MIN: u32 = 1;

/// The tables.
///
/// A hydration fetches some twenty rows from anywhere, and a compressed column is decoded again for
/// each of them. Measured on 100,000 chunks of 900 bytes, 20 rows with every column, CPU time: all
/// columns as DuckDB chooses 3.2 ms and 52 MiB, only `text` uncompressed 3.3 ms and 91 MiB, all
/// texts uncompressed 1.5 ms and 103 MiB, and writing takes a third of the time. Smaller blocks
/// (16 and 64 KiB) were slower than the default 256 KiB at both.
///
/// `files.path` is unique too, but the writer checks that: a file that is replaced is deleted and
/// appended in one transaction, which an index of DuckDB would refuse.
const TABLES: &str = "
create table meta (key varchar not null, value varchar not null);
create table files (
    path varchar not null, root varchar not null, language varchar not null,
    size_bytes ubigint not null, modified_ns bigint not null, hash blob not null,
    lines uinteger not null, first_chunk uinteger not null, chunk_count uinteger not null,
    commit_id varchar, commit_time_s bigint, author varchar, indexed_at_s bigint not null);
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
create table versions (
    name varchar not null, created_at_s bigint not null, files ubigint not null,
    chunks ubigint not null, symbols ubigint not null, model varchar not null);
create table runs (
    run_id varchar not null, started_at_ms bigint not null, tool varchar not null,
    duration_ms ubigint not null, status varchar not null, report varchar not null);
";

/// Makes the tables in an empty file.
pub(super) fn create(conn: &Connection, path: &Path) -> Result<()> {
    let make = || -> duckdb::Result<()> {
        conn.execute_batch("begin")?;
        conn.execute_batch(TABLES)?;
        let mut meta = conn.prepare("insert into meta values (?, ?)")?;
        meta.execute(params!["schema", SCHEMA_VERSION.to_string()])?;
        meta.execute(params!["universe", "0"])?;
        conn.execute_batch("commit")
    };
    make().on(While::Writing, path)
}

/// Brings an older catalog to this schema, as a part of the writer's transaction.
pub(super) fn upgrade(conn: &Connection) -> duckdb::Result<()> {
    conn.execute_batch("drop table if exists path_weights; drop table if exists kind_weights;")?;
    let sql = "update meta set value = ? where key = 'schema'";
    conn.execute(sql, [SCHEMA_VERSION.to_string()]).map(drop)
}

/// Refuses a file that is no catalog, or one of another schema; gives the size of the universe:
/// one more than the highest chunk id ever given.
pub(super) fn check(conn: &Connection, path: &Path) -> Result<u32> {
    if let Err(error) = conn.prepare("select key, value from meta") {
        let foreign = error.to_string().contains("Catalog Error");
        return match foreign {
            true => Err(corrupt(path, "it is a DuckDB file, but not a catalog of codeintel")),
            false => Err(error).on(While::Reading, path),
        };
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

fn meta(conn: &Connection, path: &Path, key: &str) -> Result<u32> {
    let value: Option<String> = conn
        .prepare("select value from meta where key = ?")
        .and_then(|mut statement| statement.query_map([key], |row| row.get(0))?.next().transpose())
        .on(While::Reading, path)?;
    let value = value.ok_or_else(|| corrupt(path, format!("it has no {key} number")))?;
    value.parse().map_err(|_| corrupt(path, format!("its {key} number is {value:?}")))
}

/// A DuckDB file begins with three headers of 4 KiB.
const HEADERS_BYTES: i64 = 3 * 4096;

/// Refuses a file that was cut short, which DuckDB itself finds only when it reads the lost part.
///
/// Only blocks in use count: a checkpoint takes free blocks off the end of the file after it wrote
/// the header that still counts them.
pub(super) fn check_length(conn: &Connection, path: &Path) -> Result<()> {
    let sql = "select block_size * used_blocks from pragma_database_size()";
    let blocks: i64 = conn.query_row(sql, [], |row| row.get(0)).on(While::Reading, path)?;
    let expected = blocks.saturating_add(HEADERS_BYTES);
    let found = std::fs::metadata(path)
        .map_err(|source| crate::base::error::Error::io("read", path, source))?
        .len();
    match u64::try_from(expected) {
        Ok(expected) if found >= expected => Ok(()),
        _ => Err(corrupt(path, format!("it has {found} bytes of {expected}: it was cut short"))),
    }
}
