//! How does a text become a vector at an endpoint?
//!
//! The client of an OpenAI-compatible endpoint. Texts are split into requests, a few of which are
//! in progress at once (`pool`); each is tried again where that helps (`client`, `retry`), and not at
//! all for a while when nothing helps (`breaker`).

pub(super) mod breaker;
mod client;
#[allow(clippy::module_inception)] // The file is named after its main type.
mod endpoint;
mod failure;
mod pool;
mod retry;
mod wire;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

pub(super) use client::{Ask, Policy};
pub use endpoint::Endpoint;
pub use wire::Answer;

use super::worker::EngineStats;
use crate::base::config::EndpointSettings;
use crate::base::error::{Error, Result};
use crate::base::telemetry::labels::Lane;
use client::Client;
use pool::Pool;

/// Bytes of text in one request; a longer text goes alone. Endpoints take bodies of 2 MB and more.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// What an endpoint embeds to show how long its vectors are.
const PROBE: &str = "codeintel";

/// An endpoint that embeds.
pub(super) struct Remote {
    client: Arc<Client>,
    pool: Pool,
    batch_texts_max: usize,
    parallel_max: usize,
    batches: AtomicU64,
    sequences: AtomicU64,
    tokens: AtomicU64,
}

/// The outcome of one batch.
pub(super) struct Fetched {
    /// Which of the call's batches.
    pub batch: usize,
    pub result: Result<Answer>,
    /// How long it waited for a thread.
    pub queue: Duration,
    /// From the first try to the response.
    pub took: Duration,
}

impl Remote {
    /// Checks the settings and starts the threads; nothing is sent. name: that of the model, used
    /// where `endpoint.model` is empty.
    pub fn new(settings: &EndpointSettings, name: &str) -> Result<Self> {
        Self::with_policy(settings, name, Policy::DEFAULT)
    }

    pub fn with_policy(settings: &EndpointSettings, name: &str, policy: Policy) -> Result<Self> {
        Ok(Self {
            client: Arc::new(Client::new(settings, name, policy)?),
            pool: Pool::start(settings.parallel_max)?,
            batch_texts_max: settings.batch_texts_max,
            parallel_max: settings.parallel_max,
            batches: AtomicU64::new(0),
            sequences: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
        })
    }

    /// The endpoint's address, for people.
    pub fn base(&self) -> &str {
        self.client.base()
    }

    /// The name that the endpoint knows the model by.
    pub fn model(&self) -> &str {
        self.client.model()
    }

    /// How many values the endpoint's vectors have: it is asked.
    pub fn dimension(&self) -> Result<usize> {
        let ask = Ask {
            texts: vec![PROBE.to_owned()],
            d: None,
            cx: None,
            began: Instant::now(),
            gone: Arc::default(),
        };
        Ok(self.client.ask(&ask)?.vectors.d())
    }

    /// Which of `texts` go into one request each, in their order.
    pub fn split(&self, texts: &[&str]) -> Vec<Range<usize>> {
        let texts_max = self.batch_texts_max.min(self.client.texts_max());
        let (mut batches, mut first, mut bytes) = (Vec::new(), 0, 0);
        for (i, text) in texts.iter().enumerate() {
            let full = i - first >= texts_max || bytes + text.len() > BATCH_BYTES_MAX;
            if full && i > first {
                batches.push(first..i);
                (first, bytes) = (i, 0);
            }
            bytes += text.len();
        }
        if first < texts.len() {
            batches.push(first..texts.len());
        }
        batches
    }

    /// How many batches one call may have queued: enough to keep every thread busy.
    pub fn ahead(&self) -> usize {
        2 * self.parallel_max
    }

    /// Queues what `make` makes, the `batch`th of its call; false when the lane has no room.
    pub fn submit(
        &self,
        lane: Lane,
        batch: usize,
        make: impl FnOnce() -> Ask,
        reply: &Sender<Fetched>,
    ) -> Result<bool> {
        self.pool.submit(lane, || {
            let (client, reply, ask) = (self.client.clone(), reply.clone(), make());
            let queued = Instant::now();
            Box::new(move || {
                let launched = Instant::now();
                let asked = catch_unwind(AssertUnwindSafe(|| client.ask_in_parts(&ask)));
                let result = asked.unwrap_or_else(|_| {
                    let detail = "it panicked".to_owned();
                    Err(Error::Internal { what: "the client of the endpoint", detail })
                });
                let (queue, took) = (launched - queued, launched.elapsed());
                // A requester that has gone away does not need it.
                let _ = reply.send(Fetched { batch, result, queue, took });
            })
        })
    }

    /// An engine that was stopped answers nobody who still waits.
    pub fn check_running(&self) -> Result<()> {
        self.pool.check_running()
    }

    /// The error of a call that found no room at all.
    pub fn overloaded(&self) -> Error {
        let (what, limit) = ("the queue of requests to the endpoint", Pool::limit());
        Error::Overloaded { what, limit, retry_ms: None }
    }

    /// Counts one batch of `sequences` texts.
    pub fn count(&self, sequences: usize, tokens: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.sequences.fetch_add(sequences as u64, Ordering::Relaxed);
        self.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
    }

    pub fn stats(&self) -> EngineStats {
        EngineStats {
            batches: self.batches.load(Ordering::Relaxed),
            sequences: self.sequences.load(Ordering::Relaxed),
            tokens: self.tokens.load(Ordering::Relaxed),
            queue_depth: self.pool.waiting(),
            ..EngineStats::default()
        }
    }

    pub fn stop(&self) {
        self.pool.stop();
    }
}

#[cfg(test)]
mod tests;
