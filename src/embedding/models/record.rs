//! Records of models that are not in the manifest: what was pulled from a hub, or added from a folder.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checksum::FileSums;
use super::hub::cache::Repository;
use super::reference::Reference;
use crate::base::config::ModelPlaces;
use crate::base::error::{Error, Result};

/// The folder of the records in the folder of models.
const FOLDER: &str = "records";

/// What is known of a model since it was pulled or added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub name: String,
    /// SPDX name of the weights' licence, if the files or the hub name one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// The commit of a repository of a hub, whose files are in the hub's cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The folder of an added model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// What the CPU computes in f32 for three texts; `None` for a model too large for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    pub files: FileSums,
}

impl Record {
    /// The record of `name` in the folder of models.
    pub fn read(models: &Path, name: &str) -> Result<Option<Self>> {
        let path = Self::path(models, name);
        match fs::read_to_string(&path) {
            Ok(text) => parse(&path, &text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::PathUnreadable { path, source }),
        }
    }

    /// Replaces an older record of the same name in one step.
    pub fn write(&self, models: &Path) -> Result<()> {
        let path = Self::path(models, &self.name);
        let folder = models.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        let text = toml::to_string(self).map_err(Error::library("toml", "write a record"))?;
        let staged = path.with_extension("toml.new");
        let write = fs::write(&staged, text).and_then(|()| fs::rename(&staged, &path));
        write.map_err(|e| Error::io("write", &path, e))
    }

    /// Every record in the folder of models that can be read, sorted by name.
    pub fn list(models: &Path) -> Vec<Self> {
        let entries = fs::read_dir(models.join(FOLDER)).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let read = |path: PathBuf| parse(&path, &fs::read_to_string(&path).ok()?).ok();
        let mut records: Vec<_> =
            paths.filter(|p| p.extension().is_some_and(|e| e == "toml")).filter_map(read).collect();
        records.sort_by(|a, b| a.name.cmp(&b.name));
        records
    }

    /// The record of the model whose files are in `folder`.
    pub fn of_folder(folder: &Path, places: &ModelPlaces) -> Option<Self> {
        let records = Self::list(&places.models);
        let path = (!records.is_empty()).then(|| folder.canonicalize().ok()).flatten()?;
        let is_its = |record: &Self| {
            let own = record.model_folder(places).and_then(|own| own.canonicalize().ok());
            own.as_deref() == Some(&path)
        };
        records.into_iter().find(is_its)
    }

    /// The folder of the model's files, which may be gone.
    pub fn model_folder(&self, places: &ModelPlaces) -> Option<PathBuf> {
        let snapshot = |revision: &String| {
            let repository = Repository { name: self.name.clone(), revision: None };
            repository.snapshot(&places.hub.cache, revision)
        };
        self.folder.clone().or_else(|| self.revision.as_ref().map(snapshot))
    }

    /// The file of the record of `name` in the folder of models.
    pub fn path(models: &Path, name: &str) -> PathBuf {
        models.join(FOLDER).join(format!("{}.toml", name.replace('/', "--")))
    }
}

fn parse(path: &Path, text: &str) -> Result<Record> {
    toml::from_str(text).map_err(|error| Error::ConfigSyntax {
        path: path.to_path_buf(),
        detail: format!("{}; remove the file and pull or add the model again", error.message()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let models = tempfile::tempdir().unwrap();
        let record = Record {
            name: "org/model".to_owned(),
            licence: Some("mit".to_owned()),
            revision: Some("a".repeat(40)),
            folder: None,
            reference: Some(Reference::new(vec![vec![0.25, -1.5], vec![0.0], vec![3.0]])),
            files: FileSums::from([("1_Pooling/config.json".to_owned(), "b".repeat(64))]),
        };
        record.write(models.path()).unwrap();
        assert_eq!(Record::read(models.path(), "org/model").unwrap().as_ref(), Some(&record));
        assert_eq!(Record::list(models.path()), [record]);
        assert_eq!(Record::read(models.path(), "other").unwrap(), None);
        fs::write(Record::path(models.path(), "x"), "name = 1").unwrap();
        let error = Record::read(models.path(), "x").unwrap_err().to_string();
        assert!(error.contains("x.toml") && error.contains("remove the file"), "{error}");
    }
}
