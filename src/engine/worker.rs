//! Who owns the device, and what happens to a batch that fails?
//!
//! One thread computes. It takes the next batch when the device is free, so that a query that
//! arrives meanwhile is in it. An error or a panic ends the requests of that batch and no others.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::lanes::{Batch, Lane, Lanes, Limits, Sequence};
use crate::error::{Error, Result};
use crate::telemetry::{BatchFacts, BatchSpan, RunContext};
use crate::token::Ragged;
use crate::vector::Matrix;

/// Packed ids to one vector a sequence: `[n, d]`.
pub(super) type Compute = Box<dyn FnMut(&Ragged) -> Result<Matrix> + Send>;

/// What the sequences of one request share.
pub(super) struct Request {
    pub cx: RunContext,
    /// Set when nobody waits any more.
    pub gone: Arc<AtomicBool>,
    pub reply: Sender<Delivery>,
}

/// The claim of one sequence on its vector.
pub(super) struct Ticket {
    pub request: Arc<Request>,
    /// The text's place in the request.
    pub slot: usize,
    pub queued: Instant,
}

impl Ticket {
    fn is_dead(&self, now: Instant) -> bool {
        let Request { cx, gone, .. } = &*self.request;
        gone.load(Ordering::Relaxed)
            || cx.is_cancelled()
            || cx.deadline().is_some_and(|deadline| deadline <= now)
    }
}

/// What one batch did for one request.
pub(super) struct Delivery {
    /// (slot of the request, row of the vectors)
    pub rows: Vec<(usize, usize)>,
    pub vectors: std::result::Result<Arc<Matrix>, Arc<Error>>,
    /// How long the first of the sequences waited.
    pub queue: Duration,
}

/// What the worker has done so far, and what waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineStats {
    pub batches: u64,
    /// Distinct sequences computed.
    pub sequences: u64,
    /// Tokens computed.
    pub tokens: u64,
    /// How long the device computed.
    pub computed: Duration,
    /// Sequences that wait.
    pub queue_depth: usize,
    /// Tokens that wait in the interactive lane.
    pub interactive_tokens: usize,
    /// Tokens that wait in the bulk lane.
    pub bulk_tokens: usize,
}

/// The thread that computes, and the lanes in front of it.
pub(super) struct Worker {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    limits: Limits,
    state: Mutex<State>,
    /// Something waits, or the worker is to stop.
    work: Condvar,
    /// A lane has been emptied a little, or the worker has stopped.
    room: Condvar,
    batches: AtomicU64,
    sequences: AtomicU64,
    tokens: AtomicU64,
    computed_ns: AtomicU64,
}

struct State {
    lanes: Lanes<Ticket>,
    stopped: bool,
}

impl Worker {
    pub fn start(limits: Limits, compute: Compute) -> Result<Self> {
        let shared = Arc::new(Shared {
            limits,
            state: Mutex::new(State { lanes: Lanes::new(limits), stopped: false }),
            work: Condvar::new(),
            room: Condvar::new(),
            batches: AtomicU64::new(0),
            sequences: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            computed_ns: AtomicU64::new(0),
        });
        let closing = Closing(shared.clone());
        let thread = std::thread::Builder::new()
            .name("embed".to_owned())
            .spawn(move || closing.0.work_until_stopped(compute))
            .map_err(Error::library("engine", "start its thread"))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Moves the first sequences of a request into `lane`, or refuses the request as a whole.
    ///
    /// What stays in `sequences` did not fit although the lane was empty; [`Worker::feed`] it.
    pub fn admit(&self, lane: Lane, sequences: &mut VecDeque<Sequence<Ticket>>) -> Result<()> {
        let mut state = self.shared.lock();
        state.check_running()?;
        let tokens = sequences.iter().map(Sequence::tokens).sum();
        if !state.lanes.has_room(lane, tokens) {
            return Err(self.overloaded(lane));
        }
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
        match self.shared.lock().lanes.has_room(lane, texts) {
            true => Ok(()),
            false => Err(self.overloaded(lane)),
        }
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

    pub fn stats(&self) -> EngineStats {
        let state = self.shared.lock();
        EngineStats {
            batches: self.shared.batches.load(Ordering::Relaxed),
            sequences: self.shared.sequences.load(Ordering::Relaxed),
            tokens: self.shared.tokens.load(Ordering::Relaxed),
            computed: Duration::from_nanos(self.shared.computed_ns.load(Ordering::Relaxed)),
            queue_depth: state.lanes.waiting(),
            interactive_tokens: state.lanes.tokens(Lane::Interactive),
            bulk_tokens: state.lanes.tokens(Lane::Bulk),
        }
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

    fn overloaded(&self, lane: Lane) -> Error {
        let what = match lane {
            Lane::Interactive => "the queue of queries to embed",
            Lane::Bulk => "the queue of texts to embed",
        };
        let limit = format!("{} tokens", self.shared.limits.queue_tokens_max);
        Error::Overloaded { what, limit }
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
        let tokens = |lane| self.lanes.tokens(lane);
        cx.instruments().waiting(tokens(Lane::Interactive), tokens(Lane::Bulk));
    }

    fn move_what_fits(&mut self, lane: Lane, sequences: &mut VecDeque<Sequence<Ticket>>) {
        while let Some(sequence) = sequences.pop_front() {
            if !self.lanes.has_room(lane, sequence.tokens()) {
                return sequences.push_front(sequence);
            }
            self.lanes.push(lane, sequence);
        }
    }
}

/// Each request of a batch once. tickets: those of each row.
fn requests(tickets: &[Vec<Ticket>]) -> impl Iterator<Item = &RunContext> {
    let mut seen = HashSet::new();
    let requests = tickets.iter().flatten().map(|ticket| &*ticket.request);
    requests.filter(move |request| seen.insert(std::ptr::from_ref(*request))).map(|r| &r.cx)
}

/// The answer of an engine that was stopped.
pub(super) fn stopped() -> Error {
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
        state.lanes.clear();
        self.work.notify_all();
        self.room.notify_all();
    }

    fn work_until_stopped(&self, mut compute: Compute) {
        while let Some(batch) = self.wait_for_batch() {
            let launched = Instant::now();
            let (seqs, tickets): (Vec<_>, Vec<_>) = batch.sequences.into_iter().unzip();
            let ragged = Ragged::from_seqs(seqs.iter().map(Vec::as_slice));
            let span = BatchSpan::open(batch.lane, requests(&tickets));
            let outcome = run(&mut compute, &ragged);
            let computed = launched.elapsed();
            if let Some(span) = span {
                let queued = tickets.iter().flatten().map(|ticket| ticket.queued).min();
                let facts = BatchFacts {
                    sequences: ragged.n(),
                    tokens: ragged.tokens(),
                    tokens_max: self.limits.batch_tokens_max,
                    queued: queued.map_or(Duration::ZERO, |queued| launched - queued),
                    computed,
                };
                span.close(&facts, &outcome);
            }
            self.batches.fetch_add(1, Ordering::Relaxed);
            self.sequences.fetch_add(ragged.n() as u64, Ordering::Relaxed);
            self.tokens.fetch_add(ragged.tokens() as u64, Ordering::Relaxed);
            self.computed_ns.fetch_add(computed.as_nanos() as u64, Ordering::Relaxed);
            deliver(tickets, outcome.map(Arc::new).map_err(Arc::new), launched);
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
            let batch = state.lanes.next_batch(|ticket| ticket.is_dead(now));
            self.room.notify_all();
            if let Some(batch) = batch {
                let request = batch.sequences.iter().find_map(|(_, tickets)| tickets.first());
                if let Some(ticket) = request {
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
