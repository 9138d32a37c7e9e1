//! Publishing, rolling back, linking and damage of versions.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::base::error::Error;

fn manifest() -> VersionManifest {
    VersionManifest {
        format: FORMAT,
        version: String::new(),
        created_at: now(),
        roots: vec!["/src".into()],
        model: ModelRecord { name: "m".into(), key: "m/1".into(), dim: 4, parts: None },
        sparse: None,
        chunk_tokens_max: 256,
        header_version: 1,
        chunker: String::new(),
        scip: String::new(),
        policy: String::new(),
        model_state: String::new(),
        base_chunks: 0,
        total_chunks: 0,
        live_chunks: 0,
        files: 0,
        dense_factory: "Flat".into(),
        dense_kind: "Flat".into(),
        parts: Vec::new(),
    }
}

fn publish(data: &DataFolder, text: &str) -> IndexVersion {
    let lock = data.lock().unwrap();
    let staging = data.stage(&lock).unwrap();
    fs::write(staging.folder().dense().join("a"), text).unwrap();
    fs::write(staging.folder().catalog(), text).unwrap();
    staging.publish(manifest(), None).unwrap()
}

#[test]
fn a_version_is_current_once_published_and_its_predecessor_can_come_back() {
    let temp = tempfile::tempdir().unwrap();
    let data = DataFolder::new(temp.path().join("data"));
    assert!(matches!(data.current(), Err(Error::IndexMissing { .. })));
    let first = publish(&data, "one");
    let second = publish(&data, "two");
    assert_eq!(data.current().unwrap().manifest, second.manifest);

    let lock = data.lock().unwrap();
    drop(data.stage(&lock).unwrap());
    assert_eq!(data.list().unwrap().len(), 2, "an abandoned staging folder is gone");
    assert_eq!(data.rollback(&lock, None).unwrap().manifest, first.manifest);
    assert!(data.rollback(&lock, None).is_err(), "there is no version before the first");
    data.rollback(&lock, Some("000002")).unwrap();
    assert_eq!(data.gc(&lock, 1).unwrap(), ["000001"]);
    assert_eq!(data.current().unwrap().manifest.version, "000002");
}

#[test]
fn a_damaged_file_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let data = DataFolder::new(temp.path());
    let version = publish(&data, "one");
    let file = version.folder.dense().join("a");
    for damage in ["onE", "longer"] {
        fs::write(&file, damage).unwrap();
        let message = data.current().unwrap_err().to_string();
        assert!(message.contains("dense/a") && message.contains("rollback"), "{message}");
    }
    fs::remove_file(&file).unwrap();
    assert!(matches!(data.current(), Err(Error::IndexCorrupt { .. })));
    fs::write(version.folder.manifest(), "{").unwrap();
    assert!(matches!(data.current(), Err(Error::IndexCorrupt { .. })));
}

#[test]
fn the_second_writer_is_told_who_the_first_is() {
    let temp = tempfile::tempdir().unwrap();
    let data = DataFolder::new(temp.path());
    let _held = data.lock().unwrap();
    let message = data.lock().unwrap_err().to_string();
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
}

#[test]
fn linked_files_are_shared_and_the_catalog_is_not() {
    let temp = tempfile::tempdir().unwrap();
    let data = DataFolder::new(temp.path());
    let first = publish(&data, "one");
    let lock = data.lock().unwrap();
    let staging = data.stage(&lock).unwrap();
    staging.link(&first).unwrap();
    fs::write(staging.folder().symbols().join("b"), "new").unwrap();
    fs::write(staging.folder().catalog(), "two").unwrap();
    let second = staging.publish(manifest(), Some(&first)).unwrap();
    let inode = |v: &IndexVersion| fs::metadata(v.folder.dense().join("a")).unwrap().ino();
    assert_eq!(inode(&first), inode(&second));
    assert_eq!(second.manifest.parts.len(), 3);
    first.verify().unwrap();
    second.verify().unwrap();
}
