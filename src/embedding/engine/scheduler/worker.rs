//! Who owns the device, and what happens to a batch that fails?
//!
//! One thread has the device compute. It asks for the next batch when the device is free, or nearly so
//! where a device computes by itself, so that a query that arrives meanwhile is in it. An error or a
//! panic ends the requests of that batch and no others.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::compute::{Compute, Launched, Wanted, guarded};
use super::delivery::{Ticket, deliver, deliver_late};
use super::schedule::{Scheduler, Settled};
use super::{EngineStats, Lane, Limits, Sequence};
use crate::base::error::{Error, Result};
use crate::base::telemetry::{BatchFacts, BatchSpan, RunContext};
use crate::device::Device;
use crate::embedding::token::Ragged;

/// How long before a device is done the next batch is formed: about what it takes to form a large one,
/// to bring it there and to launch it.
const LEAD: Duration = Duration::from_millis(3);

/// The thread that computes, and the lanes in front of it.
pub(in crate::embedding::engine) struct Worker {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    busy_tokens: usize,
    searches: bool,
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
    pub fn start(
        limits: Limits,
        mut compute: Box<dyn Compute>,
        device: Option<Device>,
    ) -> Result<Self> {
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
        let (closing, searches) = (Closing(shared.clone()), compute.searches());
        let thread = std::thread::Builder::new()
            .name("embed".to_owned())
            .spawn(move || closing.0.work_until_stopped(&mut *compute))
            .map_err(Error::library("engine", "start its thread"))?;
        let busy_tokens = limits.busy_tokens.min(limits.batch_tokens_max);
        Ok(Self { shared, thread: Mutex::new(Some(thread)), busy_tokens, searches })
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

    /// Whether it can search for the vectors that it computes.
    pub fn searches(&self) -> bool {
        self.searches
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
pub(in crate::embedding::engine) fn stopped() -> Error {
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

    fn work_until_stopped(&self, compute: &mut dyn Compute) {
        let mut flight: Option<Flight> = None;
        loop {
            let batch = match &flight {
                Some(flight) => self.batch_meanwhile(flight),
                None => match self.wait_for_batch() {
                    None => return,
                    batch => batch,
                },
            };
            let mut next = batch.map(|batch| Flight::launch(compute, batch));
            if let Some(before) = flight.take() {
                self.land(before);
                if let Some(next) = &mut next {
                    next.began = Instant::now();
                }
            }
            match next {
                Some(next) if next.flies() => flight = Some(next),
                Some(next) => self.land(next),
                None => {}
            }
        }
    }

    /// Waits for a batch, and tells those who wait for it.
    fn land(&self, flight: Flight) {
        let Flight { batch, sequences, tokens, queued, launched, began, span, outcome } = flight;
        let outcome = outcome.and_then(|launched| launched.wait(sequences));
        let computed = began.elapsed();
        let facts = BatchFacts {
            sequences,
            tokens,
            tokens_max: batch.tokens_max,
            queued,
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
                self.sequences.fetch_add(sequences as u64, Ordering::Relaxed);
                self.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
                deliver(tickets, outcome.map(Arc::new).map_err(Arc::new), launched);
            }
        }
    }

    /// The batch behind `flight`, formed as late as the device's speed allows; none if nothing waits
    /// then.
    fn batch_meanwhile(&self, flight: &Flight) -> Option<Batch<Ticket>> {
        let mut state = self.lock();
        // Less than it will take, so that a device that is done is not left waiting.
        let takes = state.scheduler.cost().least(flight.tokens);
        let due = flight.began + takes.saturating_sub(LEAD);
        while !state.stopped
            && let Some(left) = due.checked_duration_since(Instant::now()).filter(|d| !d.is_zero())
        {
            let waited = self.work.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.stopped { None } else { self.form(&mut state) }
    }

    /// The next batch, formed when it is asked for; none when the worker is to stop.
    fn wait_for_batch(&self) -> Option<Batch<Ticket>> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(batch) = self.form(&mut state) {
                return Some(batch);
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A batch of what waits now.
    fn form(&self, state: &mut State) -> Option<Batch<Ticket>> {
        let now = Instant::now();
        let step = state.scheduler.next(now);
        self.room.notify_all();
        deliver_late(step.late, now);
        let batch = step.batch?;
        if let Some(ticket) = tickets(&batch).next() {
            state.tell_depth(&ticket.request.cx);
        }
        Some(batch)
    }
}

/// A batch that was begun.
struct Flight {
    batch: Batch<Ticket>,
    sequences: usize,
    tokens: usize,
    /// How long the oldest of its sequences had waited.
    queued: Duration,
    launched: Instant,
    /// When the device had nothing before it.
    began: Instant,
    span: Option<BatchSpan>,
    outcome: Result<Launched>,
}

impl Flight {
    fn launch(compute: &mut dyn Compute, batch: Batch<Ticket>) -> Self {
        let launched = Instant::now();
        let ragged = Ragged::from_seqs(batch.sequences.iter().map(|(ids, _)| ids.as_slice()));
        let queued = tickets(&batch).map(|ticket| launched - ticket.queued).max();
        let span = BatchSpan::open(batch.lane, requests(&batch));
        let mut wanted = Wanted::default();
        for (row, (_, tickets)) in batch.sequences.iter().enumerate() {
            tickets.iter().for_each(|ticket| wanted.add(row, ticket.request.search.as_ref()));
        }
        let outcome = guarded(|| compute.launch(&ragged, &wanted));
        let (sequences, tokens) = (ragged.n(), ragged.tokens());
        let queued = queued.unwrap_or_default();
        Self { batch, sequences, tokens, queued, launched, began: launched, span, outcome }
    }

    /// Whether the device still computes.
    fn flies(&self) -> bool {
        matches!(self.outcome, Ok(Launched::Later(_)))
    }
}
