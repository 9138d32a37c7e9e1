//! The choice between the workers of this process and an endpoint.

use std::time::{Duration, Instant};

use super::call::Call;
use super::collector::Results;
use super::endpoint::Remote;
use super::endpoint::breaker::{Breaker, Permit};
use super::local_call::{FailedCall, LocalCall};
use super::remote_call::RemoteCall;
use super::worker::{EngineStats, Search, Workers};
use crate::base::error::{Error, Result, Warning};
use crate::base::telemetry::labels::{FallbackReason, Mode};

/// A device is not used after failures in this many consecutive requests.
const DEVICE_FAILURES_MAX: u32 = 3;
/// The time after which one request tries a failed device again.
const DEVICE_COOL_DOWN: Duration = Duration::from_secs(60);

/// Where a request was computed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub mode: Mode,
    /// Why the endpoint computed it although the settings prefer this process.
    pub fallback: Option<FallbackReason>,
}

impl Origin {
    const HERE: Self = Self { mode: Mode::Inproc, fallback: None };
}

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

/// A request that was submitted. It holds no thread.
pub(super) enum Placed<'a> {
    Local(LocalCall<'a>),
    /// In this process, with permission to use its device.
    Trial {
        call: LocalCall<'a>,
        permit: Permit<'a>,
        remote: &'a Remote,
        items: usize,
    },
    Remote(RemoteCall<'a>, Origin),
    Refused(Origin, Error),
}

impl<'a> Placed<'a> {
    fn local(call: Call<'a>, workers: &'a Workers, search: Option<&Search>) -> Self {
        match LocalCall::submit(call, workers, search) {
            Ok(call) => Self::Local(call),
            Err(error) => Self::Refused(Origin::HERE, error),
        }
    }

    /// fallback: why the endpoint is asked although the settings prefer this process.
    fn remote(
        call: Call<'a>,
        remote: &'a Remote,
        fallback: Option<(FallbackReason, &str)>,
    ) -> Self {
        if let Some((reason, why)) = fallback {
            let message = format!("the endpoint {} embeds instead: {why}", remote.base());
            call.cx.warn_once(Warning::new("vllm-fallback", message));
            call.cx.instruments().fell_back(reason);
        }
        let origin = Origin { mode: Mode::Http, fallback: fallback.map(|(reason, _)| reason) };
        match RemoteCall::submit(call, remote) {
            Ok(call) => Self::Remote(call, origin),
            Err(error) => Self::Refused(origin, error),
        }
    }

    /// Waits for the results, and returns where they were computed.
    pub fn wait(self) -> (Origin, Result<Results>) {
        match self {
            Self::Local(call) => (Origin::HERE, call.wait().map_err(|failed| failed.failure.error)),
            Self::Remote(call, origin) => (origin, call.wait()),
            Self::Refused(origin, error) => (origin, Err(error)),
            Self::Trial { call, permit, remote, items } => match call.wait() {
                Ok(results) => {
                    // A request served from the cache alone gives no information about the device.
                    if results.cache_hits < items {
                        permit.succeeded();
                    }
                    (Origin::HERE, Ok(results))
                }
                Err(failed) if failed.failure.is_device => {
                    let FailedCall { failure, call } = *failed;
                    let reason = failure.error.to_string();
                    permit.failed(Instant::now(), &reason);
                    let fallback = Some((FallbackReason::Device, &*reason));
                    Self::remote(call.again(), remote, fallback).wait()
                }
                Err(failed) => (Origin::HERE, Err(failed.failure.error)),
            },
        }
    }
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

    /// Queues a request where it is computed. search: an index that the device of this process
    /// searches for each vector. An endpoint ignores it and returns the vectors.
    pub fn submit<'a>(&'a self, call: Call<'a>, search: Option<&Search>) -> Placed<'a> {
        let without_search = |call: Call<'a>| if search.is_some() { call.again() } else { call };
        match self {
            Self::Local(workers) => Placed::local(call, workers, search),
            Self::Remote { remote, reason } => {
                let fallback = reason.as_deref().map(|why| (FallbackReason::Load, why));
                Placed::remote(without_search(call), remote, fallback)
            }
            Self::Fallback { workers, device, remote } => match device.permit(Instant::now()) {
                Err(why) => {
                    let why = format!("of the device {why}");
                    let fallback = Some((FallbackReason::CoolDown, &*why));
                    Placed::remote(without_search(call), remote, fallback)
                }
                Ok(permit) => {
                    let items = call.input.len();
                    match Placed::local(call, workers, search) {
                        Placed::Local(call) => Placed::Trial { call, permit, remote, items },
                        placed => placed,
                    }
                }
            },
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
