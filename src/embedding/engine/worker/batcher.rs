//! The batches of one device: how large the next one is, and what becomes of one that failed.
//!
//! No threads and no clock: whoever drives it passes the time, computes the batch that it returns, and
//! reports the result.

use std::time::{Duration, Instant};

use super::WorkerLimits;
use super::cost::CostModel;
use crate::base::error::{Error, Result};
use crate::embedding::engine::queue::{Batch, Queue, Waiter};

/// A limit that memory has set rises by one part in this many with each batch that nearly reaches it.
const RECOVERY: usize = 64;

/// What is known of one device, and the batches that it has to compute before those of the queue.
#[derive(Debug)]
pub(super) struct Batcher<W> {
    limits: WorkerLimits,
    cost: CostModel,
    /// Batches that the memory was too small for, cut in two; the next one last. Each cut leaves one
    /// of two here, so they are fewer than the sequences of one batch.
    halves: Vec<Batch<W>>,
    /// Tokens that the memory is believed to hold.
    memory_tokens_max: usize,
    out_of_memory: u64,
}

/// What a worker does next.
#[derive(Debug)]
pub(super) struct Action<W> {
    /// The batch to compute; none if nothing waits.
    pub batch: Option<Batch<W>>,
    /// Waiters to be told that their results would come too late.
    pub late: Vec<W>,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) enum BatchOutcome<W, R> {
    /// The result is for those who waited. waiters: those of each row.
    Done { waiters: Vec<Vec<W>>, result: Result<R> },
    /// It did not fit into the memory; its halves are next.
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

    /// Batches that did not fit into the memory.
    pub fn out_of_memory(&self) -> u64 {
        self.out_of_memory
    }

    /// Tokens that the next batch may have: what the settings and the memory allow, cut to what the
    /// device computes in the time of a batch, but never below what keeps the whole device busy.
    /// Before the first measurement it is just that.
    pub fn tokens_max(&self) -> usize {
        let WorkerLimits { batch, time_max, busy_tokens } = self.limits;
        let in_time = time_max.map_or(usize::MAX, |time| {
            self.cost.tokens_within(time).unwrap_or_default().max(busy_tokens)
        });
        in_time.min(batch.tokens_max).min(self.memory_tokens_max).max(1)
    }

    /// Removes the halves that have not been computed.
    pub fn take_halves(&mut self) -> Vec<Batch<W>> {
        std::mem::take(&mut self.halves)
    }

    /// Learns from the result of `batch`, which took `took`.
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
                BatchOutcome::Done { waiters: batch.into_waiters(), result: Ok(output) }
            }
            Err(error @ Error::OutOfMemory { .. }) => {
                self.out_of_memory += 1;
                self.memory_tokens_max = self.memory_tokens_max.min(batch.tokens / 2);
                match batch.halve() {
                    Ok([first, second]) => {
                        self.halves.extend([second, first]);
                        BatchOutcome::Halved(error)
                    }
                    Err(single) => {
                        BatchOutcome::Done { waiters: single.into_waiters(), result: Err(error) }
                    }
                }
            }
            Err(error) => BatchOutcome::Done { waiters: batch.into_waiters(), result: Err(error) },
        }
    }

    /// Memory may be free again some time after it was not: another program used it.
    fn raise_memory_limit(&mut self, tokens: usize) {
        let limit = self.memory_tokens_max;
        if limit < self.limits.batch.tokens_max && tokens > limit / 2 {
            self.memory_tokens_max = limit + limit / RECOVERY + 1;
        }
    }

    /// How long the device takes for `tokens`, in batches of the present size.
    fn expected(&self, tokens: usize) -> Option<Duration> {
        self.cost.expected(tokens.div_ceil(self.tokens_max()), tokens)
    }
}

/// How long the devices together take for `tokens`; unknown before the first batch of any.
pub(super) fn drain_time<W>(batchers: &[Batcher<W>], tokens: usize) -> Option<Duration> {
    let times = batchers.iter().filter_map(|batcher| batcher.expected(tokens));
    let speed: f64 = times.map(|time| 1.0 / time.as_secs_f64().max(1e-9)).sum();
    (speed > 0.0).then(|| Duration::from_secs_f64(1.0 / speed))
}

impl<W: Waiter> Batcher<W> {
    /// Takes the next batch from `queue`; to be called as late as possible, so that an urgent entry
    /// that arrives meanwhile is in it.
    pub fn next(&mut self, queue: &mut Queue<W>, now: Instant) -> Action<W> {
        let mut late = Vec::new();
        loop {
            let half = self.halves.pop();
            let formed =
                half.or_else(|| queue.next_batch(self.limits.batch, self.tokens_max(), now));
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

    /// A batcher that has seen 30 batches of `tokens`, at so many tokens a second.
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
