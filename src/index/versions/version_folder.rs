//! The layout of an index on disk: the name of every file and folder, in one place.
//!
//! ```text
//! <data>/CURRENT                      the name of the published version
//! <data>/LOCK                         held by the one writer
//! <data>/versions/000007/             a published version; never changes
//!     manifest.json                   what it was made with, and every part with its checksum
//!     catalog.duckdb                  files, chunks, symbols, references
//!     dense/  lexical/  symbols/      the files of each index
//!     sparse/                         the same, if a sparse model is set
//! <data>/versions/000008.staging/     a version that is being written
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result};

pub(super) const CURRENT: &str = "CURRENT";
pub(super) const LOCK: &str = "LOCK";
pub(super) const VERSIONS: &str = "versions";
/// Ends the name of a folder that is being written.
pub const STAGING: &str = ".staging";

/// Path of the catalog below the folder of a version: the one part that is written in place.
pub(super) const CATALOG: &str = "catalog.duckdb";
const MANIFEST: &str = "manifest.json";

/// The folder of one version, published or staged, and where each part lies in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionFolder {
    path: PathBuf,
}

impl VersionFolder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn manifest(&self) -> PathBuf {
        self.path.join(MANIFEST)
    }

    pub fn catalog(&self) -> PathBuf {
        self.path.join(CATALOG)
    }

    /// The folder of the vector index.
    pub fn dense(&self) -> PathBuf {
        self.path.join("dense")
    }

    /// The folder of the BM25 index.
    pub fn lexical(&self) -> PathBuf {
        self.path.join("lexical")
    }

    /// The folder of the symbol index.
    pub fn symbols(&self) -> PathBuf {
        self.path.join("symbols")
    }

    /// The folder of the sparse index; only versions with a sparse model have it.
    pub fn sparse(&self) -> PathBuf {
        self.path.join("sparse")
    }

    /// Creates this folder and those of its indexes.
    pub(super) fn create(&self) -> Result<()> {
        for folder in [self.dense(), self.lexical(), self.symbols()] {
            fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        }
        Ok(())
    }
}
