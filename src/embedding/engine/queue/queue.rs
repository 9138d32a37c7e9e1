//! The queue of one model: two lanes of entries, and the order in which batches take them.
//!
//! Each lane is limited in tokens. A batch takes queries first. While queries keep arriving, bulk
//! work gets a fixed share of the tokens, so that queries are not delayed by bulk batches and bulk
//! work never starves.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::batch::{Batch, BatchBuilder};
use super::{BatchLimits, Entry, Waiter};
use crate::base::error::{Error, Result};
use crate::base::telemetry::labels::Lane;

/// Bulk earns a credit of one part in this many for each batch that queries take before it.
const BULK_SHARE: usize = 8;
/// The same credit as a fraction of a batch.
const BULK_EARNS: f64 = 1.0 / BULK_SHARE as f64;
/// Bulk entries of similar length are selected from the oldest entries, up to this many batches.
const WINDOW_BATCHES: usize = 4;

/// The entries waiting for the workers of one model.
#[derive(Debug)]
pub(in crate::embedding::engine) struct Queue<W> {
    /// Maximum tokens waiting in each lane.
    lane_tokens_max: usize,
    interactive: Waiting<W>,
    bulk: Waiting<W>,
    /// The fraction of a batch that bulk may take while queries wait, 0 to 1.
    bulk_credit: f64,
    /// The last time at which a query was waiting when a batch was formed.
    queried: Option<Instant>,
}

/// The entries of one lane, oldest first.
#[derive(Debug)]
struct Waiting<W> {
    entries: VecDeque<Entry<W>>,
    tokens: usize,
}

impl<W> Waiting<W> {
    fn new() -> Self {
        Self { entries: VecDeque::new(), tokens: 0 }
    }

    /// Tokens of the oldest entry, if there is one.
    fn oldest(&self) -> Option<usize> {
        self.entries.front().map(|entry| entry.sequence.tokens())
    }
}

impl<W> Queue<W> {
    /// lane_tokens_max: maximum tokens waiting in each lane.
    pub fn new(lane_tokens_max: usize) -> Self {
        Self {
            lane_tokens_max,
            interactive: Waiting::new(),
            bulk: Waiting::new(),
            bulk_credit: 0.0,
            queried: None,
        }
    }

    /// Whether a query is waiting, or one was within the last `recent`. Call it for each batch.
    pub fn has_queries(&mut self, now: Instant, recent: Duration) -> bool {
        if !self.interactive.entries.is_empty() {
            self.queried = Some(now);
        }
        self.queried.is_some_and(|at| now.saturating_duration_since(at) <= recent)
    }

    /// Tokens waiting in `lane`.
    pub fn tokens(&self, lane: Lane) -> usize {
        match lane {
            Lane::Interactive => self.interactive.tokens,
            Lane::Bulk => self.bulk.tokens,
        }
    }

    /// Entries waiting in both lanes.
    pub fn len(&self) -> usize {
        self.interactive.entries.len() + self.bulk.entries.len()
    }

    /// The excess if `tokens` more were added to `lane`. An empty lane accepts any number.
    pub fn excess(&self, lane: Lane, tokens: usize) -> usize {
        let used = self.tokens(lane);
        (used + tokens).saturating_sub(self.lane_tokens_max).min(used)
    }

    /// Returns an error with a time to retry after unless `tokens` more fit into `lane`.
    /// drain_time: the expected time of the workers for a number of tokens, if known.
    pub fn check_room(
        &self,
        lane: Lane,
        tokens: usize,
        drain_time: impl FnOnce(usize) -> Option<Duration>,
    ) -> Result<()> {
        let excess = self.excess(lane, tokens);
        if excess == 0 {
            return Ok(());
        }
        let what = match lane {
            Lane::Interactive => "the queue of interactive requests to the model",
            Lane::Bulk => "the queue of bulk requests to the model",
        };
        let retry_ms = drain_time(excess).map(|time| time.as_millis() as u64 + 1);
        let limit = format!("{} tokens", self.lane_tokens_max);
        Err(Error::Overloaded { what, limit, retry_ms })
    }

    /// Appends an entry. The caller must have checked that there is room.
    pub fn push(&mut self, lane: Lane, entry: Entry<W>) {
        let waiting = match lane {
            Lane::Interactive => &mut self.interactive,
            Lane::Bulk => &mut self.bulk,
        };
        waiting.tokens += entry.sequence.tokens();
        waiting.entries.push_back(entry);
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.interactive = Waiting::new();
        self.bulk = Waiting::new();
    }
}

impl<W: Waiter> Queue<W> {
    /// Forms the next batch, of at most `tokens_max` tokens and without cancelled or expired
    /// entries; `None` if no entry is left. limits: the limits of the device; `tokens_max` must be
    /// within them.
    pub fn next_batch(
        &mut self,
        limits: BatchLimits,
        tokens_max: usize,
        now: Instant,
    ) -> Option<Batch<W>> {
        let queries = self.interactive.drop_gone(limits, now);
        let window = self.bulk.drop_gone(limits, now);
        let whole = BatchLimits { tokens_max, ..limits };
        let mut builder = BatchBuilder::new(whole);
        if queries == 0 {
            self.bulk_credit = 0.0;
            self.bulk.fill_by_length(&mut builder, window);
        } else {
            let share = self.bulk_share(whole);
            if let Some(share) = share {
                builder.limits = share;
                self.bulk.fill_by_length(&mut builder, window);
                builder.limits = whole;
            }
            let spent = builder.batch.tokens as f64 / tokens_max as f64;
            // A turn of its own uses up all credit of bulk.
            let settled = window == 0 || share.is_some_and(|share| share.tokens_max == tokens_max);
            self.bulk_credit = if settled {
                0.0
            } else {
                ((self.bulk_credit - spent).max(0.0) + BULK_EARNS).min(1.0)
            };
            if self.interactive.fill(&mut builder, (0..queries).collect()) > 0 {
                builder.batch.lane = Lane::Interactive;
            }
        }
        (!builder.batch.rows.is_empty()).then_some(builder.batch)
    }

    /// The limits within which bulk fills a batch before queries do. They leave room for the oldest
    /// query, unless bulk has earned a turn of its own. Then bulk may fill the whole batch, and
    /// queries get the rest.
    fn bulk_share(&self, whole: BatchLimits) -> Option<BatchLimits> {
        let (query, oldest) = (self.interactive.oldest()?, self.bulk.oldest()?);
        let earned = (self.bulk_credit * whole.tokens_max as f64) as usize;
        let beside = earned.min(whole.tokens_max.saturating_sub(query));
        let seqs_max = whole.seqs_max / BULK_SHARE;
        if oldest <= beside && seqs_max > 0 {
            Some(BatchLimits { tokens_max: beside, seqs_max })
        } else if self.bulk_credit >= 1.0 {
            Some(whole)
        } else {
            None
        }
    }
}

impl<W: Waiter> Waiting<W> {
    /// Drops the entries whose results are no longer needed among the oldest [`WINDOW_BATCHES`]
    /// batches, and returns how many of those entries remain.
    fn drop_gone(&mut self, limits: BatchLimits, now: Instant) -> usize {
        let tokens_max = limits.tokens_max * WINDOW_BATCHES;
        let seqs_max = limits.seqs_max * WINDOW_BATCHES;
        let (mut window, mut tokens) = (0, 0);
        while tokens < tokens_max && window < self.entries.len().min(seqs_max) {
            let entry = &self.entries[window];
            if entry.waiter.is_gone(now) {
                self.tokens -= entry.sequence.tokens();
                self.entries.remove(window);
            } else {
                tokens += entry.sequence.tokens();
                window += 1;
            }
        }
        window
    }

    /// Moves the entries that fit among the first `window`: the oldest first, then those closest to
    /// its length.
    fn fill_by_length(&mut self, builder: &mut BatchBuilder<W>, window: usize) {
        let Some(oldest) = self.oldest() else { return };
        let mut order: Vec<usize> = (0..window).collect();
        order.sort_by_key(|&i| (self.entries[i].sequence.tokens().abs_diff(oldest), i));
        self.fill(builder, order);
    }

    /// Tries the entries at the positions `order` in that order, moves those that fit, and returns
    /// their number.
    fn fill(&mut self, builder: &mut BatchBuilder<W>, order: Vec<usize>) -> usize {
        let mut taken: Vec<usize> =
            order.into_iter().filter(|&i| builder.admits(&self.entries[i].sequence)).collect();
        taken.sort_unstable();
        // From the back, so that the positions of the others stay valid.
        for &i in taken.iter().rev() {
            let entry = self.entries.remove(i).expect("a position inside the window");
            self.tokens -= entry.sequence.tokens();
            builder.take(entry);
        }
        taken.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorKind;
    use crate::embedding::engine::queue::Sequence;

    /// Waiters from this number on no longer need a result.
    const GONE: u32 = 1000;

    impl Waiter for u32 {
        fn is_gone(&self, _: Instant) -> bool {
            *self >= GONE
        }
        fn deadline(&self) -> Option<Instant> {
            None
        }
    }

    /// A queue with the limits of its only device.
    struct Line {
        queue: Queue<u32>,
        limits: BatchLimits,
    }

    fn line(tokens_max: usize, seqs_max: usize) -> Line {
        Line { queue: Queue::new(100), limits: BatchLimits { tokens_max, seqs_max } }
    }

    impl Line {
        /// An entry of `tokens` tokens, distinct from those of other waiters.
        fn push(&mut self, lane: Lane, waiter: u32, tokens: usize) {
            let sequence = Sequence::from_ids(vec![waiter; tokens]);
            self.queue.push(lane, Entry { sequence, waiter });
        }

        fn batch(&mut self) -> Option<Batch<u32>> {
            self.queue.next_batch(self.limits, self.limits.tokens_max, Instant::now())
        }

        /// The waiters of the next batch.
        fn next(&mut self) -> Vec<u32> {
            let batch = self.batch();
            let mut waiters: Vec<u32> = batch.iter().flat_map(Batch::waiters).copied().collect();
            waiters.sort_unstable();
            waiters
        }
    }

    #[test]
    fn queries_go_first_and_bulk_keeps_its_share() {
        let mut line = line(16, 100);
        (0..6).for_each(|i| line.push(Lane::Bulk, i, 4));
        (10..16).for_each(|i| line.push(Lane::Interactive, i, 6));
        // Bulk earns 2 tokens per batch. After two batches it gets one sequence, and two queries
        // still fit.
        assert_eq!(line.next(), [10, 11]);
        assert_eq!(line.next(), [12, 13]);
        assert_eq!(line.next(), [0, 14, 15]);
        // Without queries, bulk takes the whole batch.
        assert_eq!(line.next(), [1, 2, 3, 4]);
        assert_eq!(line.next(), [5]);
        assert!(line.batch().is_none());
        assert_eq!((line.queue.tokens(Lane::Bulk), line.queue.len()), (0, 0));
    }

    #[test]
    fn bulk_never_starves_under_endless_queries() {
        let mut line = line(16, 100);
        (0..4).for_each(|i| line.push(Lane::Bulk, i, 16));
        let mut served = Vec::new();
        for i in 0..40 {
            line.push(Lane::Interactive, 100 + i, 16);
            served.extend(line.next().into_iter().filter(|t| *t < 100));
        }
        assert_eq!(served, [0, 1, 2, 3]);
    }

    #[test]
    fn a_long_query_never_starves_under_short_ones_and_bulk() {
        for seqs_max in [100, 8, 1] {
            let mut line = line(16, seqs_max);
            let mut round = |long: Option<u32>| {
                long.into_iter().for_each(|waiter| line.push(Lane::Interactive, waiter, 16));
                (0..20).for_each(|i| line.push(Lane::Bulk, i, 1));
                line.push(Lane::Interactive, 100, 1);
                line.next()
            };
            // Bulk earns some credit before the long entry arrives.
            (0..3).for_each(|_| drop(round(None)));
            let served = (0..9).position(|i| round((i == 0).then_some(500)).contains(&500));
            assert!(served.is_some_and(|i| i < 2), "{served:?} batches went before it");
        }
    }

    #[test]
    fn a_sequence_that_does_not_fit_does_not_end_the_batch() {
        let mut line = line(10, 100);
        for (waiter, tokens) in [(0, 5), (1, 7), (2, 2), (3, 5), (4, 1)] {
            line.push(Lane::Bulk, waiter, tokens);
        }
        assert_eq!(line.next(), [0, 3]);
        assert_eq!(line.next(), [1, 2, 4]);
    }

    #[test]
    fn bulk_is_matched_by_length_and_the_oldest_is_always_in() {
        let mut line = line(12, 100);
        for (waiter, tokens) in [(0, 2), (1, 9), (2, 3), (3, 8), (4, 2), (5, 3)] {
            line.push(Lane::Bulk, waiter, tokens);
        }
        assert_eq!(line.next(), [0, 2, 4, 5]);
        assert_eq!(line.next(), [1]);
        assert_eq!(line.next(), [3]);
    }

    #[test]
    fn identical_sequences_are_computed_once_and_cost_nothing() {
        let mut line = line(6, 2);
        for waiter in 0..5 {
            let sequence = Sequence::from_ids(vec![7, 7, 7]);
            line.queue.push(Lane::Bulk, Entry { sequence, waiter });
        }
        line.push(Lane::Bulk, 9, 3);
        let batch = line.batch().unwrap();
        assert_eq!((batch.rows.len(), batch.tokens), (2, 6));
        assert_eq!(batch.rows[0].waiters.len(), 5);
        assert_eq!(line.queue.len(), 0);
    }

    #[test]
    fn entries_that_nobody_waits_for_are_dropped_and_make_room() {
        let mut line = line(10, 100);
        (0..10).for_each(|i| line.push(Lane::Bulk, i + GONE * (1 - i % 2), 10));
        assert_eq!(line.queue.excess(Lane::Bulk, 1), 1);
        assert_eq!(line.queue.excess(Lane::Interactive, 200), 0, "an empty lane takes anything");
        assert_eq!(line.next(), [1]);
        assert_eq!(line.queue.excess(Lane::Bulk, 10), 0);
        (0..5).for_each(|_| drop(line.next()));
        assert_eq!((line.queue.tokens(Lane::Bulk), line.queue.len()), (0, 0));
    }

    #[test]
    fn limits_hold_but_for_one_sequence_that_is_longer_alone() {
        let mut line = line(10, 2);
        line.push(Lane::Interactive, 0, 50);
        (1..6).for_each(|i| line.push(Lane::Interactive, i, 1));
        line.push(Lane::Interactive, 6, 0);
        assert_eq!(line.next(), [0]);
        assert_eq!(line.next(), [1, 2]);
        assert_eq!(line.next(), [3, 4]);
        assert_eq!(line.next(), [5, 6]);
    }

    #[test]
    fn a_full_lane_says_when_there_will_be_room() {
        let mut line = line(10, 10);
        line.push(Lane::Bulk, 1, 90);
        assert!(line.queue.check_room(Lane::Interactive, 500, |_| unreachable!()).is_ok());
        let refused = |drain_time: fn(usize) -> Option<Duration>| {
            line.queue.check_room(Lane::Bulk, 60, drain_time).unwrap_err()
        };
        // The lane must drain by 50 tokens.
        let error = refused(|tokens| Some(Duration::from_millis(10) * tokens as u32));
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert!(matches!(error, Error::Overloaded { retry_ms: Some(501), .. }), "{error}");
        let error = refused(|_| None);
        assert!(error.to_string().ends_with("try again in a moment"), "{error}");
    }
}
