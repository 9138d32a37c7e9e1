//! What is measured in turn with this process's own networks.

use std::time::Duration;

use crate::base::config::{BackendChoice, DtypeChoice, Settings};
use crate::base::error::Result;
use crate::base::telemetry::RunContext;
use crate::base::vector::Matrix;
use crate::device::process_cpu_time;
use crate::embedding::engine::{EmbedRequest, Endpoint, Engine, PromptKind};
use crate::embedding::models::ModelFolder;

/// An OpenAI-compatible endpoint, or the same model in this process with the operations of candle.
pub enum OtherTarget {
    Endpoint(Box<Endpoint>),
    Candle(Engine),
}

/// Its answer to one request.
pub struct Answered {
    /// `[n, d]`.
    pub vectors: Matrix,
    /// Tokens of all texts, if they are known.
    pub tokens: Option<usize>,
    /// CPU time of this process, if it computed.
    pub cpu: Option<Duration>,
}

impl OtherTarget {
    /// Loads the model a second time, for candle on the device of the settings.
    pub fn candle(folder: &ModelFolder, settings: &Settings) -> Result<Self> {
        let mut settings = settings.clone();
        settings.engine.backend = BackendChoice::Candle;
        settings.engine.dtype = DtypeChoice::Auto;
        Ok(Self::Candle(Engine::start(folder, &settings, None)?))
    }

    /// The address of the endpoint, or `candle cpu`.
    pub fn name(&self) -> &str {
        match self {
            Self::Endpoint(endpoint) => endpoint.base(),
            Self::Candle(engine) => engine.device_name(),
        }
    }

    pub fn model(&self) -> &str {
        match self {
            Self::Endpoint(endpoint) => endpoint.model(),
            Self::Candle(engine) => &engine.identity().name,
        }
    }

    pub fn embed(&self, texts: &[&str], run: &RunContext) -> Result<Answered> {
        match self {
            Self::Endpoint(endpoint) => {
                let answer = endpoint.embed(texts, run)?;
                Ok(Answered { vectors: answer.vectors, tokens: answer.tokens, cpu: None })
            }
            Self::Candle(engine) => {
                let before = process_cpu_time();
                let request = EmbedRequest::bulk(texts, PromptKind::None);
                let embeddings = engine.embed(request, run)?;
                Ok(Answered {
                    vectors: embeddings.vectors,
                    tokens: Some(embeddings.tokens),
                    cpu: Some(process_cpu_time() - before),
                })
            }
        }
    }
}
