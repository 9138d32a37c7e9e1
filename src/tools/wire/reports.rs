//! The JSON of the commands index, status, versions, model and doctor.

use schemars::JsonSchema;
use serde::Serialize;

use super::runs::{RunStep, steps};
use crate::base::error::Result;
use crate::base::telemetry::RunReport;
use crate::embedding::models::ModelState;
use crate::index::catalog::Catalog;
use crate::index::versions::IndexVersion;
use crate::index::versions::VersionManifest;

/// The answer of `codeintel index --json`.
#[derive(Serialize)]
pub struct IngestAnswer<'a> {
    outcome: &'static str,
    reasons: &'a [String],
    version: &'a str,
    files: usize,
    files_changed: usize,
    files_removed: usize,
    files_skipped: std::collections::BTreeMap<&'static str, usize>,
    chunks: usize,
    chunks_written: usize,
    chunks_embedded: usize,
    chunks_expanded: usize,
    chunks_truncated: usize,
    tokens: usize,
    bytes_on_disk: u64,
    elapsed_ms: f64,
    stages: Vec<RunStep>,
}

impl<'a> IngestAnswer<'a> {
    pub fn new(done: &'a crate::ingest::IngestReport, report: &RunReport) -> Self {
        use crate::ingest::IngestOutcome;
        let skipped = done.skipped.iter().filter(|(_, files)| *files > 0);
        Self {
            outcome: match done.outcome {
                IngestOutcome::Built => "built",
                IngestOutcome::Updated => "updated",
                IngestOutcome::Unchanged => "unchanged",
            },
            reasons: &done.reasons,
            version: &done.version,
            files: done.files,
            files_changed: done.files_changed,
            files_removed: done.files_removed,
            files_skipped: skipped.map(|(reason, files)| (reason.as_str(), files)).collect(),
            chunks: done.chunks,
            chunks_written: done.chunks_written,
            chunks_embedded: done.chunks_embedded,
            chunks_expanded: done.chunks_expanded,
            chunks_truncated: done.chunks_truncated,
            tokens: done.tokens,
            bytes_on_disk: done.bytes_on_disk,
            elapsed_ms: done.elapsed.as_secs_f64() * 1e3,
            stages: steps(report),
        }
    }
}

/// The answer of `codeintel status --json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusAnswer {
    pub data: String,
    pub version: String,
    pub indexed_at: String,
    pub roots: Vec<String>,
    pub model: String,
    pub dim: usize,
    /// Model of the sparse channel; absent if that is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparse_model: Option<String>,
    pub dense_kind: String,
    pub dense_factory: String,
    pub files: usize,
    /// Chunks that a search can find.
    pub chunks: usize,
    pub symbols: usize,
    /// Rows of the base. Later rows belong to the delta.
    pub base_chunks: usize,
    pub total_chunks: usize,
    pub bytes_on_disk: u64,
    /// Files on disk that differ from this version; null if that is not known.
    pub dirty_files: Option<usize>,
    pub languages: Vec<LanguageCount>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct LanguageCount {
    pub name: String,
    pub files: usize,
    pub chunks: usize,
}

impl StatusAnswer {
    pub fn new(data: &std::path::Path, version: &IndexVersion, catalog: &Catalog) -> Result<Self> {
        let manifest = &version.manifest;
        let languages = catalog.languages()?.into_iter().map(|l| LanguageCount {
            name: l.language,
            files: l.files as usize,
            chunks: l.chunks as usize,
        });
        Ok(Self {
            data: data.display().to_string(),
            version: manifest.version.clone(),
            indexed_at: manifest.created_at.clone(),
            roots: manifest.roots.clone(),
            model: manifest.model.name.clone(),
            dim: manifest.model.dim,
            sparse_model: manifest.sparse.as_ref().map(|record| record.name.clone()),
            dense_kind: manifest.dense_kind.clone(),
            dense_factory: manifest.dense_factory.clone(),
            files: manifest.files,
            chunks: manifest.live_chunks,
            symbols: catalog.counts()?.symbols as usize,
            base_chunks: manifest.base_chunks,
            total_chunks: manifest.total_chunks,
            bytes_on_disk: version.bytes(),
            dirty_files: None,
            languages: languages.collect(),
        })
    }
}

/// One published version.
#[derive(Serialize)]
pub struct VersionAnswer<'a> {
    version: &'a str,
    current: bool,
    created_at: &'a str,
    files: usize,
    chunks: usize,
    dense_kind: &'a str,
    model: &'a str,
}

impl<'a> VersionAnswer<'a> {
    pub fn new(manifest: &'a VersionManifest, current: &str) -> Self {
        Self {
            version: &manifest.version,
            current: manifest.version == current,
            created_at: &manifest.created_at,
            files: manifest.files,
            chunks: manifest.live_chunks,
            dense_kind: &manifest.dense_kind,
            model: &manifest.model.name,
        }
    }
}

/// One known model.
#[derive(Serialize)]
pub struct ModelAnswer<'a> {
    name: &'a str,
    source: &'static str,
    folder: Option<&'a std::path::Path>,
    licence: Option<&'a str>,
    #[serde(flatten)]
    facts: Option<ModelFacts<'a>>,
    /// Why the files cannot be used.
    problem: Option<&'a str>,
}

#[derive(Serialize)]
struct ModelFacts<'a> {
    family: &'a str,
    task: &'static str,
    way: &'static str,
    dimension: usize,
    max_tokens: usize,
    pooling: &'a str,
    prompts: &'a std::collections::BTreeMap<String, String>,
    bytes: Option<u64>,
}

impl<'a> From<&'a ModelState> for ModelAnswer<'a> {
    fn from(state: &'a ModelState) -> Self {
        let facts = state.facts.as_ref().ok().map(|facts| ModelFacts {
            family: &facts.family,
            task: facts.task.as_str(),
            way: facts.way,
            dimension: facts.dimension,
            max_tokens: facts.tokens_max,
            pooling: &facts.pooling,
            prompts: &facts.prompts,
            bytes: facts.bytes,
        });
        Self {
            name: &state.name,
            source: state.source.as_str(),
            folder: state.folder.as_deref(),
            licence: state.licence.as_deref(),
            facts,
            problem: state.facts.as_ref().err().map(String::as_str),
        }
    }
}

/// One check of `codeintel doctor`.
#[derive(Serialize)]
pub struct DoctorCheck {
    pub name: &'static str,
    /// `ok`, `note` or `fail`.
    pub state: &'static str,
    pub found: String,
    pub remedy: Option<String>,
}
