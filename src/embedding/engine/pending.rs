//! Pending requests and the delivery of their results.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::queue::Waiter;
use super::worker::Search;
use super::worker::compute::BatchOutput;
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;

/// The state that the entries of one request share.
pub(super) struct PendingRequest {
    pub cx: RunContext,
    /// Set when the caller no longer waits for the response.
    pub gone: Arc<AtomicBool>,
    pub responses: Sender<Response>,
    /// An index that the device searches for each vector. If it is set, the vectors themselves are
    /// not returned.
    pub search: Option<Search>,
}

/// The position of one item in its request.
pub(super) struct Slot {
    pub request: Arc<PendingRequest>,
    pub index: usize,
    pub queued: Instant,
}

impl Waiter for Slot {
    fn is_gone(&self, now: Instant) -> bool {
        let PendingRequest { cx, gone, .. } = &*self.request;
        gone.load(Ordering::Relaxed)
            || cx.is_cancelled()
            || cx.deadline().is_some_and(|deadline| deadline <= now)
    }

    fn deadline(&self) -> Option<Instant> {
        self.request.cx.deadline()
    }
}

/// The results of one batch for one request.
pub(super) struct Response {
    /// For each slot of the request in the batch, the row that holds its result.
    pub rows: Vec<SlotRow>,
    pub result: Result<Arc<BatchOutput>, Failure>,
    /// The queue time of the request's first entry.
    pub queue_time: Duration,
}

/// The batch row that holds the result of a slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotRow {
    pub slot: usize,
    pub row: usize,
}

/// Why a request has no result.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The device failed on a batch, which the request may have shared with others.
    Device(Arc<Error>),
    /// The result would have come after the deadline of the request.
    Late { budget_ms: u64 },
}

impl Failure {
    /// The error of one of the requests that failed.
    pub fn into_error(self) -> Error {
        let error = match self {
            Self::Late { budget_ms } => {
                return Error::DeadlineExceeded { what: "embedding", budget_ms };
            }
            Self::Device(error) => error,
        };
        match &*error {
            Error::DeviceLost { detail } => Error::DeviceLost { detail: detail.clone() },
            &Error::OutOfMemory { tokens, bytes } => Error::OutOfMemory { tokens, bytes },
            _ => Error::Library {
                part: "the encoder",
                action: "compute a batch",
                source: error.into(),
            },
        }
    }
}

/// Sends one response to each request of a batch. waiters: the waiters of each row.
pub(super) fn respond(waiters: Vec<Vec<Slot>>, result: Result<BatchOutput>, launched: Instant) {
    let result = result.map(Arc::new).map_err(|error| Failure::Device(Arc::new(error)));
    let mut responses: HashMap<*const PendingRequest, (Arc<PendingRequest>, Response)> =
        HashMap::new();
    for (row, slots) in waiters.into_iter().enumerate() {
        for Slot { request, index, queued } in slots {
            let (_, response) = responses.entry(Arc::as_ptr(&request)).or_insert_with(|| {
                let result = result.clone();
                (request, Response { rows: Vec::new(), result, queue_time: Duration::ZERO })
            });
            response.rows.push(SlotRow { slot: index, row });
            response.queue_time =
                response.queue_time.max(launched.saturating_duration_since(queued));
        }
    }
    for (request, response) in responses.into_values() {
        // A caller that has stopped waiting does not need the response.
        let _ = request.responses.send(response);
    }
}

/// Fails the requests of `slots` whose results would miss the deadline, so that they do not wait
/// until then.
pub(super) fn respond_late(slots: Vec<Slot>, now: Instant) {
    for Slot { request, queued, .. } in slots {
        let budget_ms = request.cx.budget_ms().unwrap_or_default();
        let result = Err(Failure::Late { budget_ms });
        let response = Response { rows: Vec::new(), result, queue_time: now - queued };
        let _ = request.responses.send(response);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::telemetry::Telemetry;
    use crate::base::telemetry::labels::Tool;

    #[test]
    fn a_request_that_would_be_late_is_told_so_before_its_deadline() {
        let cx = RunContext::new(&Telemetry::detached(), Tool::Embed, &[]);
        let cx = cx.with_deadline(Duration::from_secs(60));
        let (responses, received) = crossbeam_channel::unbounded();
        let request =
            Arc::new(PendingRequest { cx, gone: Arc::default(), responses, search: None });
        let now = Instant::now();
        respond_late(vec![Slot { request, index: 0, queued: now }], now);
        let error = received.try_recv().unwrap().result.err().unwrap().into_error();
        assert!(matches!(error, Error::DeadlineExceeded { budget_ms: 60_000, .. }), "{error}");
    }
}
