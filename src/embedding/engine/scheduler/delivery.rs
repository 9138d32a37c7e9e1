//! Who waits for a sequence, and how is each told what came of it?

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::Claim;
use super::compute::{Computed, Search};
use crate::base::error::Error;
use crate::base::telemetry::RunContext;

/// What the sequences of one request share.
pub(in crate::embedding::engine) struct Request {
    pub cx: RunContext,
    /// Set when nobody waits any more.
    pub gone: Arc<AtomicBool>,
    pub reply: Sender<Delivery>,
    /// Done with each vector where it was computed; then nobody wants the vector itself.
    pub search: Option<Search>,
}

/// The claim of one sequence on its vector.
pub(in crate::embedding::engine) struct Ticket {
    pub request: Arc<Request>,
    /// The text's place in the request.
    pub slot: usize,
    pub queued: Instant,
}

impl Claim for Ticket {
    fn is_dead(&self, now: Instant) -> bool {
        let Request { cx, gone, .. } = &*self.request;
        gone.load(Ordering::Relaxed)
            || cx.is_cancelled()
            || cx.deadline().is_some_and(|deadline| deadline <= now)
    }

    fn deadline(&self) -> Option<Instant> {
        self.request.cx.deadline()
    }
}

/// What one batch did for one request.
pub(in crate::embedding::engine) struct Delivery {
    /// (slot of the request, sequence of the batch)
    pub rows: Vec<(usize, usize)>,
    pub computed: std::result::Result<Arc<Computed>, Arc<Error>>,
    /// How long the first of the sequences waited.
    pub queue: Duration,
}

/// Tells each request of a batch once. tickets: those of each row.
pub(super) fn deliver(
    tickets: Vec<Vec<Ticket>>,
    computed: std::result::Result<Arc<Computed>, Arc<Error>>,
    launched: Instant,
) {
    let mut deliveries: HashMap<*const Request, (Arc<Request>, Delivery)> = HashMap::new();
    for (row, tickets) in tickets.into_iter().enumerate() {
        for Ticket { request, slot, queued } in tickets {
            let (_, delivery) = deliveries.entry(Arc::as_ptr(&request)).or_insert_with(|| {
                let computed = computed.clone();
                (request, Delivery { rows: Vec::new(), computed, queue: Duration::ZERO })
            });
            delivery.rows.push((slot, row));
            delivery.queue = delivery.queue.max(launched.saturating_duration_since(queued));
        }
    }
    for (request, delivery) in deliveries.into_values() {
        // Who has gone away meanwhile does not want it.
        let _ = request.reply.send(delivery);
    }
}

/// Tells those whose vectors would come too late, so that they need not wait for their deadlines.
pub(super) fn deliver_late(tickets: Vec<Ticket>, now: Instant) {
    for Ticket { request, queued, .. } in tickets {
        let left = request.cx.deadline().unwrap_or(now).saturating_duration_since(queued);
        let budget_ms = left.as_millis() as u64;
        let late = Error::DeadlineExceeded { what: "embedding", budget_ms };
        let computed = Err(Arc::new(late));
        let delivery = Delivery { rows: Vec::new(), computed, queue: now - queued };
        let _ = request.reply.send(delivery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorKind;
    use crate::base::telemetry::Telemetry;
    use crate::base::telemetry::labels::Tool;

    #[test]
    fn who_would_be_late_is_told_so_before_the_deadline() {
        let cx = RunContext::new(&Telemetry::detached(), Tool::Embed, &[]);
        let cx = cx.with_deadline(Duration::from_secs(60));
        let (reply, deliveries) = std::sync::mpsc::channel();
        let request = Arc::new(Request { cx, gone: Arc::default(), reply, search: None });
        let now = Instant::now();
        deliver_late(vec![Ticket { request, slot: 0, queued: now }], now);
        let error = deliveries.try_recv().unwrap().computed.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(matches!(*error, Error::DeadlineExceeded { budget_ms: 1..=60_000, .. }), "{error}");
    }
}
