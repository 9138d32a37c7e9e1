//! The folder that holds the versions of one index: which is current, which can be removed.

use std::fs;
use std::path::{Path, PathBuf};

use super::file::replace_with;
use super::manifest::VersionManifest;
use super::staging::Staging;
use super::version::IndexVersion;
use super::version_folder::{CURRENT, STAGING, VERSIONS, VersionFolder};
use super::write_lock::WriteLock;
use crate::base::error::{Error, Result};

/// The folder that holds the versions of one index.
#[derive(Debug, Clone)]
pub struct DataFolder {
    path: PathBuf,
}

impl DataFolder {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn versions(&self) -> PathBuf {
        self.path.join(VERSIONS)
    }

    pub(super) fn version_folder(&self, name: &str) -> VersionFolder {
        VersionFolder::new(self.versions().join(name))
    }

    /// Takes the write lock, or returns `IndexLocked` with its holder.
    pub fn lock(&self) -> Result<WriteLock> {
        WriteLock::acquire(&self.path)
    }

    /// The name of the current version, if one was ever published.
    pub fn current_name(&self) -> Result<Option<String>> {
        let path = self.path.join(CURRENT);
        match fs::read_to_string(&path) {
            Ok(name) => Ok(Some(name.trim().to_owned())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path, e)),
        }
    }

    /// The current version, or `IndexMissing` when none was ever published.
    pub fn current(&self) -> Result<IndexVersion> {
        match self.current_name()? {
            Some(name) => self.open(&name),
            None => Err(Error::IndexMissing { data: self.path.clone() }),
        }
    }

    /// Opens a version by name and checks its files, see [`IndexVersion::verify`] for all of them.
    pub fn open(&self, name: &str) -> Result<IndexVersion> {
        IndexVersion::open(self.version_folder(name))
    }

    /// The manifests of the published versions, oldest first, without those that cannot be read.
    pub fn list(&self) -> Result<Vec<VersionManifest>> {
        let names = self.names()?;
        let published = names.iter().filter(|name| !name.ends_with(STAGING));
        let read = |name: &String| VersionManifest::read(&self.version_folder(name)).ok();
        Ok(published.filter_map(read).collect())
    }

    /// The folders of versions, staging ones included, oldest first.
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
        let folder = self.version_folder(&format!("{name}{STAGING}"));
        Staging::create(self.clone(), name, folder)
    }

    /// Removes what killed writers left, and returns the names of its folders.
    fn remove_staging(&self) -> Result<Vec<String>> {
        let mut names = self.names()?;
        names.retain(|name| name.ends_with(STAGING));
        names.iter().try_for_each(|name| self.remove(name))?;
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let folder = self.versions().join(name);
        fs::remove_dir_all(&folder).map_err(|e| Error::io("remove", &folder, e))
    }

    /// Makes an older version current: `name`, or the one before the current version.
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

    /// Removes what killed writers left and all but the newest `kept` versions, but never the current
    /// one. Returns the names of the folders that were removed.
    pub fn gc(&self, _lock: &WriteLock, kept: usize) -> Result<Vec<String>> {
        let mut removed = self.remove_staging()?;
        let current = self.current_name()?;
        let names = self.names()?;
        let old = names.len().saturating_sub(kept);
        for name in names.iter().take(old).filter(|name| Some(*name) != current.as_ref()) {
            self.remove(name)?;
            removed.push(name.clone());
        }
        Ok(removed)
    }

    pub(super) fn set_current(&self, name: &str) -> Result<()> {
        replace_with(&self.path.join(CURRENT), &[name.as_bytes(), b"\n"])
    }
}
