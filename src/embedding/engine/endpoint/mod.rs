//! How does a text become a vector at an endpoint?
//!
//! This is the client of an OpenAI-compatible endpoint. It splits texts into requests and sends a
//! few of them in parallel (`pool`). It retries a request that may succeed later (`client`,
//! `retry`), and stops sending for a while after repeated failures (`breaker`). `tls` reads the
//! certificates of `endpoint.ca_file` and explains why a connection is not secure.

mod address;
pub(super) mod breaker;
mod chat;
mod client;
#[allow(clippy::module_inception)] // The file is named after its main type.
mod endpoint;
mod failure;
mod pool;
mod retry;
mod tls;
mod wire;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

pub use chat::Chat;
pub(super) use client::{Ask, Policy};
pub use endpoint::Endpoint;
pub use wire::Answer;

use super::worker::EngineStats;
use crate::base::config::EndpointSettings;
use crate::base::error::{Error, Result};
use crate::base::panic::guarded;
use crate::base::signal::Signal;
use crate::base::telemetry::labels::Lane;
use client::Client;
use pool::Pool;

/// Maximum bytes of text in one request. A longer text is sent alone. Endpoints accept bodies of at
/// least 2 MB.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// The text that an endpoint embeds to determine the length of its vectors.
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
    /// Index of the batch within its call.
    pub batch: usize,
    pub result: Result<Answer>,
    /// The time that the batch waited for a thread.
    pub queue: Duration,
    /// The time from the first attempt to the response.
    pub took: Duration,
}

impl Remote {
    /// Checks the settings and starts the threads without sending anything. name: the model name to
    /// send if `endpoint.model` is empty.
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

    /// The endpoint's address, for messages.
    pub fn base(&self) -> &str {
        self.client.base()
    }

    /// The endpoint's name for the model.
    pub fn model(&self) -> &str {
        self.client.model()
    }

    /// Queries the endpoint for the number of values of its vectors.
    pub fn dimension(&self) -> Result<usize> {
        let ask = Ask { texts: vec![PROBE.to_owned()], d: None, cx: None, gone: Arc::default() };
        Ok(self.client.ask(&ask)?.vectors.d())
    }

    /// Splits `texts` into ranges, one per request, in order.
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

    /// Maximum batches that one call may have queued: enough to keep every thread busy.
    pub fn ahead(&self) -> usize {
        2 * self.parallel_max
    }

    /// Queues the request that `make` returns as batch number `batch` of its call. Returns false if
    /// the lane is full.
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
                let what = "the client of the endpoint";
                let result = guarded(what, || client.ask_in_parts(&ask));
                let (queue, took) = (launched - queued, launched.elapsed());
                // A caller that has stopped waiting does not need the response.
                let _ = reply.send(Fetched { batch, result, queue, took });
            })
        })
    }

    /// The signal that the engine was stopped, so that callers do not wait longer.
    pub fn stopped(&self) -> &Signal {
        self.pool.stopped()
    }

    /// The error of a call for which the queue had no room.
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
