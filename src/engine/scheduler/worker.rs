//! Who owns the device, and what happens to a batch that fails?
//!
//! One thread computes. It asks for the next batch when the device is free, so that a query that
//! arrives meanwhile is in it. An error or a panic ends the requests of that batch and no others.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::schedule::{Scheduler, Settled};
use super::{Claim, EngineStats, Lane, Limits, Sequence};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::telemetry::{BatchFacts, BatchSpan, RunContext};
use crate::token::Ragged;
use crate::vector::Matrix;

/// Packed ids to one vector a sequence: `[n, d]`.
pub(in crate::engine) type Compute = Box<dyn FnMut(&Ragged) -> Result<Matrix> + Send>;

/// What the sequences of one request share.
pub(in crate::engine) struct Request {
    pub cx: RunContext,
    /// Set when nobody waits any more.
    pub gone: Arc<AtomicBool>,
    pub reply: Sender<Delivery>,
}

/// The claim of one sequence on its vector.
pub(in crate::engine) struct Ticket {
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
pub(in crate::engine) struct Delivery {
    /// (slot of the request, row of the vectors)
    pub rows: Vec<(usize, usize)>,
    pub vectors: std::result::Result<Arc<Matrix>, Arc<Error>>,
    /// How long the first of the sequences waited.
    pub queue: Duration,
}

/// The thread that computes, and the lanes in front of it.
pub(in crate::engine) struct Worker {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    busy_tokens: usize,
}

struct Shared {
    state: Mutex<State>,
    /// Something waits, or the worker is to stop.
    work: Condvar,
    /// A lane has been emptied a little, or the worker has stopped.
    room: Condvar,
    batches: AtomicU64,
    sequences: AtomicU64,
    tokens: AtomicU64,
    computed_ns: AtomicU64,
    /// What computes, if that is known.
    device: Option<Device>,
    /// Why the device is of no more use.
    lost: OnceLock<String>,
}

struct State {
    scheduler: Scheduler<Ticket>,
    stopped: bool,
}

impl Worker {
    /// device: the one that `compute` uses.
    pub fn start(limits: Limits, compute: Compute, device: Option<Device>) -> Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { scheduler: Scheduler::new(limits), stopped: false }),
            work: Condvar::new(),
            room: Condvar::new(),
            batches: AtomicU64::new(0),
            sequences: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            computed_ns: AtomicU64::new(0),
            device,
            lost: OnceLock::new(),
        });
        let closing = Closing(shared.clone());
        let thread = std::thread::Builder::new()
            .name("embed".to_owned())
            .spawn(move || closing.0.work_until_stopped(compute))
            .map_err(Error::library("engine", "start its thread"))?;
        let busy_tokens = limits.busy_tokens.min(limits.batch_tokens_max);
        Ok(Self { shared, thread: Mutex::new(Some(thread)), busy_tokens })
    }

    /// Moves the first sequences of a request into `lane`, or refuses the request as a whole.
    ///
    /// What stays in `sequences` did not fit although the lane was empty; [`Worker::feed`] it.
    pub fn admit(&self, lane: Lane, sequences: &mut VecDeque<Sequence<Ticket>>) -> Result<()> {
        let mut state = self.shared.lock();
        state.check_running()?;
        let tokens = sequences.iter().map(Sequence::tokens).sum();
        state.scheduler.check_room(lane, tokens)?;
        let request = sequences.front().map(|sequence| sequence.ticket.request.clone());
        state.move_what_fits(lane, sequences);
        if let Some(request) = request {
            state.tell_depth(&request.cx);
        }
        self.shared.work.notify_one();
        Ok(())
    }

    /// Refuses early what [`Worker::admit`] would refuse anyway, before it is tokenised.
    pub fn check_room(&self, lane: Lane, texts: usize) -> Result<()> {
        self.shared.lock().scheduler.check_room(lane, texts)
    }

    /// Moves what fits of an admitted request into `lane`; waits up to `patience` if nothing does.
    pub fn feed(
        &self,
        lane: Lane,
        sequences: &mut VecDeque<Sequence<Ticket>>,
        patience: Duration,
    ) -> Result<()> {
        let mut state = self.shared.lock();
        state.check_running()?;
        let before = sequences.len();
        state.move_what_fits(lane, sequences);
        if sequences.len() < before {
            self.shared.work.notify_one();
        } else if before > 0 {
            drop(self.shared.room.wait_timeout(state, patience));
        }
        Ok(())
    }

    /// Tokens of a batch that keeps every thread busy once.
    pub fn busy_tokens(&self) -> usize {
        self.busy_tokens
    }

    pub fn stats(&self) -> EngineStats {
        let state = self.shared.lock();
        let (scheduler, lanes) = (&state.scheduler, state.scheduler.lanes());
        EngineStats {
            batches: self.shared.batches.load(Ordering::Relaxed),
            sequences: self.shared.sequences.load(Ordering::Relaxed),
            tokens: self.shared.tokens.load(Ordering::Relaxed),
            computed: Duration::from_nanos(self.shared.computed_ns.load(Ordering::Relaxed)),
            queue_depth: lanes.waiting(),
            interactive_tokens: lanes.tokens(Lane::Interactive),
            bulk_tokens: lanes.tokens(Lane::Bulk),
            batch_tokens_max: scheduler.batch_tokens_max(),
            tokens_per_s: scheduler.cost().tokens_per_s(),
            out_of_memory: scheduler.out_of_memory(),
            memory: self.device().and_then(Device::memory),
        }
    }

    /// What computes, if that is known.
    pub fn device(&self) -> Option<&Device> {
        self.shared.device.as_ref()
    }

    /// Why the device is of no more use.
    pub fn lost(&self) -> Option<String> {
        self.shared.lost.get().cloned()
    }

    /// Finishes the batch at hand, answers what waits with an error, and ends the thread.
    pub fn stop(&self) {
        self.shared.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Its panic was caught and told; there is nothing to add here.
            let _ = thread.join();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Stops the lanes when the thread ends in whichever way, so that nobody waits for it in vain.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl State {
    fn check_running(&self) -> Result<()> {
        if self.stopped { Err(stopped()) } else { Ok(()) }
    }

    fn tell_depth(&self, cx: &RunContext) {
        let tokens = |lane| self.scheduler.lanes().tokens(lane);
        cx.instruments().waiting(tokens(Lane::Interactive), tokens(Lane::Bulk));
    }

    fn move_what_fits(&mut self, lane: Lane, sequences: &mut VecDeque<Sequence<Ticket>>) {
        while let Some(sequence) = sequences.pop_front() {
            if self.scheduler.lanes().excess(lane, sequence.tokens()) > 0 {
                return sequences.push_front(sequence);
            }
            self.scheduler.push(lane, sequence);
        }
    }
}

/// Each request of a batch once.
fn requests(batch: &Batch<Ticket>) -> impl Iterator<Item = &RunContext> {
    let mut seen = HashSet::new();
    let requests = tickets(batch).map(|ticket| &*ticket.request);
    requests.filter(move |request| seen.insert(std::ptr::from_ref(*request))).map(|r| &r.cx)
}

fn tickets(batch: &Batch<Ticket>) -> impl Iterator<Item = &Ticket> {
    batch.sequences.iter().flat_map(|(_, tickets)| tickets)
}

/// The answer of an engine that was stopped.
pub(in crate::engine) fn stopped() -> Error {
    Error::Unavailable {
        what: "the embedding engine".to_owned(),
        remedy: "it is shutting down; ask again when it has been started anew".to_owned(),
    }
}

impl Shared {
    /// No step leaves the lanes half changed where it could panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        // The requests see that their tickets are gone.
        state.scheduler.clear();
        self.work.notify_all();
        self.room.notify_all();
    }

    fn work_until_stopped(&self, mut compute: Compute) {
        while let Some(batch) = self.wait_for_batch() {
            let launched = Instant::now();
            let ragged = Ragged::from_seqs(batch.sequences.iter().map(|(ids, _)| ids.as_slice()));
            let queued = tickets(&batch).map(|ticket| ticket.queued).min();
            let span = BatchSpan::open(batch.lane, requests(&batch));
            let tokens_max = batch.tokens_max;
            let outcome = run(&mut compute, &ragged);
            let computed = launched.elapsed();
            let facts = BatchFacts {
                sequences: ragged.n(),
                tokens: ragged.tokens(),
                tokens_max,
                queued: queued.map_or(Duration::ZERO, |queued| launched - queued),
                computed,
                memory: self.device.as_ref().and_then(Device::memory),
            };
            if let Err(error @ Error::DeviceLost { .. }) = &outcome {
                tracing::error!(%error, "nothing more is computed on this device");
                let _ = self.lost.set(error.to_string());
            }
            self.computed_ns.fetch_add(computed.as_nanos() as u64, Ordering::Relaxed);
            let settled = self.lock().scheduler.settle(batch, outcome, computed);
            match settled {
                Settled::Halved(error) => {
                    if let Some(span) = span {
                        span.halved(&facts, &error);
                    }
                }
                Settled::Done { tickets, outcome } => {
                    if let Some(span) = span {
                        span.close(&facts, &outcome);
                    }
                    self.batches.fetch_add(1, Ordering::Relaxed);
                    self.sequences.fetch_add(ragged.n() as u64, Ordering::Relaxed);
                    self.tokens.fetch_add(ragged.tokens() as u64, Ordering::Relaxed);
                    deliver(tickets, outcome.map(Arc::new).map_err(Arc::new), launched);
                }
            }
        }
    }

    /// The next batch, formed when it is asked for; none when the worker is to stop.
    fn wait_for_batch(&self) -> Option<Batch<Ticket>> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            let now = Instant::now();
            let step = state.scheduler.next(now);
            self.room.notify_all();
            deliver_late(step.late, now);
            if let Some(batch) = step.batch {
                if let Some(ticket) = tickets(&batch).next() {
                    state.tell_depth(&ticket.request.cx);
                }
                return Some(batch);
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Computes one batch; a panic and a wrong answer become errors.
fn run(compute: &mut Compute, ragged: &Ragged) -> Result<Matrix> {
    let computed = catch_unwind(AssertUnwindSafe(|| compute(ragged))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let detail = text.unwrap_or_else(|| "a panic without words".to_owned());
        Err(Error::Internal { what: "the encoder", detail })
    });
    let vectors = computed?;
    if vectors.n() != ragged.n() {
        let (expected, found) = (ragged.n(), vectors.n());
        return Err(Error::Dimension { what: "vectors of a batch", expected, found });
    }
    vectors.check_finite("embedding")?;
    Ok(vectors)
}

/// Tells each request of a batch once. tickets: those of each row.
fn deliver(
    tickets: Vec<Vec<Ticket>>,
    vectors: std::result::Result<Arc<Matrix>, Arc<Error>>,
    launched: Instant,
) {
    let mut deliveries: HashMap<*const Request, (Arc<Request>, Delivery)> = HashMap::new();
    for (row, tickets) in tickets.into_iter().enumerate() {
        for Ticket { request, slot, queued } in tickets {
            let (_, delivery) = deliveries.entry(Arc::as_ptr(&request)).or_insert_with(|| {
                let vectors = vectors.clone();
                (request, Delivery { rows: Vec::new(), vectors, queue: Duration::ZERO })
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
fn deliver_late(tickets: Vec<Ticket>, now: Instant) {
    for Ticket { request, queued, .. } in tickets {
        let left = request.cx.deadline().unwrap_or(now).saturating_duration_since(queued);
        let budget_ms = left.as_millis() as u64;
        let late = Error::DeadlineExceeded { what: "embedding", budget_ms };
        let vectors = Err(Arc::new(late));
        let delivery = Delivery { rows: Vec::new(), vectors, queue: now - queued };
        let _ = request.reply.send(delivery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::telemetry::Telemetry;
    use crate::telemetry::labels::Tool;

    #[test]
    fn who_would_be_late_is_told_so_before_the_deadline() {
        let cx = RunContext::new(&Telemetry::detached(), Tool::Embed, &[]);
        let cx = cx.with_deadline(Duration::from_secs(60));
        let (reply, deliveries) = std::sync::mpsc::channel();
        let request = Arc::new(Request { cx, gone: Arc::default(), reply });
        let now = Instant::now();
        deliver_late(vec![Ticket { request, slot: 0, queued: now }], now);
        let error = deliveries.try_recv().unwrap().vectors.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(matches!(*error, Error::DeadlineExceeded { budget_ms: 1..=60_000, .. }), "{error}");
    }
}
