//! Which models are known, where are their files, and are they intact?
//!
//! A model is in the manifest (`models/manifest.toml`, compiled into the program), at a hub, or in a
//! folder. Only [`Pull`] accesses the network.

mod add;
mod checksum;
mod facts;
mod hub;
pub(in crate::embedding) mod identity;
mod manifest;
mod pull;
mod record;
mod reference;
mod wheels;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub use add::add;
pub use checksum::FileCheck;
pub use facts::{Facts, ModelState, Source, list, task_of};
pub use identity::{ModelIdentity, Task};
pub use manifest::{Hub, Manifest, ModelEntry, Wheel};
pub use pull::{Progress, Pull};
pub use record::Record;
pub use reference::{Nearness, Reference};

use self::hub::cache::{self, Repository};
use crate::base::config::ModelPlaces;
use crate::base::error::{Error, Result};
use crate::embedding::nn::{Encoder, network_folder};
use crate::embedding::token::Tokenizer;

/// The files of which one marks a folder as a model: the network of a folder with `modules.json`
/// may be in a folder inside it. An adapter is refused when it is loaded.
const MARKS: [&str; 3] = ["config.json", "modules.json", "adapter_config.json"];

/// A folder that holds a model.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    /// The name in the manifest or at the hub, or the name of the folder.
    pub name: String,
    pub path: PathBuf,
    /// What is known of the files; `None` for a folder that was never pulled or added.
    pub record: Option<Record>,
}

impl ModelFolder {
    /// Uses the folder `path` without looking for its record. A snapshot in the cache of a hub has
    /// the name of its repository.
    pub fn at(path: &Path) -> Self {
        let own = || path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let name = cache::name_of(path).unwrap_or_else(own);
        Self { name, path: path.to_path_buf(), record: None }
    }

    fn recorded(record: Record, path: PathBuf) -> Self {
        Self { name: record.name.clone(), path, record: Some(record) }
    }

    /// Compares each file with its recorded checksum. The result is empty without a record.
    pub fn check_files(&self) -> Result<Vec<FileCheck>> {
        let record = self.record.as_ref();
        record.map_or_else(|| Ok(Vec::new()), |record| checksum::compare(&self.path, &record.files))
    }
}

/// Finds the model for `name_or_folder` without accessing the network.
///
/// A folder with `config.json` or `modules.json` is used directly. Otherwise it is a name in the
/// folder of models, or a repository whose files are in the cache of a hub.
pub fn resolve(name_or_folder: &str, places: &ModelPlaces) -> Result<ModelFolder> {
    let here = Path::new(name_or_folder);
    if is_model(here) {
        return Ok(ModelFolder {
            record: Record::of_folder(here, places),
            ..ModelFolder::at(here)
        });
    }
    if here.is_dir() && here.components().count() > 1 {
        return Err(not_a_model(here));
    }
    let repository = Repository::parse(name_or_folder);
    let name = repository.as_ref().map_or(name_or_folder, |repository| &repository.name);
    let manifest = Manifest::builtin();
    let entry = manifest.find(name);
    if let Some(entry) = entry
        && let Some(path) = installed(&entry.name, places)
    {
        return Ok(ModelFolder::recorded(entry.record(), path));
    }
    if let Some(model) = find_recorded(name, repository.as_ref(), places)? {
        return Ok(model);
    }
    if let Some(path) = installed(name, places) {
        return Ok(ModelFolder { name: name.to_owned(), path, record: None });
    }
    if let Some((_, path)) = repository.as_ref().and_then(|of| of.cached(&places.hub.cache)) {
        return Ok(ModelFolder { name: name.to_owned(), path, record: None });
    }
    let at_any_revision = repository.as_ref().is_some_and(|of| of.revision.is_none());
    if let Some(entry) = manifest.of_repository(name).filter(|_| at_any_revision)
        && let Some(path) = installed(&entry.name, places)
    {
        return Ok(ModelFolder::recorded(entry.record(), path));
    }
    let models = places.models.display();
    let missing = |looked_in: String| Error::ModelMissing {
        model: name_or_folder.to_owned(),
        looked_in,
        remedy: format!("codeintel model pull {name_or_folder}"),
    };
    match (entry, repository) {
        (Some(_), _) => Err(missing(models.to_string())),
        (None, Some(_)) => Err(missing(format!("{models} and {}", places.hub.cache.display()))),
        (None, None) => Err(manifest.unknown(name_or_folder)),
    }
}

/// The model `name` that was pulled from a hub or added, at the revision of `repository` if it has
/// one.
fn find_recorded(
    name: &str,
    repository: Option<&Repository>,
    places: &ModelPlaces,
) -> Result<Option<ModelFolder>> {
    let Some(record) = Record::read(&places.models, name)? else { return Ok(None) };
    let asked = repository.and_then(|repository| repository.revision.as_ref());
    if asked.is_some_and(|asked| record.revision.as_ref() != Some(asked)) {
        return Ok(None);
    }
    let path = record.model_folder(places).filter(|path| is_model(path));
    Ok(path.map(|path| ModelFolder::recorded(record, path)))
}

/// The folder of the model `name` in the folder of models.
fn installed(name: &str, places: &ModelPlaces) -> Option<PathBuf> {
    let folder = places.models.join(name);
    (!name.is_empty() && is_model(&folder)).then_some(folder)
}

/// Whether the model that is called `name` is also called `asked`: by the repository of its
/// authors, or without the organisation.
pub fn answers_to(name: &str, asked: &str) -> bool {
    let by_repository = Manifest::builtin().of_repository(asked);
    asked == name
        || by_repository.is_some_and(|entry| entry.name == name)
        || name.split_once('/').is_some_and(|(_, model)| model == asked)
}

/// Whether `folder` looks like that of a model.
fn is_model(folder: &Path) -> bool {
    MARKS.iter().any(|mark| folder.join(mark).is_file())
}

fn not_a_model(folder: &Path) -> Error {
    Error::Argument {
        name: "model",
        value: folder.display().to_string(),
        expected: "a folder with config.json or modules.json, tokenizer.json and the weights, as \
                   sentence-transformers or transformers saves it"
            .to_owned(),
    }
}

/// Returns an error unless the files without weights in `folder` are those of a model that can be
/// computed.
fn check_config(folder: &Path) -> Result<()> {
    if !is_model(folder) {
        return Err(not_a_model(folder));
    }
    let (_, positions) = Encoder::limits(folder)?;
    let rows = Encoder::tables(folder)?.vocab_size;
    let network = network_folder(folder)?;
    let path = network.join("tokenizer.json");
    if !path.is_file() {
        return Err(Error::ModelUnsupported {
            found: format!("{} without tokenizer.json", ModelFolder::at(folder).name),
            supported: "tokenizers with that file, which `AutoTokenizer.from_pretrained(folder).\
                        save_pretrained(folder)` of transformers writes"
                .to_owned(),
        });
    }
    let tokens = Tokenizer::open(&network, positions)?.vocab_size();
    // Tables are often padded by some rows.
    if (rows.div_ceil(2)..=rows).contains(&tokens) {
        return Ok(());
    }
    let detail = format!(
        "its vocabulary has {tokens} tokens, but the model has embeddings for {rows} (vocab_size in \
         config.json): it belongs to another model"
    );
    Err(Error::ModelBroken { path, detail })
}

/// The files in `folder` that its model needs, as paths relative to it.
fn files_of(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let modules = hub::modules_in(folder)?;
    let folders = modules.iter().map(|path| path.trim_matches('/'));
    for module in folders.chain([""]).collect::<BTreeSet<_>>() {
        let entries = fs::read_dir(folder.join(module)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let path = |name| if module.is_empty() { name } else { format!("{module}/{name}") };
        files.extend(names.map(path));
    }
    Ok(hub::wanted(&files, &modules).into_iter().map(str::to_owned).collect())
}

/// The licence that the README.md of a hub's repository names in its head.
fn licence_of(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join("README.md")).ok()?;
    let head = text.strip_prefix("---\n")?.split("\n---").next()?;
    let licence = head.lines().find_map(|line| line.strip_prefix("license:"))?.trim();
    (!licence.is_empty()).then(|| licence.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::ModelSettings;

    /// Places without any model.
    fn empty() -> (tempfile::TempDir, ModelPlaces) {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().display().to_string();
        let places = ModelSettings::default().places(|name| (name == "HOME").then(|| home.clone()));
        (folder, places)
    }

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "{}").unwrap();
    }

    #[test]
    fn a_known_model_that_is_not_here_names_the_command_that_gets_it() {
        let (_folder, places) = empty();
        for name in ["all-MiniLM-L6-v2", "BAAI/bge-small-en-v1.5", "org/model@v2"] {
            let error = resolve(name, &places).unwrap_err();
            assert!(matches!(error, Error::ModelMissing { .. }));
            assert!(error.to_string().contains(&format!("codeintel model pull {name}")), "{error}");
        }
        assert!(list(&places).iter().all(|state| state.folder.is_none()));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_known_one() {
        let (_folder, places) = empty();
        let error = resolve("all-minilm-l6", &places).unwrap_err().to_string();
        assert!(error.contains("\"all-MiniLM-L6-v2\""), "{error}");
        assert!(error.contains("all-minilm-l6"), "{error}");
    }

    #[test]
    fn a_folder_is_taken_as_it_is_and_a_name_is_found_in_the_models_folder() {
        let (_folder, places) = empty();
        let mine = places.models.join("mine");
        write(&mine.join(MARKS[0]));
        let by_path = resolve(mine.to_str().unwrap(), &places).unwrap();
        let by_name = resolve("mine", &places).unwrap();
        assert_eq!((by_path.name.as_str(), by_name.name.as_str()), ("mine", "mine"));
        assert_eq!(by_path.path, by_name.path);
        assert_eq!(by_name.check_files().unwrap(), []);
    }

    #[test]
    fn a_repository_in_the_hubs_cache_is_used_in_place_under_its_name() {
        let (_folder, places) = empty();
        let name = "sentence-transformers/all-MiniLM-L6-v2";
        write(&places.models.join("all-MiniLM-L6-v2/config.json"));
        let wheel = resolve(name, &places).unwrap();
        assert_eq!((wheel.name.as_str(), wheel.record.is_some()), ("all-MiniLM-L6-v2", true));

        let repository = Repository::parse(name).unwrap();
        let snapshot = repository.snapshot(&places.hub.cache, &"c".repeat(40));
        write(&snapshot.join("config.json"));
        for by in [name, snapshot.to_str().unwrap(), &format!("{name}@{}", "c".repeat(40))] {
            let found = resolve(by, &places).unwrap();
            assert_eq!((found.name.as_str(), found.path.as_path()), (name, snapshot.as_path()));
        }
        assert!(resolve(&format!("{name}@{}", "d".repeat(40)), &places).is_err());
    }

    #[test]
    fn a_model_answers_to_the_name_of_its_repository_and_without_the_organisation() {
        let hub = "sentence-transformers/all-MiniLM-L6-v2";
        for asked in ["all-MiniLM-L6-v2", hub] {
            assert!(answers_to("all-MiniLM-L6-v2", asked) && answers_to(hub, asked), "{asked}");
        }
        assert!(!answers_to("all-MiniLM-L6-v2", "all-mpnet-base-v2"));
        assert!(!answers_to("mine", "org/mine"));
    }

    #[test]
    fn the_licence_is_in_the_head_of_the_readme() {
        let folder = tempfile::tempdir().unwrap();
        let licence = |text: &str| {
            fs::write(folder.path().join("README.md"), text).unwrap();
            licence_of(folder.path())
        };
        assert_eq!(
            licence("---\ntags:\n- a\nlicense: apache-2.0\n---\n# A\n").unwrap(),
            "apache-2.0"
        );
        assert_eq!(licence("# A\nlicense: mit\n"), None);
    }
}
