//! The choice between the workers of this process and an endpoint.

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

/// A device is not used after failures in this many consecutive requests.
const DEVICE_FAILURES_MAX: u32 = 3;
/// The time after which one request tries a failed device again.
const DEVICE_COOL_DOWN: Duration = Duration::from_secs(60);

/// Where the requests of an engine are computed.
pub(super) enum Placement {
    Local(Workers),
    /// At an endpoint. reason: why this process cannot compute although the settings prefer it.
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
    /// Computes in this process and falls back to `remote`, if there is one.
    pub fn new(workers: Workers, remote: Option<Remote>) -> Self {
        let device = Breaker::new(DEVICE_FAILURES_MAX, DEVICE_COOL_DOWN);
        match remote {
            None => Self::Local(workers),
            Some(remote) => Self::Fallback { workers, device, remote },
        }
    }

    /// Computes a request and returns its mode with the results. search: an index that the device
    /// of this process searches for each vector. An endpoint ignores it and returns the vectors.
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
                        // A request served from the cache alone gives no information about the
                        // device.
                        if results.cache_hits < input.len() {
                            permit.succeeded();
                        }
                        (Mode::Inproc, Ok(results))
                    }
                }
            }
        }
    }

    /// The workers of this process, if it has any.
    pub fn workers(&self) -> Option<&Workers> {
        match self {
            Self::Local(workers) | Self::Fallback { workers, .. } => Some(workers),
            Self::Remote { .. } => None,
        }
    }

    /// Why no request can be computed any more; `None` while requests can be computed.
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
