//! The manifest of known models.

use std::sync::LazyLock;

use serde::Deserialize;

use super::checksum::FileSums;
use super::record::Record;
use super::reference::Reference;
use crate::base::error::Error;

/// The known models.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    model: Vec<ModelEntry>,
}

/// One known model: its use, its source and its files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    pub name: String,
    /// SPDX name of the weights' licence.
    pub licence: String,
    pub summary: String,
    /// `model_type` in config.json.
    pub family: String,
    /// `mean`, `cls`, `last` or `splade`.
    pub pooling: String,
    pub dimension: usize,
    /// Maximum tokens of one text, including special tokens.
    pub tokens_max: usize,
    pub query_prompt: String,
    pub document_prompt: String,
    /// `None` if it is not known which repository the wheel took them from.
    pub hub: Option<Hub>,
    /// The wheels that carry the files. If they carry parts, these in their order are one zip.
    #[serde(rename = "wheel")]
    pub wheels: Vec<Wheel>,
    /// The folder of the model in the wheel, or in the zip.
    pub folder: String,
    /// What the reference implementation computes.
    pub reference: Reference,
    pub files: FileSums,
}

/// The place where the authors publish the files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    pub repository: String,
}

/// A Python wheel that carries the files, or a part of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    pub package: String,
    pub version: String,
    pub sha256: String,
    /// The path of the part in the wheel; `None` if the wheel has the files as they are.
    pub part: Option<String>,
}

impl Manifest {
    /// Returns the manifest compiled into the program.
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Manifest> = LazyLock::new(|| {
            let text = include_str!("../../../models/manifest.toml");
            toml::from_str(text).expect("the manifest is compiled in and a test reads it")
        });
        &BUILTIN
    }

    pub fn models(&self) -> &[ModelEntry] {
        &self.model
    }

    pub fn find(&self, name: &str) -> Option<&ModelEntry> {
        self.model.iter().find(|entry| entry.name == name)
    }

    /// The entry of the model that its authors publish in `repository`.
    pub fn of_repository(&self, repository: &str) -> Option<&ModelEntry> {
        let is_its = |hub: &Hub| hub.repository == repository;
        self.model.iter().find(|entry| entry.hub.as_ref().is_some_and(is_its))
    }

    /// The error for an unknown model name.
    pub(super) fn unknown(&self, name: &str) -> Error {
        let likeness = |entry: &&ModelEntry| {
            let (name, known) = (name.to_lowercase(), entry.name.to_lowercase());
            strsim::normalized_damerau_levenshtein(&name, &known)
        };
        let mut entries: Vec<_> = self.model.iter().collect();
        entries.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
        let nearest: Vec<_> =
            entries.iter().take(3).map(|entry| format!("{:?}", entry.name)).collect();
        let nearest = nearest.join(", ");
        let expected = format!(
            "a folder with config.json or modules.json, a repository of a hub (ORG/NAME), or a \
             known model (nearest: {nearest})"
        );
        Error::Argument { name: "model", value: name.to_owned(), expected }
    }
}

impl ModelEntry {
    /// The entry as the record of an installed model.
    pub(super) fn record(&self) -> Record {
        Record {
            name: self.name.clone(),
            licence: Some(self.licence.clone()),
            revision: None,
            folder: None,
            reference: Some(self.reference.clone()),
            files: self.files.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_in_the_tree_is_whole() {
        let manifest = Manifest::builtin();
        let names: std::collections::HashSet<_> =
            manifest.models().iter().map(|entry| &entry.name).collect();
        assert_eq!(names.len(), manifest.models().len());
        for entry in manifest.models() {
            let sums = entry.files.values().chain(entry.wheels.iter().map(|wheel| &wheel.sha256));
            assert!(
                sums.clone().all(|s| s.len() == 64 && s.bytes().all(|b| b.is_ascii_hexdigit()))
            );
            for needed in ["config.json", "tokenizer.json"] {
                assert!(entry.files.contains_key(needed), "{}: {needed}", entry.name);
            }
            assert!(["mean", "cls", "last", "splade"].contains(&entry.pooling.as_str()));
            assert!(entry.dimension > 0 && entry.tokens_max > 0);
        }
        let default = crate::base::config::Settings::default().model.name;
        assert!(manifest.find(&default).is_some(), "{default} is the default and must be known");
    }
}
