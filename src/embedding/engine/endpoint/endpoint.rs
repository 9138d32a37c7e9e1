//! Direct access to an endpoint: one request per call.

use std::sync::Arc;

use super::client::{Ask, Client, Policy};
use super::wire::Answer;
use crate::base::config::EndpointSettings;
use crate::base::error::Result;
use crate::base::telemetry::RunContext;

/// An OpenAI-compatible endpoint without an engine: no cache, no tokenizer, no splitting.
pub struct Endpoint {
    client: Client,
}

impl Endpoint {
    /// Opens the endpoint `endpoint.url` without sending anything. name: the model name to send if
    /// `endpoint.model` is empty.
    pub fn new(settings: &EndpointSettings, name: &str) -> Result<Self> {
        Ok(Self { client: Client::new(settings, name, Policy::DEFAULT)? })
    }

    /// The endpoint's address, for messages.
    pub fn base(&self) -> &str {
        self.client.base()
    }

    /// The endpoint's name for the model.
    pub fn model(&self) -> &str {
        self.client.model()
    }

    /// Embeds texts in one request. texts: `[n]`, none of them empty.
    pub fn embed(&self, texts: &[&str], cx: &RunContext) -> Result<Answer> {
        self.client.ask(&Ask {
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
            d: None,
            cx: Some(cx.clone()),
            gone: Arc::default(),
        })
    }
}
