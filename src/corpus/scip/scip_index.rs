//! ScipIndex: what the `index.scip` files of all roots say about a file.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use super::fit;
use super::scip_file::ScipFile;
use crate::base::error::Warning;
use crate::corpus::source::{Repo, RepoPath, SCIP_FILE_NAME};

/// Of larger files the length and the time stand for the content, so that a run without changes need
/// not read them.
const HASHED_BYTES_MAX: u64 = 32 << 20;

/// One definition or use of a symbol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    /// Counted from 1.
    pub line: u32,
    /// The first column, in characters from 0.
    pub start_col: u32,
    /// One more than the last column; equal to the first for a module, which is defined by a file.
    pub end_col: u32,
    /// Identifies the symbol in all files.
    pub symbol: String,
    /// The name of the symbol where it is defined; empty for a local symbol.
    pub name: String,
    pub is_definition: bool,
}

/// The `index.scip` files at the top of the roots.
pub struct ScipIndex {
    files: Vec<(RootLabel, ScipFile)>,
    fingerprint: String,
}

/// The start of the paths of a root's files: empty, or with a slash at the end.
type RootLabel = String;

/// The text of a file is not the one that was indexed by SCIP, or its document is damaged.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit;

impl ScipIndex {
    /// Opens the files that there are. One that cannot be read is a warning, because symbols are known
    /// without it, too.
    pub fn open(repo: &Repo) -> (Self, Vec<Warning>) {
        let fingerprint = fingerprint(repo);
        let (mut files, mut warnings) = (Vec::new(), Vec::new());
        for (label, path) in paths(repo) {
            match ScipFile::open(&path) {
                Ok(file) => files.push((label, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => warnings.push(unreadable(&path.display().to_string(), &error)),
            }
        }
        (Self { files, fingerprint }, warnings)
    }

    /// As [`fingerprint`] when the files were opened.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The definitions and uses in a file, in the order of its text; none if no document describes it.
    ///
    /// text: as it is indexed.
    pub fn occurrences(&self, path: &RepoPath, text: &str) -> Result<Vec<Occurrence>, Misfit> {
        for (label, file) in &self.files {
            let Some(relative) = path.as_str().strip_prefix(label.as_str()) else { continue };
            match file.document(relative) {
                Ok(Some(document)) => {
                    return fit::occurrences(&document, path.as_str(), text).ok_or(Misfit);
                }
                Ok(None) => {}
                Err(_) => return Err(Misfit),
            }
        }
        Ok(Vec::new())
    }
}

/// Changes with the `index.scip` files; empty if there are none.
pub fn fingerprint(repo: &Repo) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut is_empty = true;
    for (label, path) in paths(repo) {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        is_empty = false;
        hasher.update(label.as_bytes()).update(&[0]).update(&metadata.len().to_le_bytes());
        let content = match metadata.len() {
            0..=HASHED_BYTES_MAX if metadata.is_file() => fs::read(&path).ok(),
            _ => None,
        };
        let modified =
            metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        match content {
            Some(content) => hasher.update(&content),
            None => hasher.update(&modified.unwrap_or_default().as_nanos().to_le_bytes()),
        };
    }
    if is_empty { String::new() } else { hasher.finalize().to_hex()[..16].to_owned() }
}

fn paths(repo: &Repo) -> impl Iterator<Item = (RootLabel, PathBuf)> {
    repo.folders().map(|(label, folder)| {
        let label = if label.is_empty() { String::new() } else { format!("{label}/") };
        (label, folder.join(SCIP_FILE_NAME))
    })
}

fn unreadable(path: &str, error: &io::Error) -> Warning {
    let message = format!(
        "{path} is not used: {error}; make it again, or remove it. Definitions and references come \
         from the syntax trees"
    );
    Warning::new("scip-unreadable", message)
}
