//! The batches of one device: the size of the next one and the outcome of each.
//!
//! A batcher has no threads and no clock. Its caller passes the time, computes the batch that it
//! returns, and reports the result.

use std::time::{Duration, Instant};

use super::WorkerLimits;
use super::cost::CostModel;
use crate::base::error::{Error, Result};
use crate::embedding::engine::queue::{Batch, BatchRow, Queue, Waiter};

/// A limit set by memory rises by one part in this many after each batch above half of it.
const RECOVERY: usize = 64;

/// A device that computes only bulk work takes batches of at least this many times the tokens that
/// keep it busy, however slow it is: a batch of one text leaves threads idle at its ends.
const BULK_BUSY: usize = 4;
/// The time after a query in which bulk batches stay short for the next one.
const QUERIES_RECENT: Duration = Duration::from_secs(30);

/// The measurements of one device, and the batches that it computes before those of the queue.
#[derive(Debug)]
pub(super) struct Batcher<W> {
    limits: WorkerLimits,
    cost: CostModel,
    /// The halves of batches that failed or did not fit into memory, the next one last. Each split
    /// leaves one half here, so there are fewer halves than sequences in one batch.
    halves: Vec<Batch<W>>,
    /// Estimate of the tokens that fit into memory.
    memory_tokens_max: usize,
    out_of_memory: u64,
}

/// The next action of a worker.
#[derive(Debug)]
pub(super) struct Action<W> {
    /// The batch to compute; `None` if the queue is empty.
    pub batch: Option<Batch<W>>,
    /// Waiters whose results would miss their deadlines.
    pub late: Vec<W>,
}

/// The outcome of a batch.
#[derive(Debug)]
pub(super) enum BatchOutcome<W, R> {
    /// The batch is finished, and its result goes to the waiters. An error belongs to its only
    /// sequence, unless the device is lost.
    Done { rows: Vec<BatchRow<W>>, result: Result<R> },
    /// The batch failed or did not fit into memory, and its halves are computed next.
    Halved(Error),
}

impl<W> Batcher<W> {
    pub fn new(limits: WorkerLimits) -> Self {
        Self {
            limits,
            cost: CostModel::new(),
            halves: Vec::new(),
            memory_tokens_max: usize::MAX,
            out_of_memory: 0,
        }
    }

    pub fn cost(&self) -> &CostModel {
        &self.cost
    }

    /// Number of batches that did not fit into memory.
    pub fn out_of_memory(&self) -> u64 {
        self.out_of_memory
    }

    /// Maximum tokens of a batch while queries arrive: the limits of the settings and of memory,
    /// lowered to what the device computes within `time_max`, but not below `busy_tokens`. Before
    /// the first measurement, `busy_tokens` replaces the limit of time.
    pub fn tokens_max(&self) -> usize {
        self.tokens_within_limits(self.limits.busy_tokens)
    }

    /// Like [`Batcher::tokens_max`], while no query arrives.
    fn bulk_tokens_max(&self) -> usize {
        self.tokens_within_limits(BULK_BUSY * self.limits.busy_tokens)
    }

    /// tokens_min: the tokens that the limit of time always allows.
    fn tokens_within_limits(&self, tokens_min: usize) -> usize {
        let WorkerLimits { batch, time_max, .. } = self.limits;
        let in_time = time_max.map_or(usize::MAX, |time| {
            self.cost.tokens_within(time).unwrap_or_default().max(tokens_min)
        });
        in_time.min(batch.tokens_max).min(self.memory_tokens_max).max(1)
    }

    /// Removes the halves that have not been computed.
    pub fn take_halves(&mut self) -> Vec<Batch<W>> {
        std::mem::take(&mut self.halves)
    }

    /// Updates the estimates with the result of `batch`, which took `took`.
    ///
    /// A batch that fails is computed again in halves, so that a sequence on which the device fails
    /// fails alone. No sequence of a batch of `n` is computed more than `2 + log2(n)` times.
    pub fn settle<R>(
        &mut self,
        batch: Batch<W>,
        result: Result<R>,
        took: Duration,
    ) -> BatchOutcome<W, R> {
        match result {
            Ok(output) => {
                self.cost.observe(batch.tokens, took);
                self.raise_memory_limit(batch.tokens);
                BatchOutcome::Done { rows: batch.rows, result: Ok(output) }
            }
            Err(error @ Error::DeviceLost { .. }) => {
                BatchOutcome::Done { rows: batch.rows, result: Err(error) }
            }
            Err(error) => {
                if matches!(error, Error::OutOfMemory { .. }) {
                    self.out_of_memory += 1;
                    self.memory_tokens_max = self.memory_tokens_max.min(batch.tokens / 2);
                }
                match batch.halve() {
                    Ok([first, second]) => {
                        self.halves.extend([second, first]);
                        BatchOutcome::Halved(error)
                    }
                    Err(single) => BatchOutcome::Done { rows: single.rows, result: Err(error) },
                }
            }
        }
    }

    /// Raises the limit slowly, because memory used by another program may become free again.
    fn raise_memory_limit(&mut self, tokens: usize) {
        let limit = self.memory_tokens_max;
        if limit < self.limits.batch.tokens_max && tokens > limit / 2 {
            self.memory_tokens_max = limit + limit / RECOVERY + 1;
        }
    }

    /// The expected time for `tokens` on this device, in batches of the current size.
    fn expected(&self, tokens: usize) -> Option<Duration> {
        self.cost.expected(tokens.div_ceil(self.tokens_max()), tokens)
    }
}

/// The expected time for `tokens` on all devices together; `None` before the first batch of any
/// device.
pub(super) fn drain_time<W>(batchers: &[Batcher<W>], tokens: usize) -> Option<Duration> {
    let times = batchers.iter().filter_map(|batcher| batcher.expected(tokens));
    let speed: f64 = times.map(|time| 1.0 / time.as_secs_f64().max(1e-9)).sum();
    (speed > 0.0).then(|| Duration::from_secs_f64(1.0 / speed))
}

impl<W: Waiter> Batcher<W> {
    /// Takes the next batch from `queue`. Call it as late as possible, so that an urgent entry that
    /// arrives in the meantime is included.
    pub fn next(&mut self, queue: &mut Queue<W>, now: Instant) -> Action<W> {
        let mut late = Vec::new();
        let tokens_max = if queue.has_queries(now, QUERIES_RECENT) {
            self.tokens_max()
        } else {
            self.bulk_tokens_max()
        };
        loop {
            let half = self.halves.pop();
            let formed = half.or_else(|| queue.next_batch(self.limits.batch, tokens_max, now));
            let Some(mut batch) = formed else { return Action { batch: None, late } };
            let end = now + self.cost.least(batch.tokens);
            late.extend(batch.drop_unwanted(now, end));
            if !batch.rows.is_empty() {
                return Action { batch: Some(batch), late };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::telemetry::labels::Lane;
    use crate::embedding::engine::queue::{BatchLimits, Entry, Sequence};

    const LIMITS: WorkerLimits = WorkerLimits {
        batch: BatchLimits { tokens_max: 4096, seqs_max: 256 },
        time_max: Some(Duration::from_millis(100)),
        busy_tokens: 512,
    };

    /// A batcher that has measured 30 batches of `tokens` at `per_s` tokens per second.
    fn after(limits: WorkerLimits, tokens: usize, per_s: u32) -> Batcher<u32> {
        let mut batcher = Batcher::new(limits);
        let took = Duration::from_secs(tokens as u64) / per_s;
        (0..30).for_each(|_| drop(batcher.settle(batch(tokens), Ok(()), took)));
        batcher
    }

    /// A batch of one sequence.
    fn batch(tokens: usize) -> Batch<u32> {
        let mut queue = Queue::new(tokens);
        queue.push(Lane::Bulk, Entry { sequence: Sequence::from_ids(vec![0; tokens]), waiter: 1 });
        queue.next_batch(LIMITS.batch, tokens, Instant::now()).unwrap()
    }

    #[test]
    fn a_batch_has_what_its_time_allows_and_threads_never_stand_idle_for_it() {
        assert_eq!(Batcher::<u32>::new(LIMITS).tokens_max(), 512, "nothing is known yet");
        let most = |limits, per_s| after(limits, 800, per_s).tokens_max();
        assert!((990..=1010).contains(&most(LIMITS, 10_000)));
        assert_eq!(most(LIMITS, 1_000), 512);
        assert_eq!(most(LIMITS, 1_000_000), 4096);
        let unlimited = WorkerLimits { time_max: None, ..LIMITS };
        assert_eq!(most(unlimited, 1_000), 4096);
        assert_eq!(most(WorkerLimits { busy_tokens: 9_000, ..LIMITS }, 1_000), 4096);
    }

    #[test]
    fn what_memory_refused_is_remembered_and_forgotten_slowly() {
        let limits = WorkerLimits { time_max: None, ..LIMITS };
        let mut batcher = Batcher::<u32>::new(limits);
        let full = || Err::<(), _>(Error::OutOfMemory { tokens: 3000, bytes: 1 });
        let outcome = batcher.settle(batch(3000), full(), Duration::ZERO);
        let alone =
            matches!(outcome, BatchOutcome::Done { result: Err(Error::OutOfMemory { .. }), .. });
        assert!(alone);
        assert_eq!((batcher.tokens_max(), batcher.out_of_memory()), (1500, 1));
        let took = Duration::from_millis(1);
        (0..100).for_each(|_| drop(batcher.settle(batch(10), Ok(()), took)));
        assert_eq!(batcher.tokens_max(), 1500, "small batches prove nothing");
        let mut batches = 0;
        while batcher.tokens_max() < limits.batch.tokens_max {
            batcher.settle(batch(batcher.tokens_max()), Ok(()), took);
            batches += 1;
        }
        assert!((50..80).contains(&batches), "{batches}");
    }

    #[test]
    fn several_devices_drain_a_queue_together() {
        assert_eq!(drain_time(&[Batcher::<u32>::new(LIMITS)], 5_000), None);
        let device = |per_s| after(LIMITS, 800, per_s);
        let ms = |batchers: &[Batcher<u32>]| drain_time(batchers, 5_000).unwrap().as_millis();
        assert!((490..=510).contains(&ms(&[device(10_000)])));
        assert!((245..=255).contains(&ms(&[device(10_000), device(10_000)])));
        let unknown = Batcher::new(LIMITS);
        assert!((490..=510).contains(&ms(&[device(10_000), unknown])));
    }
}
