//! Pending requests and the delivery of their results.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::queue::{BatchRow, Waiter};
use super::worker::Search;
use super::worker::compute::BatchOutput;
use crate::base::error::{Error, ErrorKind, Result};
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
    /// Tokens of the sequences that were computed for this request. A sequence that several
    /// requests of a batch share counts for the first.
    pub computed_tokens: usize,
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
    /// The device is lost.
    Lost(Arc<Error>),
    /// The item at `index` of the request failed.
    Item { index: usize, error: Arc<Error> },
    /// The result would have come after the deadline of the request.
    Late { budget_ms: u64 },
}

impl Failure {
    /// Whether the device may be the cause, rather than the request.
    pub fn is_device(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Item { error, .. } => error.kind() != ErrorKind::InvalidParameter,
            Self::Late { .. } => false,
        }
    }

    /// The error of one of the requests that failed.
    pub fn into_error(self) -> Error {
        match self {
            Self::Late { budget_ms } => Error::DeadlineExceeded { what: "embedding", budget_ms },
            Self::Item { index, error } => Error::Input { index, source: error },
            Self::Lost(error) => match &*error {
                Error::DeviceLost { detail } => Error::DeviceLost { detail: detail.clone() },
                other => unreachable!("{other} leaves the device as it was"),
            },
        }
    }
}

/// Sends one response to each request of a batch: its results, or the error of its first item that
/// failed. An error of the whole batch belongs to its only sequence, unless the device is lost.
pub(super) fn respond(rows: Vec<BatchRow<Slot>>, result: Result<BatchOutput>, launched: Instant) {
    let result = result.map(Arc::new).map_err(Arc::new);
    let mut requests: HashMap<*const PendingRequest, (Arc<PendingRequest>, Share)> = HashMap::new();
    for (row, BatchRow { sequence, waiters }) in rows.into_iter().enumerate() {
        let mut computed_tokens = sequence.ids.len();
        for Slot { request, index, queued } in waiters {
            let (_, share) = requests
                .entry(Arc::as_ptr(&request))
                .or_insert_with(|| (request, Share::default()));
            share.rows.push(SlotRow { slot: index, row });
            share.queue_time = share.queue_time.max(launched.saturating_duration_since(queued));
            share.computed_tokens += std::mem::take(&mut computed_tokens);
        }
    }
    for (request, share) in requests.into_values() {
        let result = share.result(&result);
        let Share { rows, computed_tokens, queue_time } = share;
        // A caller that has stopped waiting does not need the response.
        let _ = request.responses.send(Response { rows, computed_tokens, result, queue_time });
    }
}

/// The part of one request in a batch.
#[derive(Default)]
struct Share {
    rows: Vec<SlotRow>,
    computed_tokens: usize,
    queue_time: Duration,
}

impl Share {
    fn result(
        &self,
        batch: &Result<Arc<BatchOutput>, Arc<Error>>,
    ) -> Result<Arc<BatchOutput>, Failure> {
        let first = |failed: &dyn Fn(usize) -> bool| {
            self.rows.iter().filter(|place| failed(place.row)).map(|place| place.slot).min()
        };
        let (index, error) = match batch {
            Ok(output) => {
                let not_finite = |row| output.not_finite.binary_search(&row).is_ok();
                match first(&not_finite) {
                    None => return Ok(output.clone()),
                    Some(index) => (index, Arc::new(Error::OutputNotFinite)),
                }
            }
            Err(error) if matches!(**error, Error::DeviceLost { .. }) => {
                return Err(Failure::Lost(error.clone()));
            }
            Err(error) => (first(&|_| true).unwrap_or_default(), error.clone()),
        };
        Err(Failure::Item { index, error })
    }
}

/// Fails the requests of `slots` whose results would miss the deadline, so that they do not wait
/// until then.
pub(super) fn respond_late(slots: Vec<Slot>, now: Instant) {
    for Slot { request, queued, .. } in slots {
        let budget_ms = request.cx.budget_ms().unwrap_or_default();
        let result = Err(Failure::Late { budget_ms });
        let response =
            Response { rows: Vec::new(), computed_tokens: 0, result, queue_time: now - queued };
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
