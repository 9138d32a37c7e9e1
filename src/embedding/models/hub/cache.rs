//! The cache of `huggingface_hub` on disk: which snapshots of which repositories are here.
//!
//! `models--ORG--NAME/{blobs/ETAG, refs/BRANCH, snapshots/COMMIT/FILE}`; a file of a snapshot links
//! to its blob.

use std::fs;
use std::path::{Path, PathBuf};

use crate::embedding::models::is_model;

const PREFIX: &str = "models--";
const SNAPSHOTS: &str = "snapshots";
/// The branch of a repository if no revision is named.
pub const MAIN: &str = "main";

/// Whether `part` is an organisation or a model, as names have them on both sides of a slash.
pub fn is_name_part(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphanumeric())
        && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// A repository of models at a hub: `ORG/NAME`, at one revision if that is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    pub name: String,
    /// A branch, a tag or a commit.
    pub revision: Option<String>,
}

impl Repository {
    /// Reads `ORG/NAME[@REVISION]`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, revision) = match text.split_once('@') {
            Some((name, revision)) => (name, Some(revision.to_owned())),
            None => (text, None),
        };
        let (org, model) = name.split_once('/')?;
        let is_revision = |text: &String| {
            let part = |part: &str| !part.is_empty() && !part.starts_with('.');
            text.split('/').all(part) && !text.contains(['\\', '?', '#', ' ', '%'])
        };
        let valid = is_name_part(org) && is_name_part(model) && revision.iter().all(is_revision);
        valid.then(|| Self { name: name.to_owned(), revision })
    }

    /// The folder of the repository in `cache`.
    pub fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(format!("{PREFIX}{}", self.name.replace('/', "--")))
    }

    /// The folder of the files of `commit` in `cache`.
    pub fn snapshot(&self, cache: &Path, commit: &str) -> PathBuf {
        self.folder(cache).join(SNAPSHOTS).join(commit)
    }

    /// The commit and the folder of the snapshot in `cache` that is meant: that of the revision, or
    /// of the branch main, or the only one.
    pub fn cached(&self, cache: &Path) -> Option<(String, PathBuf)> {
        let folder = self.folder(cache);
        let revision = self.revision.as_deref().unwrap_or(MAIN);
        let commit = match fs::read_to_string(folder.join("refs").join(revision)) {
            Ok(commit) => commit.trim().to_owned(),
            Err(_) if self.revision.is_some() => revision.to_owned(),
            Err(_) => {
                let mut commits = names_in(&folder.join(SNAPSHOTS));
                commits.pop().filter(|_| commits.is_empty())?
            }
        };
        let path = is_commit(&commit).then(|| self.snapshot(cache, &commit))?;
        is_model(&path).then_some((commit, path))
    }
}

/// Whether `revision` is the hash of a commit, and no branch or tag.
pub fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The repository whose snapshot `path` is, if it is in a hub cache.
pub fn name_of(path: &Path) -> Option<String> {
    let snapshots = path.parent().filter(|parent| parent.ends_with(SNAPSHOTS))?;
    let repository = snapshots.parent()?.file_name()?.to_str()?.strip_prefix(PREFIX)?;
    Some(repository.replacen("--", "/", 1))
}

/// Every repository in `cache` that has a snapshot with a model, sorted by name.
pub fn list(cache: &Path) -> Vec<(String, PathBuf)> {
    let repositories = names_in(cache).into_iter().filter_map(|folder| {
        let name = folder.strip_prefix(PREFIX)?.replacen("--", "/", 1);
        let (_, path) = Repository { name: name.clone(), revision: None }.cached(cache)?;
        Some((name, path))
    });
    repositories.collect()
}

/// The names in `folder` that are not hidden, sorted.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_repository_has_two_parts_and_perhaps_a_revision() {
        let parse = |text| Repository::parse(text).map(|r| (r.name, r.revision));
        let named = |name: &str, revision: Option<&str>| {
            Some((name.to_owned(), revision.map(str::to_owned)))
        };
        assert_eq!(parse("BAAI/bge-small-en-v1.5"), named("BAAI/bge-small-en-v1.5", None));
        assert_eq!(parse("a/b@refs/pr/1"), named("a/b", Some("refs/pr/1")));
        for bad in ["a", "a/b/c", "./a", "../a", "/a", "a/", "a/b@", "a/b@..", "a/b@x/../y", "~/a"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_snapshot_of_main_or_the_only_one_is_meant() {
        let cache = tempfile::tempdir().unwrap();
        let repository = Repository::parse("org/some--model").unwrap();
        let (old, new) = ("a".repeat(40), "b".repeat(40));
        let write = |path: &str, text: &str| {
            let path = repository.folder(cache.path()).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(repository.cached(cache.path()), None);
        write(&format!("snapshots/{old}/config.json"), "{}");
        let commit = |repository: &Repository| Some(repository.cached(cache.path())?.0);
        assert_eq!(commit(&repository).as_ref(), Some(&old));
        write(&format!("snapshots/{new}/config.json"), "{}");
        assert_eq!(commit(&repository), None, "two, and none of them is main");
        write("refs/main", &new);
        assert_eq!(commit(&repository).as_ref(), Some(&new));
        let (_, path) = repository.cached(cache.path()).unwrap();
        assert_eq!(name_of(&path).as_deref(), Some("org/some--model"));
        assert_eq!(list(cache.path()), [("org/some--model".to_owned(), path)]);
        let pinned = Repository { revision: Some(old.clone()), ..repository.clone() };
        assert_eq!(commit(&pinned), Some(old));
    }
}
