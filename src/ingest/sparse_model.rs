//! The model of the sparse index: which one is meant, and the engine that expands texts with it.

use std::sync::Arc;

use parking_lot::Mutex;

use super::staleness::folder_state;
use super::version_job::recorded_name;
use crate::base::config::{Settings, process_env};
use crate::base::error::{Error, Result};
use crate::embedding::engine::{Engine, EngineOptions, Task};
use crate::embedding::models;
use crate::index::versions::{SparseRecord, VersionManifest};

/// A model that expands texts, as a version records it.
#[derive(Clone)]
pub struct Expander {
    pub engine: Engine,
    pub record: SparseRecord,
}

/// Starts engines that expand texts. The last one is kept while its model stays the same, for the
/// pipelines that share it.
pub struct Expanders {
    settings: Settings,
    last: Mutex<Option<Expander>>,
}

impl Expanders {
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self { settings, last: Mutex::default() })
    }

    /// The model for a new version: that of the settings, or else that of the version before. `full`: a
    /// new index does not depend on the version before.
    pub fn wanted(&self, before: Option<&VersionManifest>, full: bool) -> Option<String> {
        let set = &self.settings.index.sparse_model;
        if set.is_empty() {
            let record = before.filter(|_| !full)?.sparse.as_ref()?;
            Some(record.name.clone())
        } else {
            Some(recorded_name(set, set))
        }
    }

    /// The expander of a model. name: a folder or a name.
    pub fn get(&self, name: &str) -> Result<Expander> {
        // A folder that cannot be read makes the engine fail, which says why.
        let state = folder_state(name, &self.settings).unwrap_or_default();
        let is_same = |record: &SparseRecord| record.name == name && record.state == state;
        let mut last = self.last.lock();
        if let Some(expander) = last.as_ref().filter(|expander| is_same(&expander.record)) {
            return Ok(expander.clone());
        }
        let folder = models::resolve(name, &self.settings.model.places(process_env))?;
        let options = EngineOptions { task: Task::Expand, ..EngineOptions::default() };
        let engine = Engine::start_with(&folder, &self.settings, None, options)?;
        let key = engine.identity().index_key();
        let record = SparseRecord { name: name.to_owned(), key, state };
        Ok(last.insert(Expander { engine, record }).clone())
    }

    /// The expander for searches of a version.
    ///
    /// Returns an error if the settings name another model than the one that made the version.
    pub fn for_queries(&self, record: &SparseRecord) -> Result<Expander> {
        let set = &self.settings.index.sparse_model;
        let name = if set.is_empty() { record.name.clone() } else { recorded_name(set, set) };
        let expander = self.get(&name)?;
        if expander.record.key == record.key {
            Ok(expander)
        } else {
            Err(mismatch(record, &expander))
        }
    }

    /// Why the chunks of a version need other sparse vectors than it has. As with the model of the
    /// vectors, a model of another name is refused, and it is loaded only if its files or the settings
    /// have changed.
    pub fn stale(&self, before: &VersionManifest) -> Result<Option<String>> {
        let Some(name) = self.wanted(Some(before), false) else { return Ok(None) };
        let Some(record) = &before.sparse else {
            return Ok(Some(format!(
                "index.sparse_model is {name}, the index has no sparse vectors"
            )));
        };
        let is_named = record.name == name;
        // Without the model, nothing can be expanded again; it is missed when it is needed.
        let state = folder_state(&name, &self.settings);
        if is_named && state.is_ok_and(|state| state == record.state) {
            return Ok(None);
        }
        let expander = self.get(&name)?;
        match expander.record.key == record.key {
            true => Ok(None),
            false if is_named => {
                let (now, before) = (&expander.record.key, &record.key);
                Ok(Some(format!("the sparse model is {now}, it was {before}")))
            }
            false => Err(mismatch(record, &expander)),
        }
    }
}

pub fn mismatch(record: &SparseRecord, expander: &Expander) -> Error {
    let (index, asked) = (format!("sparse model {record}"), expander.record.to_string());
    Error::IndexModelMismatch { index, asked }
}
