//! What is a version made of, and is every part of it whole?

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};

/// The catalog's file in the folder of a version.
pub const CATALOG: &str = "catalog.duckdb";

/// The format of the files of a version. A reader refuses any other.
pub const FORMAT: u32 = 1;
pub(super) const MANIFEST: &str = "manifest.json";
/// Files up to this size are checked against their checksum whenever a version is opened; larger
/// ones by length alone, and wholly by [`IndexVersion::verify`].
const CHECKED_BYTES_MAX: u64 = 32 << 20;

/// What a version is made of and made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub version: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// The folders and files that were indexed, as absolute paths.
    pub roots: Vec<String>,
    pub model: ModelRecord,
    pub chunk_tokens_max: usize,
    pub header_version: u32,
    /// Rows of the base; rows above it are the delta.
    pub base_chunks: usize,
    /// Every row, deleted ones included: ids are below it.
    pub total_chunks: usize,
    /// Rows that a search can find.
    pub live_chunks: usize,
    pub files: usize,
    /// The FAISS factory string of the base.
    pub dense_factory: String,
    pub dense_kind: String,
    pub parts: Vec<Part>,
}

/// The model that made the vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    pub name: String,
    /// Everything a vector depends on: name, weights, pooling, precision.
    pub key: String,
    pub dim: usize,
}

impl std::fmt::Display for ModelRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.key)
    }
}

/// One file of a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Relative to the version's folder.
    pub path: String,
    pub bytes: u64,
    /// BLAKE3, 64 hexadecimal digits.
    pub blake3: String,
}

/// A published version.
#[derive(Debug, Clone)]
pub struct IndexVersion {
    pub folder: PathBuf,
    pub manifest: Manifest,
}

impl IndexVersion {
    /// Reads every file of the version and compares it with its checksum.
    pub fn verify(&self) -> Result<()> {
        self.manifest.parts.iter().try_for_each(|part| self.check(part, true))
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.manifest.parts.iter().map(|part| part.bytes).sum()
    }

    /// Checks what opening a version checks: every length, and the checksums of small files.
    pub(super) fn check_parts(&self) -> Result<()> {
        let parts = self.manifest.parts.iter();
        parts
            .map(|part| (part, part.bytes <= CHECKED_BYTES_MAX))
            .try_for_each(|(part, whole)| self.check(part, whole))
    }

    fn check(&self, part: &Part, whole: bool) -> Result<()> {
        let path = self.folder.join(&part.path);
        let corrupt = |detail: String| Error::IndexCorrupt { path: path.clone(), detail };
        let found = fs::metadata(&path).map_err(|e| corrupt(e.to_string()))?.len();
        if found != part.bytes {
            return Err(corrupt(format!("it has {found} bytes, its manifest says {}", part.bytes)));
        }
        if whole && checksum(&path)? != part.blake3 {
            return Err(corrupt("its checksum is not the one in its manifest".to_owned()));
        }
        Ok(())
    }
}

/// The manifest of the version in `folder`.
pub(super) fn read_manifest(folder: &Path) -> Result<Manifest> {
    let path = folder.join(MANIFEST);
    let corrupt = |detail: String| Error::IndexCorrupt { path: path.clone(), detail };
    let text = fs::read(&path).map_err(|e| corrupt(e.to_string()))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| corrupt(e.to_string()))?;
    if manifest.format != FORMAT {
        let found = manifest.format;
        return Err(corrupt(format!("it has format {found}, this program reads {FORMAT}")));
    }
    Ok(manifest)
}

/// BLAKE3 of a file, 64 hexadecimal digits.
pub(super) fn checksum(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap_rayon(path).map_err(|e| Error::io("read", path, e))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// The time now, RFC 3339 in UTC, to the millisecond.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
