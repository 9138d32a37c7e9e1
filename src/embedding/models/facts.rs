//! Every model that is known here, and what its files say about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::hub::cache;
use super::identity::Task;
use super::{Manifest, ModelEntry, Record, files_of, installed, is_model, licence_of};
use crate::base::config::ModelPlaces;
use crate::base::error::{Error, Result};
use crate::embedding::nn::{
    Encoder, NetworkKind, SentenceConfig, TextConfig, has_answer_module, network_folder,
};

/// Where a model is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The manifest, by wheels.
    Manifest,
    /// Pulled from a hub.
    Pulled,
    /// Added from a folder.
    Added,
    /// In the cache of a hub, put there by another program.
    HubCache,
    /// In the folder of models, without a record.
    Folder,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Pulled => "pulled",
            Self::Added => "added",
            Self::HubCache => "hub cache",
            Self::Folder => "folder",
        }
    }
}

/// One known model.
#[derive(Debug, Clone)]
pub struct ModelState {
    pub name: String,
    pub source: Source,
    /// The folder of its files; `None` if it is not here.
    pub folder: Option<PathBuf>,
    pub licence: Option<String>,
    /// What the files, or the manifest, say; an error if nothing here computes such a model.
    pub facts: std::result::Result<Facts, String>,
}

/// What a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `model_type` in config.json.
    pub family: String,
    pub task: Task,
    /// Values of a vector.
    pub dimension: usize,
    /// Maximum tokens of one text, including special tokens.
    pub tokens_max: usize,
    pub pooling: String,
    /// Texts before a text, by their names.
    pub prompts: BTreeMap<String, String>,
    /// Bytes of its files on disk; `None` if they are not here.
    pub bytes: Option<u64>,
    /// What computes it.
    pub way: &'static str,
}

/// Lists every known model: the manifest's, recorded ones, those in the cache of the hub, and
/// folders in the folder of models.
pub fn list(places: &ModelPlaces) -> Vec<ModelState> {
    let manifest = Manifest::builtin().models();
    let mut states: Vec<_> = manifest.iter().map(|entry| of_entry(entry, places)).collect();
    for record in Record::list(&places.models) {
        let source = if record.revision.is_some() { Source::Pulled } else { Source::Added };
        let folder = record.model_folder(places).filter(|folder| is_model(folder));
        states.push(ModelState::new(record.name, source, folder, record.licence));
    }
    let mut seen: BTreeSet<String> = states.iter().map(|state| state.name.clone()).collect();
    let in_cache = cache::list(&places.hub.cache).into_iter().map(|of| (of, Source::HubCache));
    let in_folder = in_models(&places.models).into_iter().map(|of| (of, Source::Folder));
    for ((name, folder), source) in in_cache.chain(in_folder) {
        if seen.insert(name.clone()) {
            states.push(ModelState::new(name, source, Some(folder), None));
        }
    }
    states
}

fn of_entry(entry: &ModelEntry, places: &ModelPlaces) -> ModelState {
    let (name, licence) = (entry.name.clone(), Some(entry.licence.clone()));
    if let Some(folder) = installed(&entry.name, places) {
        return ModelState::new(name, Source::Manifest, Some(folder), licence);
    }
    let prompts = [("query", &entry.query_prompt), ("document", &entry.document_prompt)];
    let prompts = prompts.into_iter().filter(|(_, text)| !text.is_empty());
    let facts = Facts {
        family: entry.family.clone(),
        task: if entry.pooling == "splade" { Task::Expand } else { Task::Embed },
        dimension: entry.dimension,
        tokens_max: entry.tokens_max,
        pooling: entry.pooling.clone(),
        prompts: prompts.map(|(name, text)| (name.to_owned(), text.clone())).collect(),
        bytes: None,
        way: NetworkKind::Layers.as_str(),
    };
    ModelState { name, source: Source::Manifest, folder: None, licence, facts: Ok(facts) }
}

/// The models in the folder `models`, by their names.
fn in_models(models: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(models).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| is_model(path));
    let named = paths.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)));
    let mut found: Vec<_> = named.filter(|(name, _)| !name.starts_with('.')).collect();
    found.sort();
    found
}

impl ModelState {
    fn new(name: String, source: Source, folder: Option<PathBuf>, licence: Option<String>) -> Self {
        let missing =
            || Err(format!("its files are gone; get them with: codeintel model pull {name}"));
        let read = |folder: &PathBuf| Facts::read(folder).map_err(|error| error.to_string());
        let facts = folder.as_ref().map_or_else(missing, read);
        let licence = licence.or_else(|| licence_of(folder.as_deref()?));
        Self { name, source, folder, licence, facts }
    }
}

impl Facts {
    /// Reads the files in `folder`, without its weights.
    pub fn read(folder: &Path) -> Result<Self> {
        let network = network_folder(folder)?;
        let config = Config::read(&network)?;
        let (hidden, positions) = Encoder::limits(folder)?;
        let task = task_of(folder)?;
        let text = TextConfig::read(folder)?;
        let (dimension, pooling) = match task {
            Task::Score => (config.labels(), "-".to_owned()),
            Task::Expand => (config.vocab_size, "splade".to_owned()),
            Task::Embed | Task::TokenVectors => {
                let sentence = SentenceConfig::read(folder)?;
                let pooled = sentence.pooling.as_slice().len() * hidden;
                let dense = sentence.dense.last().map(|name| Config::read(&folder.join(name)));
                let whole = dense.transpose()?.map_or(pooled, |dense| dense.out_features);
                let dimension = sentence.truncate_dim.map_or(whole, |kept| kept.min(whole));
                (dimension, sentence.pooling.to_string())
            }
        };
        let prompts = text.prompts.names().into_iter().map(|name| (name, text.prompts.get(name)));
        let prompts = prompts.filter(|(_, text)| !text.is_empty());
        let prompts = prompts.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let bytes = |file: &String| fs::metadata(folder.join(file)).map_or(0, |file| file.len());
        let bytes = files_of(folder)?.iter().map(bytes).sum();
        Ok(Self {
            family: if config.model_type.is_empty() {
                "static".to_owned()
            } else {
                config.model_type
            },
            task,
            dimension,
            tokens_max: text.max_seq_length.unwrap_or(positions).min(positions),
            pooling,
            prompts: prompts.collect(),
            bytes: Some(bytes),
            way: NetworkKind::read(folder)?.as_str(),
        })
    }
}

/// What the model in `folder` is for, by its head.
pub fn task_of(folder: &Path) -> Result<Task> {
    let config = Config::read(&network_folder(folder)?)?;
    let architecture = config.architectures.first().map_or("", String::as_str);
    Ok(if architecture.ends_with("ForSequenceClassification") || has_answer_module(folder)? {
        Task::Score
    } else if architecture.ends_with("ForMaskedLM") && !folder.join("modules.json").is_file() {
        Task::Expand
    } else {
        Task::Embed
    })
}

/// Whether `config.json` in `folder` describes a network whose sizes do not depend on its weights,
/// as those of a static model do.
pub fn names_network(folder: &Path) -> Result<bool> {
    let config = Config::read(&network_folder(folder)?)?;
    Ok(!["", "model2vec"].contains(&config.model_type.as_str()))
}

/// The keys of `config.json` of a network or a dense layer that are shown.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    model_type: String,
    architectures: Vec<String>,
    vocab_size: usize,
    num_labels: Option<usize>,
    id2label: BTreeMap<String, String>,
    out_features: usize,
}

impl Config {
    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            // A module StaticEmbedding has no such file.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(Error::PathUnreadable { path, source }),
        };
        serde_json::from_slice(&text)
            .map_err(|error| Error::ModelBroken { path, detail: error.to_string() })
    }

    fn labels(&self) -> usize {
        if self.architectures.iter().any(|name| name.ends_with("ForCausalLM")) {
            return 1;
        }
        self.num_labels.unwrap_or(if self.id2label.is_empty() { 2 } else { self.id2label.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_model_with_a_module_for_its_answers_is_a_reranker() {
        let folder = tempfile::tempdir().unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/qwen3_rerank");
        for file in ["config.json", "tokenizer.json"] {
            fs::copy(golden.join(file), folder.path().join(file)).unwrap();
        }
        assert_eq!(task_of(folder.path()).unwrap(), Task::Embed);
        let modules =
            r#"[{"path": "", "type": "a.Transformer"}, {"path": "1", "type": "a.LogitScore"}]"#;
        fs::write(folder.path().join("modules.json"), modules).unwrap();
        let facts = Facts::read(folder.path()).unwrap();
        assert_eq!((facts.task, facts.dimension), (Task::Score, 1));
    }
}
