//! A file that is not a complete catalog is refused with an error that names it.

use std::path::Path;

use super::super::{Catalog, CatalogWriter};
use super::{append, catalog, ids, path_in, whole, write};
use crate::base::error::{Error, Result};

fn refused(path: &Path, words: &str) {
    let error = Catalog::open(path).err().unwrap_or_else(|| panic!("{words}: it opened"));
    assert!(matches!(error, Error::IndexCorrupt { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(words), "{message}");
    assert!(message.contains(&path.display().to_string()), "{message}");
}

#[test]
fn a_missing_an_empty_and_a_foreign_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder);
    refused(&path, "missing");
    for bytes in [vec![], vec![0; 20_000], b"hello, this is no database".repeat(999)] {
        std::fs::write(&path, bytes).unwrap();
        refused(&path, "catalog.duckdb");
    }
}

#[test]
fn a_database_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder);
    duckdb::Connection::open(&path).unwrap().execute_batch("create table t (a int)").unwrap();
    refused(&path, "not a catalog");
    let error = CatalogWriter::open(&path).err().unwrap();
    assert!(matches!(error, Error::IndexCorrupt { .. }), "{error}");
}

#[test]
fn another_schema_is_refused_with_both_numbers() {
    let (folder, reader) = catalog(&[whole("a.rs", "rust", 0, 1)]);
    drop(reader);
    let path = path_in(&folder);
    let sql = "update meta set value = '99' where key = 'schema'";
    duckdb::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    refused(&path, "its schema is 99 and this program reads 1 to 4");
}

#[test]
fn a_catalog_of_an_older_schema_is_read_and_loses_its_dropped_tables_when_it_is_written() {
    let (folder, reader) = catalog(&[whole("a.rs", "rust", 0, 2)]);
    drop(reader);
    let path = path_in(&folder);
    let sql = "create table path_weights (pattern varchar not null, weight float not null);
        create table kind_weights (kind varchar not null, weight float not null);
        create table versions (name varchar not null, created_at_s bigint not null);
        create table runs (run_id varchar not null, report varchar not null);
        insert into path_weights values ('tests', 0.7);
        insert into runs values ('r1', 'walk=1.2ms');
        update meta set value = '1' where key = 'schema'";
    duckdb::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    assert_eq!(Catalog::open(&path).unwrap().counts().unwrap().chunks, 2);
    let mut writer = CatalogWriter::open(&path).unwrap();
    append(&mut writer, &whole("b.rs", "rust", 2, 3));
    writer.finish().unwrap();
    assert_eq!(Catalog::open(&path).unwrap().counts().unwrap().chunks, 5);
    let tables = "select count(*) from duckdb_tables()
        where table_name like '%weights' or table_name in ('runs', 'versions')";
    let conn = duckdb::Connection::open(&path).unwrap();
    assert_eq!(conn.query_row(tables, [], |row| row.get::<_, u64>(0)).unwrap(), 0);
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let (folder, reader) = catalog(&[whole("a.rs", "rust", 0, 3000)]);
    drop(reader);
    let path = path_in(&folder);
    let whole_file = std::fs::read(&path).unwrap();
    for left in [100, 4096, 12_288, whole_file.len() / 2, whole_file.len() - 1] {
        std::fs::write(&path, &whole_file[..left]).unwrap();
        refused(&path, "catalog.duckdb");
    }
}

/// Reads everything. Damage must be reported as `IndexCorrupt`, and no wrong value may be returned.
fn read_everything(path: &Path, chunks: u32) -> Result<usize> {
    let catalog = Catalog::open(path)?;
    let all: Vec<u32> = (0..chunks).collect();
    let rows = catalog.rows(&ids(&all))?.rows;
    catalog.files()?;
    catalog.symbols()?;
    catalog.references("called", 10)?;
    Ok(rows.iter().filter(|row| row.text.contains("called")).count())
}

#[test]
fn a_flipped_byte_gives_the_right_rows_or_an_error() {
    let (folder, reader) = catalog(&[whole("a.rs", "rust", 0, 3000)]);
    drop(reader);
    let path = path_in(&folder);
    let sound = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for part in 0..16 {
        let mut bytes = sound.clone();
        let at = sound.len() * part / 16 + 5000;
        bytes[at.min(sound.len() - 1)] ^= 0x55;
        std::fs::write(&path, &bytes).unwrap();
        match read_everything(&path, 3000) {
            Ok(found) => assert_eq!(found, 3000, "byte {at}"),
            Err(Error::IndexCorrupt { .. }) => refused += 1,
            Err(other) => panic!("byte {at}: {other:?}"),
        }
    }
    assert!(refused > 0, "no flipped byte was ever noticed");
}

#[test]
fn a_writer_dropped_before_finish_leaves_the_old_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder);
    let old = whole("a.rs", "rust", 0, 50);
    write(&path, std::slice::from_ref(&old));
    let mut writer = CatalogWriter::open(&path).unwrap();
    writer.delete_files(&["a.rs".to_owned()]).unwrap();
    append(&mut writer, &whole("b.rs", "rust", 50, 3000));
    writer.delete_files(&[]).unwrap();
    drop(writer);
    let catalog = Catalog::open(&path).unwrap();
    assert_eq!(catalog.rows_in(0..9999).unwrap(), old.chunks);
    assert_eq!(catalog.files().unwrap(), [old.file]);
    assert_eq!(catalog.universe(), 50);
}
