//! The thread of one device, with the handling of failed batches.
//!
//! The thread takes the next batch when the device is free, or shortly before if the device
//! computes asynchronously, so that the batch includes queries that arrive in the meantime. After an
//! error or a panic it computes the batch again in halves, until the sequence that causes it is alone
//! and fails its requests and no others.

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
use crate::base::telemetry::labels::DeviceKind;
use crate::device::Device;
use crate::embedding::engine::pending::{Slot, respond, respond_late};
use crate::embedding::engine::queue::Batch;

/// The next batch is formed this long before the device is free: about the time to form a large
/// batch, copy it to the device and launch it.
const LEAD: Duration = Duration::from_millis(3);

/// One of the threads that share a queue.
pub(super) struct Worker {
    pub shared: Arc<Shared>,
    /// Index of this worker.
    pub index: usize,
}

/// However the thread ends, every waiting request receives a response.
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

    /// Waits for the results of a batch and responds to its requests.
    fn complete(&self, in_flight: InFlight) {
        let status = &self.shared.workers[self.index];
        let InFlight { batch, sequences, tokens, queued, launched, began, span, launch } =
            in_flight;
        let result = launch.and_then(|launch| launch.wait(sequences));
        let computed = began.elapsed();
        let on_gpu = status.device.as_ref().is_some_and(Device::is_gpu);
        let facts = BatchFacts {
            device: if on_gpu { DeviceKind::Cuda } else { DeviceKind::Cpu },
            sequences,
            tokens,
            tokens_max: batch.tokens_max,
            queued,
            computed,
            expected: Duration::ZERO,
            memory: status.device.as_ref().and_then(Device::memory),
        };
        status.computed_ns.fetch_add(computed.as_nanos() as u64, Ordering::Relaxed);
        let mut state = self.shared.state.lock();
        let expected = state.batchers[self.index].cost().expected(1, tokens);
        let facts = BatchFacts { expected: expected.unwrap_or_default(), ..facts };
        let outcome = state.batchers[self.index].settle(batch, result, computed);
        let mut abandoned = Vec::new();
        if let BatchOutcome::Done { result: Err(error @ Error::DeviceLost { .. }), .. } = &outcome {
            tracing::error!(%error, "the device is lost and computes nothing more");
            let _ = status.lost.set(error.to_string());
            abandoned = state.batchers[self.index].take_halves();
            // The other workers take over its share of the queue.
            self.shared.work.notify_all();
        }
        drop(state);
        match outcome {
            BatchOutcome::Halved(error) => {
                if let Some(span) = span {
                    span.halved(&facts, &error);
                }
            }
            BatchOutcome::Done { mut rows, result } => {
                if let Some(span) = span {
                    span.close(&facts, &result);
                }
                status.batches.fetch_add(1, Ordering::Relaxed);
                status.sequences.fetch_add(sequences as u64, Ordering::Relaxed);
                status.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
                rows.extend(abandoned.into_iter().flat_map(|batch| batch.rows));
                respond(rows, result, launched);
            }
        }
    }

    /// The batch after the one in flight, formed as late as the device's speed allows; `None` if
    /// the queue is then empty.
    fn batch_behind(&self, in_flight: &InFlight) -> Option<Batch<Slot>> {
        let mut state = self.shared.state.lock();
        // A lower bound of the time, so that the device does not wait for the next batch.
        let takes = state.batchers[self.index].cost().least(in_flight.tokens);
        let due = in_flight.began + takes.saturating_sub(LEAD);
        while !state.stopped && Instant::now() < due {
            self.shared.work.wait_until(&mut state, due);
        }
        if state.stopped { None } else { self.next_batch(&mut state) }
    }

    /// Waits for the next batch; `None` when the workers are stopped.
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

    /// Forms a batch from the entries waiting now.
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
