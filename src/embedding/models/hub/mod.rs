//! How do the files of a model come from a hub into its cache?
//!
//! The cache is that of `huggingface_hub`, so that both use the files of the other in place.

pub(super) mod cache;
mod client;
mod wanted;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use self::cache::{MAIN, Repository, is_commit};
use self::client::{Client, RemoteFile};
pub use self::wanted::wanted;
use super::checksum::{FileSums, require_whole, sha256};
use super::facts::names_network;
use super::pull::Pull;
use super::record::Record;
use super::{ModelFolder, check_config, licence_of};
use crate::base::error::{Error, Result};

/// The list of modules, which names the folders that have files of the model.
const MODULES: &str = "modules.json";

/// Brings the files of `repository` into the hub's cache and records them, unless they are there as
/// they were recorded.
pub fn pull(repository: &Repository, cx: &mut Pull) -> Result<ModelFolder> {
    let cache = cx.places.hub.cache.clone();
    let recorded = Record::read(&cx.places.models, &repository.name)?;
    if let Some(folder) = recorded.as_ref().and_then(|record| record.folder.as_ref()) {
        let path = Record::path(&cx.places.models, &repository.name);
        return Err(Error::Argument {
            name: "model",
            value: repository.name.clone(),
            expected: format!(
                "a name that is not taken; it is that of the folder {}, until {} is removed",
                folder.display(),
                path.display()
            ),
        });
    }
    let asked = repository.revision.as_deref();
    let pinned = recorded.as_ref().and_then(|record| record.revision.clone());
    let pinned = pinned.as_deref();
    let wanted = asked.or(pinned).unwrap_or(MAIN);
    if let Some(record) = recorded.as_ref().filter(|_| pinned == Some(wanted)) {
        let path = repository.snapshot(&cache, wanted);
        cx.step(&format!("checking {}", path.display()));
        match require_whole(&path, &record.files) {
            Ok(()) => return Ok(ModelFolder::recorded(record.clone(), path)),
            Err(error) => cx.step(&format!("fetching what is missing or damaged: {error}")),
        }
    }
    if cx.places.hub.offline {
        let at = Repository { revision: Some(wanted.to_owned()), ..repository.clone() };
        let found =
            if asked.or(pinned).is_some() { at.cached(&cache) } else { repository.cached(&cache) };
        let (commit, path) = found.ok_or_else(|| offline(repository, wanted, cx))?;
        let expected = recorded.filter(|record| record.revision.as_ref() == Some(&commit));
        if let Some(record) = &expected {
            require_whole(&path, &record.files)?;
        }
        return cx.record(&repository.name, path.clone(), commit, licence_of(&path));
    }
    let client = Client::new(&cx.places.hub)?;
    cx.step(&format!("asking {} for {}@{wanted}", cx.places.hub.endpoint, repository.name));
    let info = client.info(repository, wanted)?;
    let expected = recorded.filter(|record| record.revision.as_ref() == Some(&info.sha));
    let download = Download {
        client,
        repository,
        commit: &info.sha,
        expected: expected.map(|record| record.files).unwrap_or_default(),
        folder: repository.folder(&cache),
    };
    let path = download.run(&info.files(), cx)?;
    let model = cx.record(&repository.name, path, info.sha.clone(), info.licence())?;
    if !is_commit(wanted) {
        let to = download.folder.join("refs").join(wanted);
        create_parent(&to)?;
        fs::write(&to, &info.sha).map_err(|e| Error::io("write", &to, e))?;
    }
    Ok(model)
}

fn offline(repository: &Repository, wanted: &str, cx: &Pull) -> Error {
    Error::Unavailable {
        what: format!("{}@{wanted}", repository.name),
        remedy: format!(
            "it is not in {}, and HF_HUB_OFFLINE forbids the network; unset it, or copy the files \
             there",
            cx.places.hub.cache.display()
        ),
    }
}

/// A download of one commit into its folder of the cache.
struct Download<'a> {
    client: Client,
    repository: &'a Repository,
    commit: &'a str,
    /// The checksums recorded when this commit was first pulled; empty the first time.
    expected: FileSums,
    /// The folder of the repository in the cache.
    folder: PathBuf,
}

impl Download<'_> {
    /// Fetches what the cache lacks and returns the folder of the snapshot. It gets its name, or
    /// the files that it lacked, only when all are there.
    fn run(&self, files: &[String], cx: &mut Pull) -> Result<PathBuf> {
        if !is_commit(self.commit) {
            let detail = format!("the hub names the commit {:?}", self.commit);
            return Err(Error::ModelBroken { path: self.repository.name.clone().into(), detail });
        }
        let snapshot = self.folder.join("snapshots").join(self.commit);
        let staged = self.folder.join("snapshots").join(format!(".{}", self.commit));
        let _ = fs::remove_dir_all(&staged);
        let result = self.stage(files, &snapshot, &staged, cx);
        let result = result.and_then(|()| publish(&staged, &snapshot));
        let _ = fs::remove_dir_all(&staged);
        result.map(|()| snapshot)
    }

    fn stage(&self, files: &[String], snapshot: &Path, staged: &Path, cx: &mut Pull) -> Result<()> {
        if files.iter().any(|file| file == MODULES) {
            self.bring(&[self.remote(MODULES)?], snapshot, staged, cx)?;
        }
        let modules = modules_in(staged)?;
        let names: Vec<_> = wanted(files, &modules).into_iter().filter(|f| *f != MODULES).collect();
        let (texts, weights): (Vec<&str>, Vec<&str>) =
            names.into_iter().partition(|name| name.ends_with(".json"));
        let remote = |names: Vec<&str>| {
            names.into_iter().map(|n| self.remote(n)).collect::<Result<Vec<_>>>()
        };
        self.bring(&remote(texts)?, snapshot, staged, cx)?;
        // A model that nothing here computes is refused before its weights are fetched.
        if names_network(staged)? {
            check_config(staged)?;
        }
        self.bring(&remote(weights)?, snapshot, staged, cx)?;
        check_config(staged)
    }

    fn remote(&self, file: &str) -> Result<RemoteFile> {
        self.client.file(self.repository, self.commit, file)
    }

    /// Links each of `files` into the staged snapshot, and fetches the blobs that are not here.
    fn bring(
        &self,
        files: &[RemoteFile],
        snapshot: &Path,
        staged: &Path,
        cx: &mut Pull,
    ) -> Result<()> {
        let mut missing = Vec::new();
        for file in files {
            let here = [snapshot.join(&file.path), self.blob(file)];
            let here = here.into_iter().find(|path| path.is_file());
            match here.map(|path| self.mismatch(file, &path)).transpose()? {
                Some(None) => {}
                Some(Some(damage)) => {
                    cx.step(&format!("fetching {} again: {damage}", file.path));
                    missing.push(file);
                }
                None => missing.push(file),
            }
        }
        self.require_space(&missing)?;
        for file in missing {
            self.fetch(file, cx)?;
            // What is there under its name is damaged.
            let _ = fs::remove_file(snapshot.join(&file.path));
        }
        for file in files {
            let (to, present) = (staged.join(&file.path), snapshot.join(&file.path));
            create_parent(&to)?;
            // A cache without links has copies of the blobs.
            let blob = self.blob(file);
            let target = if blob.is_file() { relative(&file.path, &file.etag) } else { present };
            symlink(target, &to).map_err(|e| Error::io("link", &to, e))?;
        }
        Ok(())
    }

    fn fetch(&self, file: &RemoteFile, cx: &mut Pull) -> Result<()> {
        let blob = self.blob(file);
        create_parent(&blob)?;
        let partial = blob.with_file_name(format!("{}.incomplete", file.etag));
        let fetched = self.client.fetch(self.repository, self.commit, file, &partial, cx.progress);
        fetched.map_err(|error| match error {
            Error::DiskFull { .. } => self.no_space(None),
            error => error,
        })?;
        if let Some(detail) = self.mismatch(file, &partial)? {
            let _ = fs::remove_file(&partial);
            let path = format!("{}@{}/{}", self.repository.name, self.commit, file.path).into();
            return Err(Error::ModelBroken { path, detail });
        }
        fs::rename(&partial, &blob).map_err(|e| Error::io("move", &partial, e))
    }

    /// What is wrong with the file at `path` as a copy of `file`, if anything is.
    fn mismatch(&self, file: &RemoteFile, path: &Path) -> Result<Option<String>> {
        let bytes = fs::metadata(path).map_err(|e| Error::io("read", path, e))?.len();
        if bytes != file.bytes {
            return Ok(Some(format!("it has {bytes} bytes, not {}", file.bytes)));
        }
        let found = sha256(path)?.unwrap_or_default();
        let recorded = self.expected.get(&file.path);
        let known = file.sha256.iter().chain(recorded);
        let differing = known.into_iter().find(|sum| **sum != found);
        Ok(differing.map(|sum| {
            let whose = if Some(sum) == recorded {
                "recorded when it was first pulled; name a revision (ORG/NAME@REVISION) to pull another"
            } else {
                "named by the hub"
            };
            format!("its SHA-256 is {found}, not {sum}, which was {whose}")
        }))
    }

    fn require_space(&self, missing: &[&RemoteFile]) -> Result<()> {
        let needed: u64 = missing.iter().map(|file| file.bytes).sum();
        match self.free_bytes() {
            Some(free) if free < needed => Err(self.no_space(Some(needed))),
            _ => Ok(()),
        }
    }

    fn free_bytes(&self) -> Option<u64> {
        let existing = self.folder.ancestors().find(|path| path.is_dir())?;
        let stat = rustix::fs::statvfs(existing).ok()?;
        Some(stat.f_bavail * stat.f_frsize)
    }

    fn no_space(&self, needed: Option<u64>) -> Error {
        Error::ModelSpace {
            folder: self.folder.clone(),
            needed,
            free: needed.and_then(|_| self.free_bytes()),
            setting: "HF_HUB_CACHE",
        }
    }

    fn blob(&self, file: &RemoteFile) -> PathBuf {
        self.folder.join("blobs").join(&file.etag)
    }
}

/// The folders that `modules.json` in `folder` names; none without the file.
pub fn modules_in(folder: &Path) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Module {
        path: String,
    }
    let path = folder.join(MODULES);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::PathUnreadable { path, source }),
    };
    let modules: Vec<Module> = serde_json::from_slice(&text)
        .map_err(|error| Error::ModelBroken { path, detail: error.to_string() })?;
    Ok(modules.into_iter().map(|module| module.path).collect())
}

/// Gives the staged snapshot its name, or moves its links into the one that is there.
fn publish(staged: &Path, snapshot: &Path) -> Result<()> {
    if !snapshot.exists() {
        return fs::rename(staged, snapshot).map_err(|e| Error::io("move", staged, e));
    }
    let entries = fs::read_dir(staged).map_err(|e| Error::io("list", staged, e))?;
    for from in entries.flatten().map(|entry| entry.path()) {
        let to = snapshot.join(from.file_name().unwrap_or_default());
        if from.is_dir() {
            publish(&from, &to)?;
        } else if !to.is_file() {
            fs::rename(&from, &to).map_err(|e| Error::io("move", &from, e))?;
        }
    }
    Ok(())
}

/// The link from the file `path` of a snapshot to its blob.
fn relative(path: &str, etag: &str) -> PathBuf {
    let up = "../".repeat(2 + path.matches('/').count());
    PathBuf::from(format!("{up}blobs/{etag}"))
}

fn create_parent(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))
}
