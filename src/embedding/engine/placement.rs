//! Where requests are computed: in this process, or at an endpoint.

use std::time::{Duration, Instant};

use super::call::{Call, CallError, Parts};
use super::collector::Results;
use super::input::Input;
use super::worker::{EngineStats, Search, Workers};
use crate::base::error::{Result, Warning};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::{Lane, Mode};
use crate::embedding::engine::endpoint::Remote;
use crate::embedding::engine::endpoint::breaker::Breaker;

/// A device that failed in this many requests in a row is left alone …
const DEVICE_FAILURES_MAX: u32 = 3;
/// … for this long; then one request tries it again.
const DEVICE_COOL_DOWN: Duration = Duration::from_secs(60);

/// Where the requests of an engine are computed.
pub(super) enum Placement {
    Local(Workers),
    /// At an endpoint. reason: why not in this process, where that was wanted.
    Remote {
        remote: Remote,
        reason: Option<String>,
    },
    /// In this process, and at the endpoint when its device fails.
    Fallback {
        workers: Workers,
        device: Breaker,
        remote: Remote,
    },
}

impl Placement {
    /// This process, with an endpoint to fall back to or without.
    pub fn new(workers: Workers, remote: Option<Remote>) -> Self {
        let device = Breaker::new(DEVICE_FAILURES_MAX, DEVICE_COOL_DOWN);
        match remote {
            None => Self::Local(workers),
            Some(remote) => Self::Fallback { workers, device, remote },
        }
    }

    /// Computes a request; returns also where that was done. search: what the device of this process
    /// does with the vectors; an endpoint sends them instead.
    pub fn compute(
        &self,
        parts: Parts<'_>,
        input: Input<'_>,
        lane: Lane,
        search: Option<&Search>,
        cx: &RunContext,
    ) -> (Mode, Result<Results>) {
        let local = |workers| Call::new(parts, input, lane, search, cx).run(workers, search);
        let at_endpoint = |remote: &Remote, reason: Option<&str>| {
            if let Some(reason) = reason {
                let message = format!("the endpoint {} embeds instead: {reason}", remote.base());
                cx.warn_once(Warning::new("vllm-fallback", message));
            }
            (Mode::Http, Call::new(parts, input, lane, None, cx).ask(remote))
        };
        match self {
            Self::Local(workers) => (Mode::Inproc, local(workers).map_err(|failed| failed.error)),
            Self::Remote { remote, reason } => at_endpoint(remote, reason.as_deref()),
            Self::Fallback { workers, device, remote } => {
                let permit = match device.permit(Instant::now()) {
                    Ok(permit) => permit,
                    Err(why) => {
                        return at_endpoint(remote, Some(&format!("of the device {why}")));
                    }
                };
                match local(workers) {
                    Err(CallError { error, is_device: true }) => {
                        let reason = error.to_string();
                        permit.failed(Instant::now(), &reason);
                        at_endpoint(remote, Some(&reason))
                    }
                    Err(CallError { error, .. }) => (Mode::Inproc, Err(error)),
                    Ok(results) => {
                        // Results from the cache say nothing about the device.
                        if results.cache_hits < input.len() {
                            permit.succeeded();
                        }
                        (Mode::Inproc, Ok(results))
                    }
                }
            }
        }
    }

    /// The workers of this process, if it computes.
    pub fn workers(&self) -> Option<&Workers> {
        match self {
            Self::Local(workers) | Self::Fallback { workers, .. } => Some(workers),
            Self::Remote { .. } => None,
        }
    }

    /// Why no request can be computed any more.
    pub fn why_not(&self) -> Option<String> {
        match self {
            Self::Local(workers) => workers.lost(),
            Self::Remote { .. } | Self::Fallback { .. } => None,
        }
    }

    /// The endpoint, if there is one.
    pub fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Local(_) => None,
            Self::Remote { remote, .. } | Self::Fallback { remote, .. } => Some(remote),
        }
    }

    pub fn stats(&self) -> EngineStats {
        match self {
            Self::Local(workers) => workers.stats(),
            Self::Remote { remote, .. } => remote.stats(),
            Self::Fallback { workers, remote, .. } => {
                let (local, remote) = (workers.stats(), remote.stats());
                EngineStats {
                    batches: local.batches + remote.batches,
                    sequences: local.sequences + remote.sequences,
                    tokens: local.tokens + remote.tokens,
                    queue_depth: local.queue_depth + remote.queue_depth,
                    ..local
                }
            }
        }
    }

    pub fn stop(&self) {
        if let Some(workers) = self.workers() {
            workers.stop();
        }
        if let Some(remote) = self.remote() {
            remote.stop();
        }
    }
}
