//! The engines and the endpoint of the methods, each started when it is first needed.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::config::{Settings, process_env};
use crate::base::error::{Error, Result};
use crate::embedding::engine::{Chat, Engine, EngineOptions, Task};
use crate::embedding::models;

/// What reranks, beside the index. All versions share it.
pub struct RerankEngines {
    settings: Settings,
    started: Mutex<Vec<Started>>,
}

struct Started {
    task: Task,
    model: String,
    engine: Engine,
}

impl RerankEngines {
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self { settings, started: Mutex::default() })
    }

    /// The engine of `model`, a name or a folder, for `task`. One model is kept for each task.
    pub(super) fn get(&self, task: Task, model: &str) -> Result<Engine> {
        let mut started = self.started.lock();
        if let Some(known) = started.iter().find(|s| s.task == task && s.model == model) {
            return Ok(known.engine.clone());
        }
        let folder = models::resolve(model, &self.settings.model.places(process_env))?;
        let cache = self.settings.engine.cache_folder(process_env);
        let options = EngineOptions { task, ..EngineOptions::default() };
        let engine = Engine::start_with(&folder, &self.settings, cache.as_deref(), options)?;
        started.retain(|other| other.task != task);
        started.push(Started { task, model: model.to_owned(), engine: engine.clone() });
        Ok(engine)
    }

    /// The client of the chat endpoint, which connects with each question.
    pub(super) fn chat(&self) -> Result<Chat> {
        let search = &self.settings.search;
        if search.rerank_url.is_empty() || search.rerank_chat_model.is_empty() {
            let remedy = "set search.rerank_url and search.rerank_chat_model".to_owned();
            return Err(Error::Unavailable { what: "listwise".to_owned(), remedy });
        }
        Chat::new(&self.settings)
    }
}
