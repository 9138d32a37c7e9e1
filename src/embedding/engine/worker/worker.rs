//! The thread of one device, and what happens to a batch that fails.
//!
//! It asks for the next batch when the device is free, or nearly so where a device computes by itself,
//! so that a query that arrives meanwhile is in it. An error or a panic ends the requests of that batch
//! and no others.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use super::batcher::BatchOutcome;
use super::compute::Compute;
use super::in_flight::InFlight;
use super::workers::{Shared, State};
use crate::base::error::Error;
use crate::base::telemetry::BatchFacts;
use crate::device::Device;
use crate::embedding::engine::pending::{Slot, respond, respond_late};
use crate::embedding::engine::queue::Batch;

/// How long before a device is done the next batch is formed: about what it takes to form a large one,
/// to bring it to the device and to launch it.
const LEAD: Duration = Duration::from_millis(3);

/// One of the threads that share a queue.
pub(super) struct Worker {
    pub shared: Arc<Shared>,
    /// Its position among the workers.
    pub index: usize,
}

/// However the thread ends, nobody waits for it in vain.
impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Worker {
    /// Computes batches until the workers are stopped.
    pub fn run(self, compute: &mut dyn Compute) {
        let mut in_flight: Option<InFlight> = None;
        loop {
            let batch = match &in_flight {
                Some(in_flight) => self.batch_behind(in_flight),
                None => match self.wait_for_batch() {
                    None => return,
                    batch => batch,
                },
            };
            let mut next = batch.map(|batch| InFlight::launch(compute, batch));
            if let Some(before) = in_flight.take() {
                self.complete(before);
                if let Some(next) = &mut next {
                    next.began = Instant::now();
                }
            }
            match next {
                Some(next) if next.is_running() => in_flight = Some(next),
                Some(next) => self.complete(next),
                None => {}
            }
        }
    }

    /// Waits for the results of a batch and responds to those who wait for them.
    fn complete(&self, in_flight: InFlight) {
        let status = &self.shared.workers[self.index];
        let InFlight { batch, sequences, tokens, queued, launched, began, span, launch } =
            in_flight;
        let result = launch.and_then(|launch| launch.wait(sequences));
        let computed = began.elapsed();
        let facts = BatchFacts {
            sequences,
            tokens,
            tokens_max: batch.tokens_max,
            queued,
            computed,
            memory: status.device.as_ref().and_then(Device::memory),
        };
        status.computed_ns.fetch_add(computed.as_nanos() as u64, Ordering::Relaxed);
        let mut state = self.shared.state.lock();
        let outcome = state.batchers[self.index].settle(batch, result, computed);
        let mut abandoned = Vec::new();
        if let BatchOutcome::Done { result: Err(error @ Error::DeviceLost { .. }), .. } = &outcome {
            tracing::error!(%error, "the device is lost and computes nothing more");
            let _ = status.lost.set(error.to_string());
            abandoned = state.batchers[self.index].take_halves();
            // The other workers take over.
            self.shared.work.notify_all();
        }
        drop(state);
        match outcome {
            BatchOutcome::Halved(error) => {
                if let Some(span) = span {
                    span.halved(&facts, &error);
                }
            }
            BatchOutcome::Done { mut waiters, result } => {
                if let Some(span) = span {
                    span.close(&facts, &result);
                }
                status.batches.fetch_add(1, Ordering::Relaxed);
                status.sequences.fetch_add(sequences as u64, Ordering::Relaxed);
                status.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
                waiters.extend(abandoned.into_iter().flat_map(Batch::into_waiters));
                respond(waiters, result, launched);
            }
        }
    }

    /// The batch behind the one in flight, formed as late as the device's speed allows; none if nothing
    /// waits then.
    fn batch_behind(&self, in_flight: &InFlight) -> Option<Batch<Slot>> {
        let mut state = self.shared.state.lock();
        // Less than it will take, so that a device that is done does not have to wait.
        let takes = state.batchers[self.index].cost().least(in_flight.tokens);
        let due = in_flight.began + takes.saturating_sub(LEAD);
        while !state.stopped && Instant::now() < due {
            self.shared.work.wait_until(&mut state, due);
        }
        if state.stopped { None } else { self.next_batch(&mut state) }
    }

    /// The next batch, formed when it is asked for; none when the workers are stopped.
    fn wait_for_batch(&self) -> Option<Batch<Slot>> {
        let mut state = self.shared.state.lock();
        while !state.stopped {
            if self.shared.may_compute(self.index)
                && let Some(batch) = self.next_batch(&mut state)
            {
                return Some(batch);
            }
            self.shared.work.wait(&mut state);
        }
        None
    }

    /// A batch of what waits now.
    fn next_batch(&self, state: &mut MutexGuard<'_, State>) -> Option<Batch<Slot>> {
        let now = Instant::now();
        let State { queue, batchers, .. } = &mut **state;
        let action = batchers[self.index].next(queue, now);
        self.shared.room.notify_all();
        respond_late(action.late, now);
        let batch = action.batch?;
        if let Some(slot) = batch.waiters().next() {
            state.record_depth(&slot.request.cx);
        }
        Some(batch)
    }
}
