//! A version that is being written, until it is published.
//!
//! Publishing is: write into the staging folder, sync, rename it, replace CURRENT. A process that is
//! killed at any instant leaves the previous version or the new one current.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::data_folder::DataFolder;
use super::file::{checksum, replace_with, sync_file, sync_folder};
use super::manifest::{Part, VersionManifest};
use super::version::IndexVersion;
use super::version_folder::{CATALOG, VersionFolder};
use crate::base::error::{Error, Result};

/// A version that is being written. Dropped before [`Staging::publish`], it is removed.
#[derive(Debug)]
pub struct Staging {
    data: DataFolder,
    name: String,
    folder: VersionFolder,
}

impl Staging {
    /// Creates the folders of a version that will be called `name`.
    pub(super) fn create(data: DataFolder, name: String, folder: VersionFolder) -> Result<Self> {
        folder.create()?;
        Ok(Self { data, name, folder })
    }

    pub fn folder(&self) -> &VersionFolder {
        &self.folder
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes over the files of `parent`: as hard links, so that a small difference costs little. Only
    /// the catalog, which is written in place, is copied.
    pub fn link(&self, parent: &IndexVersion) -> Result<()> {
        for part in &parent.manifest.parts {
            let source = parent.folder.path().join(&part.path);
            let target = self.folder.path().join(&part.path);
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
            }
            let linked = part.path != CATALOG && fs::hard_link(&source, &target).is_ok();
            // Some file systems have no hard links.
            if !linked {
                fs::copy(&source, &target).map_err(|e| Error::io("copy", &target, e))?;
            }
        }
        Ok(())
    }

    /// Checksums and syncs every file, writes the manifest, renames the folder and makes the version
    /// current. Files that are hard links to those of `parent` keep their checksums.
    pub fn publish(
        self,
        mut manifest: VersionManifest,
        parent: Option<&IndexVersion>,
    ) -> Result<IndexVersion> {
        manifest.version = self.name.clone();
        manifest.parts = Vec::new();
        collect_parts(self.folder.path(), self.folder.path(), parent, &mut manifest.parts)?;
        manifest.parts.sort_by(|a, b| a.path.cmp(&b.path));
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(Error::library("serde_json", "write the manifest"))?;
        replace_with(&self.folder.manifest(), &[&text])?;

        let folder = self.data.version_folder(&self.name);
        fs::rename(self.folder.path(), folder.path())
            .map_err(|e| Error::io("rename", folder.path(), e))?;
        sync_folder(&self.data.versions())?;
        self.data.set_current(&self.name)?;
        Ok(IndexVersion { folder, manifest })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After publishing the folder has its new name and there is nothing to remove.
        let _ = fs::remove_dir_all(self.folder.path());
    }
}

/// Syncs every file below `folder` and adds it to `parts`, with a path relative to `root`.
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
            continue;
        }
        let relative = path.strip_prefix(root).expect("entries lie below the root");
        let name = relative.to_string_lossy().into_owned();
        let meta = fs::metadata(&path).map_err(|e| Error::io("read", &path, e))?;
        let linked = parent.and_then(|version| {
            let theirs = fs::metadata(version.folder.path().join(relative)).ok()?;
            let same = (theirs.ino(), theirs.dev()) == (meta.ino(), meta.dev());
            version.manifest.parts.iter().find(|part| same && part.path == name)
        });
        parts.push(match linked {
            Some(part) => part.clone(),
            None => {
                sync_file(&path)?;
                Part { path: name, bytes: meta.len(), blake3: checksum(&path)? }
            }
        });
    }
    sync_folder(folder)
}
