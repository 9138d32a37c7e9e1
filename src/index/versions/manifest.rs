//! The manifest of a version: what it was made with, and the length and checksum of each part.

use std::fs;

use serde::{Deserialize, Serialize};

use super::file::corrupt;
use super::version_folder::VersionFolder;
use crate::base::error::Result;

/// The format of the files of a version. A reader refuses any other.
pub const FORMAT: u32 = 1;

/// What a version consists of and was made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionManifest {
    pub format: u32,
    pub version: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// The folders and files that were indexed, as absolute paths.
    pub roots: Vec<String>,
    pub model: ModelRecord,
    /// The model of the sparse index; `None` if there is no such index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse: Option<SparseRecord>,
    pub chunk_tokens_max: usize,
    pub header_version: u32,
    /// A fingerprint of the chunker and its grammars; empty in versions of older releases.
    #[serde(default)]
    pub chunker: String,
    /// The version of the rules for kinds of files, and the settings that add to them; empty in
    /// versions of older releases.
    #[serde(default)]
    pub policy: String,
    /// A fingerprint of the model's folder and of the settings that select what embeds; empty in
    /// versions of older releases. If it is the same, the model is the same, without loading it.
    #[serde(default)]
    pub model_state: String,
    /// A fingerprint of the `index.scip` files; empty if there were none.
    #[serde(default)]
    pub scip: String,
    /// Rows of the base; rows above it are the delta.
    pub base_chunks: usize,
    /// All rows, deleted ones included; every chunk id is below it.
    pub total_chunks: usize,
    /// Rows that are not deleted.
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
    /// The parts of the key; `None` in versions of older releases.
    #[serde(default)]
    pub parts: Option<ModelParts>,
}

/// What decides the vector of a text, one by one, so that a difference can be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelParts {
    /// A hash over the configuration, the tokenizer and the weights.
    pub revision: String,
    pub pooling: String,
    pub normalize: bool,
    pub tokens_max: usize,
    pub dtype: String,
    pub document_prompt: String,
}

/// The model that made the sparse vectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SparseRecord {
    pub name: String,
    /// Everything a sparse vector depends on.
    pub key: String,
    /// As `model_state`, of the folder of this model.
    pub state: String,
}

impl std::fmt::Display for SparseRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.key)
    }
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

impl VersionManifest {
    /// The manifest of the version in `folder`.
    pub(super) fn read(folder: &VersionFolder) -> Result<Self> {
        let path = folder.manifest();
        let text = fs::read(&path).map_err(|e| corrupt(&path, e.to_string()))?;
        let manifest: Self =
            serde_json::from_slice(&text).map_err(|e| corrupt(&path, e.to_string()))?;
        if manifest.format != FORMAT {
            let found = manifest.format;
            let detail = format!("it has format {found}, but this program reads format {FORMAT}");
            return Err(corrupt(&path, detail));
        }
        Ok(manifest)
    }
}

/// The time now, RFC 3339 in UTC, to the millisecond.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
