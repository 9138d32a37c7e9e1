//! Which models are known, which are installed, and are their files intact?
//!
//! The manifest is `models/manifest.toml`, compiled into the program. Only [`pull`] accesses the
//! network.

pub(in crate::embedding) mod identity;
mod manifest;
mod pull;

use std::path::{Path, PathBuf};

pub use identity::{ModelIdentity, Task};
pub use manifest::{Hub, Manifest, ModelEntry, Wheel};
pub use pull::pull;

use crate::base::error::{Error, Result};

/// The files of which one marks a folder as a model: the network of a folder with `modules.json`
/// may be in a folder inside it. An adapter is refused when it is loaded.
const MARKS: [&str; 3] = ["config.json", "modules.json", "adapter_config.json"];

/// A folder that holds a model.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    /// The name in the manifest, or the name of the folder.
    pub name: String,
    pub path: PathBuf,
    /// The manifest's entry; `None` for a folder that is not in the manifest.
    pub entry: Option<&'static ModelEntry>,
}

impl ModelFolder {
    /// Uses the folder `path` without consulting the manifest.
    pub fn at(path: &Path) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self { name, path: path.to_path_buf(), entry: None }
    }
}

/// One known model, and its folder if it is installed.
#[derive(Debug, Clone)]
pub struct ModelState {
    pub entry: &'static ModelEntry,
    pub folder: Option<PathBuf>,
}

/// The checksum comparison of one file of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCheck {
    /// Path relative to the model's folder.
    pub file: String,
    /// SHA-256, 64 hexadecimal digits.
    pub expected: String,
    /// SHA-256 of the installed file; `None` if the file is missing.
    pub found: Option<String>,
}

impl FileCheck {
    pub fn is_ok(&self) -> bool {
        self.found.as_ref() == Some(&self.expected)
    }
}

/// Whether `folder` looks like that of a model.
fn is_model(folder: &Path) -> bool {
    MARKS.iter().any(|mark| folder.join(mark).is_file())
}

/// Lists every model in the order of the manifest.
pub fn list(models_dir: &Path) -> Vec<ModelState> {
    let state = |entry: &'static ModelEntry| {
        let folder = models_dir.join(&entry.name);
        ModelState { entry, folder: is_model(&folder).then_some(folder) }
    };
    Manifest::builtin().models().iter().map(state).collect()
}

/// Finds the model for `name_or_folder` without accessing the network.
///
/// A folder with `config.json` or `modules.json` is used directly. Otherwise the name is looked up in `models_dir`.
pub fn resolve(name_or_folder: &str, models_dir: &Path) -> Result<ModelFolder> {
    let manifest = Manifest::builtin();
    let here = Path::new(name_or_folder);
    if is_model(here) {
        return Ok(ModelFolder::at(here));
    }
    let entry = manifest.find(name_or_folder);
    let folder = models_dir.join(name_or_folder);
    if !name_or_folder.is_empty() && is_model(&folder) {
        let name = name_or_folder.to_owned();
        return Ok(ModelFolder { name, path: folder, entry });
    }
    match entry {
        Some(entry) => Err(Error::ModelMissing {
            model: entry.name.clone(),
            looked_in: models_dir.display().to_string(),
            remedy: format!("codeintel model pull {}", entry.name),
        }),
        None => Err(manifest.unknown(name_or_folder)),
    }
}

/// Compares each file with its known checksum. The result is empty for a folder without an entry.
pub fn verify(folder: &ModelFolder) -> Result<Vec<FileCheck>> {
    let entry = folder.entry.or_else(|| Manifest::builtin().find(&folder.name));
    entry.map_or_else(|| Ok(Vec::new()), |entry| entry.verify(&folder.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_model_that_is_not_here_names_the_command_that_gets_it() {
        let models = tempfile::tempdir().unwrap();
        let error = resolve("all-MiniLM-L6-v2", models.path()).unwrap_err();
        assert!(matches!(error, Error::ModelMissing { .. }));
        assert!(error.to_string().contains("codeintel model pull all-MiniLM-L6-v2"), "{error}");
        assert!(list(models.path()).iter().all(|state| state.folder.is_none()));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_known_one() {
        let models = tempfile::tempdir().unwrap();
        let error = resolve("all-minilm-l6", models.path()).unwrap_err().to_string();
        assert!(error.contains("\"all-MiniLM-L6-v2\""), "{error}");
        assert!(error.contains("all-minilm-l6"), "{error}");
    }

    #[test]
    fn a_folder_is_taken_as_it_is_and_a_name_is_found_in_the_models_folder() {
        let models = tempfile::tempdir().unwrap();
        let mine = models.path().join("mine");
        std::fs::create_dir(&mine).unwrap();
        std::fs::write(mine.join(MARKS[0]), "{}").unwrap();
        let by_path = resolve(mine.to_str().unwrap(), Path::new("/nowhere")).unwrap();
        let by_name = resolve("mine", models.path()).unwrap();
        assert_eq!((by_path.name.as_str(), by_name.name.as_str()), ("mine", "mine"));
        assert_eq!(by_path.path, by_name.path);
        assert_eq!(verify(&by_name).unwrap(), []);
    }
}
