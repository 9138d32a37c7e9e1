//! The file name factor: file and folders are named after what the query speaks of.

use serde::Serialize;

use super::Subject;
use super::learnt::{FILE_COVERED, FILE_FOLDERS, FILE_STEM};

/// What the path of a file has to do with a query.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FileName {
    /// The share of the terms of the file's stem that the query has, 0 to 1.
    pub stem: f64,
    /// The same for its two innermost folders.
    pub folders: f64,
    /// The share of the query's terms that is in the path, 0 to 1.
    pub covered: f64,
}

impl FileName {
    pub fn of(subject: &Subject, path: &str) -> Self {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let stem = match name.split_once('.') {
            Some((stem, _)) if !stem.is_empty() => stem,
            _ => name,
        };
        let inner =
            folders.rmatch_indices('/').nth(1).map_or(folders, |(at, _)| &folders[at + 1..]);
        Self {
            stem: subject.covers(stem),
            folders: subject.covers(inner),
            covered: subject.covered_by(path),
        }
    }

    /// At least 1.
    pub fn factor(self) -> f64 {
        (1.0 + FILE_STEM * self.stem)
            * (1.0 + FILE_FOLDERS * self.folders)
            * (1.0 + FILE_COVERED * self.covered)
    }
}
