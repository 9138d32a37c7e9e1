//! A folder that becomes a model with a name.

use std::path::Path;

use super::checksum::FileSums;
use super::hub::cache::is_name_part;
use super::pull::{complete, lock};
use super::record::Record;
use super::reference::Reference;
use super::{Manifest, ModelFolder, check_config, is_model, licence_of, not_a_model};
use crate::base::config::ModelPlaces;
use crate::base::error::{Error, Result};

/// Records the model in `folder` under `name`, or else under the name of the folder. The files stay
/// where they are.
pub fn add(
    folder: &Path,
    name: Option<&str>,
    places: &ModelPlaces,
    compute: &dyn Fn(&ModelFolder) -> Result<Option<Reference>>,
) -> Result<ModelFolder> {
    if !folder.exists() {
        return Err(Error::PathNotFound { path: folder.to_path_buf() });
    }
    if !is_model(folder) {
        return Err(not_a_model(folder));
    }
    let path = folder.canonicalize().map_err(|e| Error::io("find", folder, e))?;
    let name = name.map_or_else(|| ModelFolder::at(&path).name, str::to_owned);
    let _lock = lock(&places.models, &mut |_| {})?;
    check_name(&name, &path, &places.models)?;
    check_config(&path)?;
    let record = Record {
        name,
        licence: licence_of(&path),
        revision: None,
        folder: Some(path.clone()),
        reference: None,
        files: FileSums::new(),
    };
    complete(record, path, &places.models, compute)
}

fn check_name(name: &str, path: &Path, models: &Path) -> Result<()> {
    let refuse =
        |expected: String| Err(Error::Argument { name: "name", value: name.to_owned(), expected });
    let mut parts = name.split('/');
    if !parts.clone().all(is_name_part) || parts.by_ref().count() > 2 {
        return refuse(
            "letters, digits, dots, dashes and underscores, with at most one slash".into(),
        );
    }
    let taken = |by: &str| refuse(format!("a name that is not taken; {name} is {by}"));
    if Manifest::builtin().find(name).is_some() || is_model(&models.join(name)) {
        return taken("a model of `codeintel model list`");
    }
    match Record::read(models, name)? {
        Some(record) if record.folder.as_deref() != Some(path) => taken(&format!(
            "recorded in {}; remove that file to use the name again",
            Record::path(models, name).display()
        )),
        _ => Ok(()),
    }
}
