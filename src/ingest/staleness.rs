//! Why every file is indexed again: settings, model or program differ from those of the version.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::base::config::{Settings, process_env};
use crate::base::error::{Error, Result};
use crate::corpus::source::{Repo, policy_fingerprint};
use crate::corpus::{chunk, scip};
use crate::embedding::models::{self, ModelIdentity};
use crate::index::DenseIndex;
use crate::index::versions::{ModelParts, ModelRecord, VersionManifest};

/// Of larger files, which are weights, the length and the time stand for the content.
const HASHED_BYTES_MAX: u64 = 32 << 20;

/// What decides the chunks of `manifest` and how they are indexed, but is different now.
pub fn of_chunks(manifest: &VersionManifest, settings: &Settings, repo: &Repo) -> Vec<String> {
    let mut reasons = Vec::new();
    if manifest.scip != scip::fingerprint(repo) {
        reasons.push("index.scip has changed".to_owned());
    }
    let (tokens, before) = (settings.chunk.tokens_max, manifest.chunk_tokens_max);
    if tokens != before {
        reasons.push(format!("chunk.tokens_max is {tokens}, it was {before}"));
    }
    if manifest.chunker != chunk::fingerprint() {
        reasons.push("another release of codeintel split the files".to_owned());
    }
    let policy = policy_fingerprint(&settings.index);
    if manifest.policy != policy {
        let (now, before) = (policy.as_str(), manifest.policy.as_str());
        let before = if before.is_empty() { "none" } else { before };
        reasons.push(format!("the rules for kinds of files are {now}, they were {before}"));
    }
    let VersionManifest { base_chunks, dense_factory, .. } = manifest;
    let (kind, dim) = (settings.index.dense_kind, manifest.model.dim);
    let factory = DenseIndex::factory_of(kind, *base_chunks, dim);
    if factory != *dense_factory {
        reasons.push(format!("index.dense_kind is {kind}, the index is {dense_factory}"));
    }
    reasons
}

/// What decides the vectors of the version, but is different in the model of the same name that is
/// loaded now. An endpoint's model is another model, and so an error.
pub fn of_model(record: &ModelRecord, identity: &ModelIdentity) -> Result<Vec<String>> {
    let key = identity.index_key();
    if record.key == key {
        return Ok(Vec::new());
    }
    if record.key.starts_with("http-") || key.starts_with("http-") {
        return Err(mismatch(record, identity));
    }
    let now = parts(identity);
    let mut reasons = Vec::new();
    if let Some(before) = &record.parts {
        let mut differ = |what: &str, before: &str, now: &str| {
            if before != now {
                reasons.push(format!("the {what} is {now}, it was {before}"));
            }
        };
        let quoted = |text: &str| format!("{text:?}");
        let prompts = [before, &now].map(|parts| quoted(&parts.document_prompt));
        differ("document prompt of the model", &prompts[0], &prompts[1]);
        differ("pooling of the model", &before.pooling, &now.pooling);
        let lengths = [before, &now].map(|parts| if parts.normalize { "1" } else { "any" });
        differ("length of the model's vectors", lengths[0], lengths[1]);
        let tokens = [before, &now].map(|parts| parts.tokens_max.to_string());
        differ("number of tokens that the model reads", &tokens[0], &tokens[1]);
        let dims = [record.dim, identity.dim].map(|dim| dim.to_string());
        differ("dimension of the model", &dims[0], &dims[1]);
        differ("number format (engine.dtype)", &before.dtype, &now.dtype);
        if before.revision != now.revision {
            reasons.push("the files of the model are others".to_owned());
        }
    }
    if reasons.is_empty() {
        reasons.push(format!("the model is {key}, it was {}", record.key));
    }
    Ok(reasons)
}

pub fn mismatch(record: &ModelRecord, identity: &ModelIdentity) -> Error {
    Error::IndexModelMismatch { index: record.to_string(), asked: identity.to_string() }
}

/// The parts of the key of `identity`, for the manifest.
pub fn parts(identity: &ModelIdentity) -> ModelParts {
    ModelParts {
        revision: identity.revision.clone(),
        pooling: identity.pooling.to_string(),
        normalize: identity.normalize,
        tokens_max: identity.max_tokens,
        dtype: identity.dtype.as_str().to_owned(),
        document_prompt: identity.document_prompt.clone(),
    }
}

/// A fingerprint of the model's folder and of the settings that select what embeds. While it is the
/// same, the model need not be loaded to know that it is the same.
///
/// Returns an error if the folder cannot be read.
pub fn model_state(settings: &Settings) -> Result<String> {
    folder_state(&settings.model.name, settings)
}

/// The same of another model. model: a folder or a name.
pub fn folder_state(model: &str, settings: &Settings) -> Result<String> {
    let folder = models::resolve(model, &settings.model.places(process_env))?.path;
    let mut hasher = blake3::Hasher::new();
    let selected = [
        settings.vllm.mode.to_string(),
        settings.endpoint.url.clone(),
        settings.endpoint.model.clone(),
        settings.engine.dtype.to_string(),
        settings.engine.device.to_string(),
    ];
    for setting in selected {
        hasher.update(setting.as_bytes()).update(&[0]);
    }
    for path in files(&folder)? {
        let unreadable = |source| Error::PathUnreadable { path: path.clone(), source };
        let metadata = fs::metadata(&path).map_err(unreadable)?;
        let name = path.strip_prefix(&folder).unwrap_or(&path);
        hasher.update(name.as_os_str().as_encoded_bytes()).update(&[0]);
        hasher.update(&metadata.len().to_le_bytes());
        if metadata.len() <= HASHED_BYTES_MAX {
            hasher.update(&fs::read(&path).map_err(unreadable)?);
        } else {
            let modified = metadata.modified().map_err(unreadable)?;
            let age = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
            hasher.update(&age.as_nanos().to_le_bytes());
        }
    }
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

/// The files in `folder` and in its folders, which hold its modules, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = |folder: &Path| -> Result<Vec<PathBuf>> {
        let unreadable = |source| Error::PathUnreadable { path: folder.to_path_buf(), source };
        let entries = fs::read_dir(folder).map_err(unreadable)?;
        entries.map(|entry| entry.map(|entry| entry.path()).map_err(unreadable)).collect()
    };
    let mut files = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            files.extend(entries(&path)?.into_iter().filter(|path| path.is_file()));
        } else if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
