//! Which waiting sequences go into the next batch?
//!
//! Two lanes, each bounded in tokens. A batch takes queries first. While they come batch after batch,
//! bulk gets a share and no more: a query never waits for a batch full of somebody's files, and bulk
//! never starves.

use std::collections::VecDeque;
use std::time::Instant;

use super::batch::{Batch, Filling};
use super::{Claim, Lane, Limits, Sequence};

/// Bulk earns one part in this many of each batch that queries took before it.
const BULK_SHARE: usize = 8;
/// The same, of a batch.
const BULK_EARNS: f64 = 1.0 / BULK_SHARE as f64;
/// Bulk sequences are matched by length among this many batches' worth of the oldest.
const WINDOW_BATCHES: usize = 4;

/// What waits for one device.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    limits: Limits,
    interactive: Queue<T>,
    bulk: Queue<T>,
    /// What bulk may take of a batch although queries wait: 0 to 1.
    bulk_credit: f64,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<Sequence<T>>,
    tokens: usize,
}

impl<T> Queue<T> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), tokens: 0 }
    }

    /// Tokens of the oldest.
    fn oldest(&self) -> Option<usize> {
        self.waiting.front().map(Sequence::tokens)
    }
}

impl<T> Lanes<T> {
    pub fn new(limits: Limits) -> Self {
        Self { limits, interactive: Queue::new(), bulk: Queue::new(), bulk_credit: 0.0 }
    }

    /// Tokens that wait in `lane`.
    pub fn tokens(&self, lane: Lane) -> usize {
        match lane {
            Lane::Interactive => self.interactive.tokens,
            Lane::Bulk => self.bulk.tokens,
        }
    }

    /// Sequences that wait, in both lanes.
    pub fn waiting(&self) -> usize {
        self.interactive.waiting.len() + self.bulk.waiting.len()
    }

    /// How many of `tokens` more do not fit into `lane`. An empty lane takes anything.
    pub fn excess(&self, lane: Lane, tokens: usize) -> usize {
        let used = self.tokens(lane);
        (used + tokens).saturating_sub(self.limits.queue_tokens_max).min(used)
    }

    /// Appends a sequence; whether there is room is the caller's question.
    pub fn push(&mut self, lane: Lane, sequence: Sequence<T>) {
        let queue = match lane {
            Lane::Interactive => &mut self.interactive,
            Lane::Bulk => &mut self.bulk,
        };
        queue.tokens += sequence.tokens();
        queue.waiting.push_back(sequence);
    }

    /// Removes everything that waits.
    pub fn clear(&mut self) {
        (self.interactive, self.bulk) = (Queue::new(), Queue::new());
    }
}

impl<T: Claim> Lanes<T> {
    /// The next batch, of at most `tokens_max` tokens and without the dead; none if none is left.
    pub fn next_batch(&mut self, tokens_max: usize, now: Instant) -> Option<Batch<T>> {
        let queries = self.interactive.drop_dead(self.limits, now);
        let window = self.bulk.drop_dead(self.limits, now);
        let seqs_max = self.limits.batch_seqs_max;
        let mut filling = Filling::new(tokens_max, seqs_max);
        if queries == 0 {
            self.bulk_credit = 0.0;
            self.bulk.fill_by_length(&mut filling, window);
        } else {
            let (tokens, seqs) = self.bulk_share(tokens_max);
            if tokens > 0 {
                (filling.tokens_max, filling.seqs_max) = (tokens, seqs);
                self.bulk.fill_by_length(&mut filling, window);
                (filling.tokens_max, filling.seqs_max) = (tokens_max, seqs_max);
            }
            let spent = filling.batch.tokens as f64 / tokens_max as f64;
            // A turn of its own settles what bulk had earned.
            let settled = window == 0 || tokens == tokens_max;
            self.bulk_credit = if settled {
                0.0
            } else {
                ((self.bulk_credit - spent).max(0.0) + BULK_EARNS).min(1.0)
            };
            if self.interactive.fill(&mut filling, (0..queries).collect()) > 0 {
                filling.batch.lane = Lane::Interactive;
            }
        }
        (!filling.batch.sequences.is_empty()).then_some(filling.batch)
    }

    /// Tokens and sequences that bulk may take of a batch before queries do. The oldest query
    /// always fits beside them, unless bulk has been passed over so long that it has a turn of its
    /// own: the whole batch, and queries get what it leaves.
    fn bulk_share(&self, tokens_max: usize) -> (usize, usize) {
        let (Some(query), Some(oldest)) = (self.interactive.oldest(), self.bulk.oldest()) else {
            return (0, 0);
        };
        let earned = (self.bulk_credit * tokens_max as f64) as usize;
        let beside = earned.min(tokens_max.saturating_sub(query));
        let seqs = self.limits.batch_seqs_max / BULK_SHARE;
        if oldest <= beside && seqs > 0 {
            (beside, seqs)
        } else if self.bulk_credit >= 1.0 {
            (tokens_max, self.limits.batch_seqs_max)
        } else {
            (0, 0)
        }
    }
}

impl<T: Claim> Queue<T> {
    /// Drops the dead among the oldest of a few batches' worth; gives how many are left of those.
    fn drop_dead(&mut self, limits: Limits, now: Instant) -> usize {
        let tokens_max = limits.batch_tokens_max * WINDOW_BATCHES;
        let seqs_max = limits.batch_seqs_max * WINDOW_BATCHES;
        let (mut window, mut tokens) = (0, 0);
        while tokens < tokens_max && window < self.waiting.len().min(seqs_max) {
            let sequence = &self.waiting[window];
            if sequence.ticket.is_dead(now) {
                self.tokens -= sequence.tokens();
                self.waiting.remove(window);
            } else {
                tokens += sequence.tokens();
                window += 1;
            }
        }
        window
    }

    /// Moves what fits of the first `window`: the oldest, then those nearest to its length.
    fn fill_by_length(&mut self, filling: &mut Filling<T>, window: usize) {
        let Some(oldest) = self.oldest() else { return };
        let mut order: Vec<usize> = (0..window).collect();
        order.sort_by_key(|&i| (self.waiting[i].tokens().abs_diff(oldest), i));
        self.fill(filling, order);
    }

    /// Moves what fits of the sequences at the places `order`, trying them in that order; gives how
    /// many did.
    fn fill(&mut self, filling: &mut Filling<T>, order: Vec<usize>) -> usize {
        let mut taken: Vec<usize> =
            order.into_iter().filter(|&i| filling.admits(&self.waiting[i])).collect();
        taken.sort_unstable();
        // From behind, so that the places of the others stay what they were.
        for &i in taken.iter().rev() {
            let sequence = self.waiting.remove(i).expect("a place inside the window");
            self.tokens -= sequence.tokens();
            filling.take(sequence);
        }
        taken.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tickets from here on are dead.
    const DEAD: u32 = 1000;

    impl Claim for u32 {
        fn is_dead(&self, _: Instant) -> bool {
            *self >= DEAD
        }
        fn deadline(&self) -> Option<Instant> {
            None
        }
    }

    /// The lanes, and the tokens of a batch.
    struct Line(Lanes<u32>, usize);

    fn line(batch_tokens_max: usize, batch_seqs_max: usize) -> Line {
        let limits = Limits {
            batch_tokens_max,
            batch_seqs_max,
            queue_tokens_max: 100,
            batch_time_max: None,
            busy_tokens: 1,
        };
        Line(Lanes::new(limits), batch_tokens_max)
    }

    impl Line {
        /// Distinct ids of length `tokens` for ticket `ticket`.
        fn push(&mut self, lane: Lane, ticket: u32, tokens: usize) {
            self.0.push(lane, Sequence { ids: vec![ticket; tokens], ticket });
        }

        fn batch(&mut self) -> Option<Batch<u32>> {
            self.0.next_batch(self.1, Instant::now())
        }

        fn next(&mut self) -> Vec<u32> {
            let sequences = self.batch().into_iter().flat_map(|b| b.sequences);
            let mut tickets: Vec<_> = sequences.flat_map(|(_, tickets)| tickets).collect();
            tickets.sort_unstable();
            tickets
        }
    }

    #[test]
    fn queries_go_first_and_bulk_keeps_its_share() {
        let mut line = line(16, 100);
        (0..6).for_each(|i| line.push(Lane::Bulk, i, 4));
        (10..16).for_each(|i| line.push(Lane::Interactive, i, 6));
        // Bulk earns 2 a batch: after two it has one sequence, beside which two queries fit.
        assert_eq!(line.next(), [10, 11]);
        assert_eq!(line.next(), [12, 13]);
        assert_eq!(line.next(), [0, 14, 15]);
        // Without queries bulk takes all of a batch.
        assert_eq!(line.next(), [1, 2, 3, 4]);
        assert_eq!(line.next(), [5]);
        assert!(line.batch().is_none());
        assert_eq!((line.0.tokens(Lane::Bulk), line.0.waiting()), (0, 0));
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
                long.into_iter().for_each(|ticket| line.push(Lane::Interactive, ticket, 16));
                (0..20).for_each(|i| line.push(Lane::Bulk, i, 1));
                line.push(Lane::Interactive, 100, 1);
                line.next()
            };
            // Bulk earns something before the long one comes.
            (0..3).for_each(|_| drop(round(None)));
            let served = (0..9).position(|i| round((i == 0).then_some(500)).contains(&500));
            assert!(served.is_some_and(|i| i < 2), "{served:?} batches went before it");
        }
    }

    #[test]
    fn a_sequence_that_does_not_fit_does_not_end_the_batch() {
        let mut line = line(10, 100);
        for (ticket, tokens) in [(0, 5), (1, 7), (2, 2), (3, 5), (4, 1)] {
            line.push(Lane::Bulk, ticket, tokens);
        }
        assert_eq!(line.next(), [0, 3]);
        assert_eq!(line.next(), [1, 2, 4]);
    }

    #[test]
    fn bulk_is_matched_by_length_and_the_oldest_is_always_in() {
        let mut line = line(12, 100);
        for (ticket, tokens) in [(0, 2), (1, 9), (2, 3), (3, 8), (4, 2), (5, 3)] {
            line.push(Lane::Bulk, ticket, tokens);
        }
        assert_eq!(line.next(), [0, 2, 4, 5]);
        assert_eq!(line.next(), [1]);
        assert_eq!(line.next(), [3]);
    }

    #[test]
    fn identical_sequences_are_computed_once_and_cost_nothing() {
        let mut line = line(6, 2);
        for ticket in 0..5 {
            line.0.push(Lane::Bulk, Sequence { ids: vec![7, 7, 7], ticket });
        }
        line.push(Lane::Bulk, 9, 3);
        let batch = line.batch().unwrap();
        assert_eq!((batch.sequences.len(), batch.tokens), (2, 6));
        assert_eq!(batch.sequences[0].1.len(), 5);
        assert_eq!(line.0.waiting(), 0);
    }

    #[test]
    fn the_dead_are_dropped_and_make_room() {
        let mut line = line(10, 100);
        (0..10).for_each(|i| line.push(Lane::Bulk, i + DEAD * (1 - i % 2), 10));
        assert_eq!(line.0.excess(Lane::Bulk, 1), 1);
        assert_eq!(line.0.excess(Lane::Interactive, 200), 0, "an empty lane takes anything");
        assert_eq!(line.next(), [1]);
        assert_eq!(line.0.excess(Lane::Bulk, 10), 0);
        (0..5).for_each(|_| drop(line.next()));
        assert_eq!((line.0.tokens(Lane::Bulk), line.0.waiting()), (0, 0));
    }

    #[test]
    fn limits_hold_but_for_one_sequence_that_is_longer_alone() {
        let mut line = line(10, 2);
        line.push(Lane::Interactive, 0, 50);
        (1..6).for_each(|i| line.push(Lane::Interactive, i, 1));
        line.0.push(Lane::Interactive, Sequence { ids: vec![], ticket: 6 });
        assert_eq!(line.next(), [0]);
        assert_eq!(line.next(), [1, 2]);
        assert_eq!(line.next(), [3, 4]);
        assert_eq!(line.next(), [5, 6]);
    }
}
