//! Which version of the index is current, and is it whole?
//!
//! ```text
//! <data>/CURRENT                      the name of the published version
//! <data>/LOCK                         held by the one writer
//! <data>/versions/000007/             never changes once it is here
//! <data>/versions/000008.staging/     being written
//! ```
//! Publishing is: write into the staging folder, sync, rename, move CURRENT. A kill at any instant
//! leaves the old version or the new one.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::manifest::{IndexVersion, MANIFEST, Manifest, Part, checksum, now, read_manifest};
use crate::base::error::{Error, Result};

const STAGING: &str = ".staging";
/// The folder that holds the versions of one index.
#[derive(Debug, Clone)]
pub struct DataFolder {
    path: PathBuf,
}

/// The right to write into a data folder; released when dropped or when the process ends.
#[derive(Debug)]
pub struct WriteLock {
    _file: File,
}

impl DataFolder {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn versions(&self) -> PathBuf {
        self.path.join("versions")
    }

    /// Takes the write lock, or says who holds it.
    pub fn lock(&self) -> Result<WriteLock> {
        fs::create_dir_all(self.versions()).map_err(|e| Error::io("create", &self.path, e))?;
        let path = self.path.join("LOCK");
        let mut file = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    holder => holder.to_owned(),
                };
                return Err(Error::IndexLocked { data: self.path.clone(), holder });
            }
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path, e)),
        }
        let holder = format!("process {} since {}\n", std::process::id(), now());
        file.set_len(0)
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(|e| Error::io("write", &path, e))?;
        Ok(WriteLock { _file: file })
    }

    /// The name of the current version, if one was ever published.
    pub fn current_name(&self) -> Result<Option<String>> {
        let path = self.path.join("CURRENT");
        match fs::read_to_string(&path) {
            Ok(name) => Ok(Some(name.trim().to_owned())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path, e)),
        }
    }

    /// The current version; an error that says how to make one when there is none.
    pub fn current(&self) -> Result<IndexVersion> {
        match self.current_name()? {
            Some(name) => self.open(&name),
            None => Err(Error::IndexMissing { data: self.path.clone() }),
        }
    }

    /// Opens a version by name and checks that its files are whole.
    pub fn open(&self, name: &str) -> Result<IndexVersion> {
        let folder = self.versions().join(name);
        let version = IndexVersion { manifest: read_manifest(&folder)?, folder };
        version.check_parts()?;
        Ok(version)
    }

    /// The published versions, oldest first; a version that cannot be read is left out.
    pub fn list(&self) -> Result<Vec<Manifest>> {
        let names = self.names()?;
        let published = names.iter().filter(|name| !name.ends_with(STAGING));
        Ok(published.filter_map(|name| read_manifest(&self.versions().join(name)).ok()).collect())
    }

    /// Version folders, staging ones included, in order of age.
    fn names(&self) -> Result<Vec<String>> {
        let folder = self.versions();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("list", &folder, e)),
        };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// An empty staging folder for the next version. Folders that a killed writer left are removed.
    pub fn stage(&self, _lock: &WriteLock) -> Result<Staging> {
        self.remove_staging()?;
        let last = self.names()?.iter().filter_map(|n| n.parse::<u64>().ok()).max().unwrap_or(0);
        let name = format!("{:06}", last + 1);
        let folder = self.versions().join(format!("{name}{STAGING}"));
        fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        Ok(Staging { data: self.clone(), name, folder })
    }

    fn remove_staging(&self) -> Result<()> {
        for name in self.names()?.iter().filter(|name| name.ends_with(STAGING)) {
            let folder = self.versions().join(name);
            fs::remove_dir_all(&folder).map_err(|e| Error::io("remove", &folder, e))?;
        }
        Ok(())
    }

    /// Makes an older version current: `name`, or the one before the current one.
    pub fn rollback(&self, _lock: &WriteLock, name: Option<&str>) -> Result<IndexVersion> {
        let current =
            self.current_name()?.ok_or_else(|| Error::IndexMissing { data: self.path.clone() })?;
        let known: Vec<String> = self.list()?.into_iter().map(|m| m.version).collect();
        let target = match name {
            Some(name) => known.iter().find(|known| *known == name),
            None => known.iter().rfind(|known| **known < current),
        };
        let Some(target) = target else {
            return Err(Error::Argument {
                name: "version",
                value: name.unwrap_or("the one before").to_owned(),
                expected: format!("one of {} (current: {current})", known.join(", ")),
            });
        };
        let version = self.open(target)?;
        self.set_current(target)?;
        Ok(version)
    }

    /// Removes what a killed writer left and all but the newest `kept` versions; the current one
    /// always stays. Returns the names removed.
    pub fn gc(&self, _lock: &WriteLock, kept: usize) -> Result<Vec<String>> {
        self.remove_staging()?;
        let current = self.current_name()?;
        let names = self.names()?;
        let old = names.len().saturating_sub(kept);
        let mut removed = Vec::new();
        for name in names.iter().take(old).filter(|name| Some(*name) != current.as_ref()) {
            let folder = self.versions().join(name);
            fs::remove_dir_all(&folder).map_err(|e| Error::io("remove", &folder, e))?;
            removed.push(name.clone());
        }
        Ok(removed)
    }

    fn set_current(&self, name: &str) -> Result<()> {
        let path = self.path.join("CURRENT");
        write_synced(&self.path.join("CURRENT.new"), format!("{name}\n").as_bytes())?;
        fs::rename(self.path.join("CURRENT.new"), &path)
            .map_err(|e| Error::io("rename", &path, e))?;
        sync_folder(&self.path)
    }
}

/// A version that is being written. Dropped without [`Staging::publish`], it is removed.
#[derive(Debug)]
pub struct Staging {
    data: DataFolder,
    name: String,
    folder: PathBuf,
}

impl Staging {
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Brings the files of `from` in: hard links for what never changes, so that a small difference
    /// costs little; a copy of the catalog, which is written in place.
    pub fn link(&self, from: &IndexVersion, copied: &str) -> Result<()> {
        for part in &from.manifest.parts {
            let (source, target) = (from.folder.join(&part.path), self.folder.join(&part.path));
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
            }
            let done = if part.path == copied {
                fs::copy(&source, &target).map(drop)
            } else {
                // A file system without hard links gets a copy.
                fs::hard_link(&source, &target).or_else(|_| fs::copy(&source, &target).map(drop))
            };
            done.map_err(|e| Error::io("copy", &target, e))?;
        }
        Ok(())
    }

    /// Checksums and syncs every file, writes the manifest, renames the folder and moves CURRENT.
    pub fn publish(
        self,
        mut manifest: Manifest,
        parent: Option<&IndexVersion>,
    ) -> Result<IndexVersion> {
        manifest.version = self.name.clone();
        manifest.parts = Vec::new();
        collect_parts(&self.folder, &self.folder, parent, &mut manifest.parts)?;
        manifest.parts.sort_by(|a, b| a.path.cmp(&b.path));
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(Error::library("serde_json", "write the manifest"))?;
        write_synced(&self.folder.join(MANIFEST), &text)?;
        sync_folder(&self.folder)?;

        let folder = self.data.versions().join(&self.name);
        fs::rename(&self.folder, &folder).map_err(|e| Error::io("rename", &folder, e))?;
        sync_folder(&self.data.versions())?;
        self.data.set_current(&self.name)?;
        Ok(IndexVersion { folder, manifest })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After publishing the folder has its new name and there is nothing to remove.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Lists every file below `folder`, syncing it. A file that is a hard link to the parent version's is
/// known already.
fn collect_parts(
    root: &Path,
    folder: &Path,
    parent: Option<&IndexVersion>,
    parts: &mut Vec<Part>,
) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|e| Error::io("list", folder, e))? {
        let path = entry.map_err(|e| Error::io("list", folder, e))?.path();
        if path.is_dir() {
            collect_parts(root, &path, parent, parts)?;
            sync_folder(&path)?;
            continue;
        }
        let relative = path.strip_prefix(root).expect("entries lie below the root");
        let name = relative.to_string_lossy().into_owned();
        let meta = fs::metadata(&path).map_err(|e| Error::io("read", &path, e))?;
        let linked = parent.and_then(|version| {
            let theirs = fs::metadata(version.folder.join(relative)).ok()?;
            let same = (theirs.ino(), theirs.dev()) == (meta.ino(), meta.dev());
            version.manifest.parts.iter().find(|part| same && part.path == name)
        });
        parts.push(match linked {
            Some(part) => part.clone(),
            None => {
                let synced = File::open(&path).and_then(|file| file.sync_all());
                synced.map_err(|e| Error::io("sync", &path, e))?;
                Part { path: name, bytes: meta.len(), blake3: checksum(&path)? }
            }
        });
    }
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|e| Error::io("write", path, e))
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|e| Error::io("sync", path, e))
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{FORMAT, ModelRecord};
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT,
            version: String::new(),
            created_at: now(),
            roots: vec!["/src".into()],
            model: ModelRecord { name: "m".into(), key: "m/1".into(), dim: 4 },
            chunk_tokens_max: 256,
            header_version: 1,
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
        fs::create_dir(staging.folder().join("sub")).unwrap();
        fs::write(staging.folder().join("sub/a"), text).unwrap();
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
        assert!(data.rollback(&lock, None).is_err(), "nothing lies before the first version");
        data.rollback(&lock, Some("000002")).unwrap();
        assert_eq!(data.gc(&lock, 1).unwrap(), ["000001"]);
        assert_eq!(data.current().unwrap().manifest.version, "000002");
    }

    #[test]
    fn a_damaged_file_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let data = DataFolder::new(temp.path());
        let version = publish(&data, "one");
        let file = version.folder.join("sub/a");
        for damage in ["onE", "longer"] {
            fs::write(&file, damage).unwrap();
            let message = data.current().unwrap_err().to_string();
            assert!(message.contains("sub/a") && message.contains("rollback"), "{message}");
        }
        fs::remove_file(&file).unwrap();
        assert!(matches!(data.current(), Err(Error::IndexCorrupt { .. })));
        fs::write(version.folder.join(MANIFEST), "{").unwrap();
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
    fn linked_files_are_shared_and_the_copied_one_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let data = DataFolder::new(temp.path());
        let first = publish(&data, "one");
        let lock = data.lock().unwrap();
        let staging = data.stage(&lock).unwrap();
        staging.link(&first, "none").unwrap();
        fs::write(staging.folder().join("b"), "new").unwrap();
        let second = staging.publish(manifest(), Some(&first)).unwrap();
        let inode = |v: &IndexVersion| fs::metadata(v.folder.join("sub/a")).unwrap().ino();
        assert_eq!(inode(&first), inode(&second));
        assert_eq!(second.manifest.parts.len(), 2);
        second.verify().unwrap();
    }
}
