//! Who computes: this process, or an endpoint?

use std::time::{Duration, Instant};

use super::call::{Call, CallError, Parts};
use super::request::{EmbedRequest, Embeddings};
use super::worker::{EngineStats, Search, Workers};
use crate::base::error::{Result, Warning};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Mode;
use crate::embedding::engine::endpoint::Remote;
use crate::embedding::engine::endpoint::breaker::Breaker;

/// A device that failed in this many requests in a row is left alone …
const DEVICE_FAILURES_MAX: u32 = 3;
/// … for this long; then one request tries it again.
const DEVICE_COOL_DOWN: Duration = Duration::from_secs(60);

/// What stands behind an engine.
pub(super) enum Backend {
    Inproc(Workers),
    /// The endpoint; `instead` says why it is not this process, where that was wanted.
    Http {
        remote: Remote,
        instead: Option<String>,
    },
    /// This process, and the endpoint where its device fails.
    Auto {
        worker: Workers,
        device: Breaker,
        remote: Remote,
    },
}

impl Backend {
    /// This process, with an endpoint behind it or without.
    pub fn new(worker: Workers, remote: Option<Remote>) -> Self {
        let device = Breaker::new(DEVICE_FAILURES_MAX, DEVICE_COOL_DOWN);
        match remote {
            None => Self::Inproc(worker),
            Some(remote) => Self::Auto { worker, device, remote },
        }
    }

    /// Embeds `request`, and says who did. search: what this process's device does with the vectors,
    /// if it is the one; an endpoint gives them.
    pub fn embed(
        &self,
        parts: Parts<'_>,
        request: EmbedRequest<'_>,
        search: Option<&Search>,
        cx: &RunContext,
    ) -> (Mode, Result<Embeddings>) {
        let far = |remote: &Remote, why: Option<&str>| {
            if let Some(why) = why {
                let message = format!("the endpoint {} embeds instead: {why}", remote.base());
                cx.warn_once(Warning::new("vllm-fallback", message));
            }
            (Mode::Http, Call::new(parts, request.lane, cx).ask(request.texts, remote))
        };
        let near =
            |worker| Call::searching(parts, request.lane, search, cx).run(request.texts, worker);
        match self {
            Self::Inproc(worker) => (Mode::Inproc, near(worker).map_err(|failed| failed.error)),
            Self::Http { remote, instead } => far(remote, instead.as_deref()),
            Self::Auto { worker, device, remote } => {
                let permit = match device.permit(Instant::now()) {
                    Ok(permit) => permit,
                    Err(why) => return far(remote, Some(&format!("of the device {why}"))),
                };
                match near(worker) {
                    Err(CallError { error, is_device: true }) => {
                        let why = error.to_string();
                        permit.failed(Instant::now(), &why);
                        far(remote, Some(&why))
                    }
                    Err(CallError { error, .. }) => (Mode::Inproc, Err(error)),
                    Ok(done) => {
                        // What the cache had says nothing of the device.
                        if done.cache_hits < request.texts.len() {
                            permit.succeeded();
                        }
                        (Mode::Inproc, Ok(done))
                    }
                }
            }
        }
    }

    /// This process's device, where it is to be used.
    pub fn worker(&self) -> Option<&Workers> {
        match self {
            Self::Inproc(worker) | Self::Auto { worker, .. } => Some(worker),
            Self::Http { .. } => None,
        }
    }

    /// Why nobody can embed any more.
    pub fn why_not(&self) -> Option<String> {
        match self {
            Self::Inproc(worker) => worker.lost(),
            Self::Http { .. } | Self::Auto { .. } => None,
        }
    }

    /// The endpoint, where there is one.
    pub fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Inproc(_) => None,
            Self::Http { remote, .. } | Self::Auto { remote, .. } => Some(remote),
        }
    }

    pub fn stats(&self) -> EngineStats {
        match self {
            Self::Inproc(worker) => worker.stats(),
            Self::Http { remote, .. } => remote.stats(),
            Self::Auto { worker, remote, .. } => {
                let (near, far) = (worker.stats(), remote.stats());
                EngineStats {
                    batches: near.batches + far.batches,
                    sequences: near.sequences + far.sequences,
                    tokens: near.tokens + far.tokens,
                    queue_depth: near.queue_depth + far.queue_depth,
                    ..near
                }
            }
        }
    }

    pub fn stop(&self) {
        if let Some(worker) = self.worker() {
            worker.stop();
        }
        if let Some(remote) = self.remote() {
            remote.stop();
        }
    }
}
