//! What does the device do next, and who is told what of it?
//!
//! No threads and no clock: whoever drives it says what time it is, computes the batch that it is
//! given, and brings back what came of it.

use std::time::{Duration, Instant};

use super::batch::Batch;
use super::cost::CostModel;
use super::lanes::Lanes;
use super::{Claim, Lane, Limits, Sequence};
use crate::base::error::{Error, Result};

/// A limit that memory set rises by one part in this many with each batch that nearly reached it.
const RECOVERY: usize = 64;

/// The queue of one device, and what is known of the device.
#[derive(Debug)]
pub(super) struct Scheduler<T> {
    limits: Limits,
    lanes: Lanes<T>,
    cost: CostModel,
    /// Batches that the memory was too small for, cut in two; the next one last. Each cut leaves one
    /// of two here, so they are fewer than the sequences of one batch.
    halves: Vec<Batch<T>>,
    /// Tokens that the memory is believed to hold.
    memory_tokens_max: usize,
    out_of_memory: u64,
}

/// What to do now.
#[derive(Debug)]
pub(super) struct Step<T> {
    /// To be computed; none when nothing waits.
    pub batch: Option<Batch<T>>,
    /// To be told that their vectors would come too late.
    pub late: Vec<T>,
}

/// What came of a batch.
#[derive(Debug)]
pub(super) enum Settled<T, V> {
    /// Its outcome is for those who waited. tickets: those of each row.
    Done { tickets: Vec<Vec<T>>, outcome: Result<V> },
    /// It did not fit the memory; its halves are next.
    Halved(Error),
}

impl<T> Scheduler<T> {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lanes: Lanes::new(limits),
            cost: CostModel::new(),
            halves: Vec::new(),
            memory_tokens_max: usize::MAX,
            out_of_memory: 0,
        }
    }

    pub fn lanes(&self) -> &Lanes<T> {
        &self.lanes
    }

    pub fn cost(&self) -> &CostModel {
        &self.cost
    }

    /// Batches that did not fit the memory.
    pub fn out_of_memory(&self) -> u64 {
        self.out_of_memory
    }

    /// Whether `tokens` more fit into `lane`; if not, the error says when to ask again.
    pub fn check_room(&self, lane: Lane, tokens: usize) -> Result<()> {
        let excess = self.lanes.excess(lane, tokens);
        if excess == 0 {
            return Ok(());
        }
        let what = match lane {
            Lane::Interactive => "the queue of queries to embed",
            Lane::Bulk => "the queue of texts to embed",
        };
        let batches = excess.div_ceil(self.batch_tokens_max());
        let room_in = self.cost.expected(batches, excess);
        let retry_ms = room_in.map(|room_in| room_in.as_millis() as u64 + 1);
        let limit = format!("{} tokens", self.limits.queue_tokens_max);
        Err(Error::Overloaded { what, limit, retry_ms })
    }

    /// Appends a sequence; whether there is room is the caller's question.
    pub fn push(&mut self, lane: Lane, sequence: Sequence<T>) {
        self.lanes.push(lane, sequence);
    }

    /// Removes everything that waits.
    pub fn clear(&mut self) {
        self.lanes.clear();
        self.halves.clear();
    }

    /// Tokens that the next batch may have: what the settings and the memory allow, cut to what the
    /// device computes in the time of a batch, but not so that threads stand idle. Before the first
    /// measurement it is what keeps them busy once.
    pub fn batch_tokens_max(&self) -> usize {
        let Limits { batch_tokens_max, batch_time_max, busy_tokens, .. } = self.limits;
        let in_time = batch_time_max.map_or(usize::MAX, |time| {
            self.cost.tokens_within(time).unwrap_or_default().max(busy_tokens)
        });
        in_time.min(batch_tokens_max).min(self.memory_tokens_max).max(1)
    }

    /// Takes the outcome of `batch`, which took so long.
    pub fn settle<V>(
        &mut self,
        batch: Batch<T>,
        outcome: Result<V>,
        took: Duration,
    ) -> Settled<T, V> {
        let done = |batch: Batch<T>, outcome| {
            let tickets = batch.sequences.into_iter().map(|(_, tickets)| tickets).collect();
            Settled::Done { tickets, outcome }
        };
        match outcome {
            Ok(vectors) => {
                self.cost.observe(batch.tokens, took);
                self.fitted(batch.tokens);
                done(batch, Ok(vectors))
            }
            Err(error @ Error::OutOfMemory { .. }) => {
                self.out_of_memory += 1;
                self.memory_tokens_max = self.memory_tokens_max.min(batch.tokens / 2);
                match batch.halve() {
                    Ok([first, second]) => {
                        self.halves.extend([second, first]);
                        Settled::Halved(error)
                    }
                    Err(alone) => done(alone, Err(error)),
                }
            }
            Err(error) => done(batch, Err(error)),
        }
    }

    /// Memory may be there again some time after it was not: another program took it.
    fn fitted(&mut self, tokens: usize) {
        let limit = self.memory_tokens_max;
        if limit < self.limits.batch_tokens_max && tokens > limit / 2 {
            self.memory_tokens_max = limit + limit / RECOVERY + 1;
        }
    }
}

impl<T: Claim> Scheduler<T> {
    /// Forms the next batch, as late as it is asked for.
    pub fn next(&mut self, now: Instant) -> Step<T> {
        let mut late = Vec::new();
        loop {
            let half = self.halves.pop();
            let formed = half.or_else(|| self.lanes.next_batch(self.batch_tokens_max(), now));
            let Some(mut batch) = formed else { return Step { batch: None, late } };
            let end = now + self.cost.least(batch.tokens);
            late.extend(batch.drop_unwanted(now, end));
            if !batch.sequences.is_empty() {
                return Step { batch: Some(batch), late };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorKind;

    const LIMITS: Limits = Limits {
        batch_tokens_max: 4096,
        batch_seqs_max: 256,
        queue_tokens_max: 20_000,
        batch_time_max: Some(Duration::from_millis(100)),
        busy_tokens: 512,
    };

    /// A scheduler that has seen 30 batches of `tokens`, at so many tokens a second.
    fn after(limits: Limits, tokens: usize, per_s: u32) -> Scheduler<u32> {
        let mut scheduler = Scheduler::new(limits);
        let took = Duration::from_secs(tokens as u64) / per_s;
        (0..30).for_each(|_| drop(scheduler.settle(batch(tokens), Ok(()), took)));
        scheduler
    }

    fn batch(tokens: usize) -> Batch<u32> {
        let sequences = vec![(vec![0; tokens], vec![1])];
        Batch { sequences, tokens, tokens_max: tokens, lane: Lane::Bulk }
    }

    #[test]
    fn a_batch_has_what_its_time_allows_and_threads_never_stand_idle_for_it() {
        assert_eq!(Scheduler::<u32>::new(LIMITS).batch_tokens_max(), 512, "nothing is known yet");
        let most = |limits, per_s| after(limits, 800, per_s).batch_tokens_max();
        assert!((990..=1010).contains(&most(LIMITS, 10_000)));
        assert_eq!(most(LIMITS, 1_000), 512);
        assert_eq!(most(LIMITS, 1_000_000), 4096);
        let unlimited = Limits { batch_time_max: None, ..LIMITS };
        assert_eq!(most(unlimited, 1_000), 4096);
        assert_eq!(most(Limits { busy_tokens: 9_000, ..LIMITS }, 1_000), 4096);
    }

    #[test]
    fn what_memory_refused_is_remembered_and_forgotten_slowly() {
        let limits = Limits { batch_time_max: None, ..LIMITS };
        let mut scheduler = Scheduler::<u32>::new(limits);
        let full = || Err::<(), _>(Error::OutOfMemory { tokens: 3000, bytes: 1 });
        let settled = scheduler.settle(batch(3000), full(), Duration::ZERO);
        assert!(matches!(settled, Settled::Done { outcome: Err(Error::OutOfMemory { .. }), .. }));
        assert_eq!((scheduler.batch_tokens_max(), scheduler.out_of_memory()), (1500, 1));
        let took = Duration::from_millis(1);
        (0..100).for_each(|_| drop(scheduler.settle(batch(10), Ok(()), took)));
        assert_eq!(scheduler.batch_tokens_max(), 1500, "small batches prove nothing");
        let mut batches = 0;
        while scheduler.batch_tokens_max() < limits.batch_tokens_max {
            scheduler.settle(batch(scheduler.batch_tokens_max()), Ok(()), took);
            batches += 1;
        }
        assert!((50..80).contains(&batches), "{batches}");
    }

    #[test]
    fn a_full_lane_says_when_there_will_be_room() {
        let refused = |scheduler: &mut Scheduler<u32>| {
            scheduler.push(Lane::Bulk, Sequence { ids: vec![1; 19_000], ticket: 1 });
            assert!(scheduler.check_room(Lane::Interactive, 50_000).is_ok());
            scheduler.check_room(Lane::Bulk, 6_000).unwrap_err()
        };
        let error = refused(&mut after(LIMITS, 800, 10_000));
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        // 5,000 tokens have to go.
        assert!(matches!(error, Error::Overloaded { retry_ms: Some(490..=510), .. }), "{error}");
        let error = refused(&mut Scheduler::new(LIMITS));
        assert!(error.to_string().ends_with("try again in a moment"), "{error}");
    }
}
