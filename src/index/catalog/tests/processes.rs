//! What other processes see of a catalog, and what a killed writer leaves.
//!
//! The test program starts itself with one of the ignored tests, in the folder of the catalog.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::{Catalog, CatalogWriter};
use super::{append, catalog, path_in, whole, write};
use crate::base::error::Error;

const FILE: &str = "catalog.duckdb";
const READY: &str = "ready";
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the ignored test `name` in `folder`.
fn start(name: &str, folder: &Path) -> Child {
    // Without the name of the crate.
    let module = module_path!().split_once("::").unwrap().1;
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{name}"), "--ignored"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait_for(path: &Path) {
    let end = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < end, "the other process did not get ready");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
#[ignore = "the child of the tests below"]
fn child_that_writes_and_never_finishes() {
    if !Path::new(FILE).exists() {
        return;
    }
    let mut writer = CatalogWriter::open(Path::new(FILE)).unwrap();
    writer.delete_files(&["a.rs".to_owned()]).unwrap();
    append(&mut writer, &whole("b.rs", "rust", 50, 20_000));
    // Sends the pending rows to DuckDB.
    writer.delete_files(&[]).unwrap();
    std::fs::write(READY, "").unwrap();
    std::thread::sleep(PATIENCE);
}

#[test]
#[ignore = "the child of a test below"]
fn child_that_reads() {
    if Path::new(FILE).exists() {
        assert_eq!(Catalog::open(Path::new(FILE)).unwrap().files().unwrap().len(), 1);
        std::fs::write(READY, "").unwrap();
    }
}

#[test]
fn a_killed_writer_leaves_the_old_state() {
    let folder = tempfile::tempdir().unwrap();
    let old = whole("a.rs", "rust", 0, 50);
    write(&path_in(&folder), std::slice::from_ref(&old));
    let mut child = start("child_that_writes_and_never_finishes", folder.path());
    wait_for(&folder.path().join(READY));
    let locked = CatalogWriter::open(&path_in(&folder)).err().unwrap();
    let pid = child.id().to_string();
    assert!(matches!(&locked, Error::IndexLocked { holder, .. } if holder.contains(&pid)));
    child.kill().unwrap();
    child.wait().unwrap();

    let catalog = Catalog::open(&path_in(&folder)).unwrap();
    assert_eq!(catalog.rows_in(0..99_999).unwrap(), old.chunks);
    assert_eq!(catalog.universe(), 50);
    drop(catalog);
    let mut writer = CatalogWriter::open(&path_in(&folder)).unwrap();
    append(&mut writer, &whole("b.rs", "rust", 50, 3));
    writer.finish().unwrap();
    assert_eq!(Catalog::open(&path_in(&folder)).unwrap().counts().unwrap().chunks, 53);
}

#[test]
fn another_process_reads_at_the_same_time() {
    let (folder, reader) = catalog(&[whole("a.rs", "rust", 0, 5)]);
    let mut child = start("child_that_reads", folder.path());
    assert!(child.wait().unwrap().success());
    assert!(folder.path().join(READY).exists());
    assert_eq!(reader.files().unwrap().len(), 1);
}
