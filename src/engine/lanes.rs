//! Which waiting sequences go into the next batch?
//!
//! A pure data structure: no threads, no clock. Two lanes, each bounded in tokens. A batch takes
//! queries first. While queries are there, bulk gets a share of each batch and no more: a query
//! never waits for a batch full of somebody's files, and bulk never starves.

use std::collections::{HashMap, VecDeque};

pub use crate::telemetry::labels::Lane;

/// Bulk gets one part in this many of a batch that carries queries.
const BULK_SHARE: usize = 8;
/// Bulk sequences are matched by length among this many batches' worth of the oldest.
const WINDOW_BATCHES: usize = 4;

/// How much fits, in tokens and sequences.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Tokens of one batch; a longer sequence is a batch of its own.
    pub batch_tokens_max: usize,
    /// Distinct sequences of one batch.
    pub batch_seqs_max: usize,
    /// Tokens that wait in each lane.
    pub queue_tokens_max: usize,
}

/// One sequence, and the ticket on which its vector is delivered.
#[derive(Debug)]
pub(super) struct Sequence<T> {
    /// `[its length]`
    pub ids: Vec<u32>,
    pub ticket: T,
}

impl<T> Sequence<T> {
    /// What it costs of a budget; one without tokens still takes a place.
    pub fn tokens(&self) -> usize {
        self.ids.len().max(1)
    }
}

/// Sequences that are computed together.
#[derive(Debug)]
pub(super) struct Batch<T> {
    /// Distinct ids, each with every ticket that waits for their vector.
    pub sequences: Vec<(Vec<u32>, Vec<T>)>,
    pub tokens: usize,
    /// Interactive if any of them is.
    pub lane: Lane,
}

/// The queue of one worker.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    limits: Limits,
    interactive: Queue<T>,
    bulk: Queue<T>,
    /// Tokens that bulk may take of a batch although queries wait.
    bulk_credit: usize,
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
}

impl<T> Lanes<T> {
    pub fn new(limits: Limits) -> Self {
        Self { limits, interactive: Queue::new(), bulk: Queue::new(), bulk_credit: 0 }
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

    /// Whether `tokens` more fit into `lane`. An empty lane takes anything.
    pub fn has_room(&self, lane: Lane, tokens: usize) -> bool {
        let used = self.tokens(lane);
        used == 0 || used + tokens <= self.limits.queue_tokens_max
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

    /// The next batch, without those that `dead` says nobody waits for; none if none is left.
    pub fn next_batch(&mut self, dead: impl Fn(&T) -> bool) -> Option<Batch<T>> {
        let asked = self.interactive.drop_dead(self.limits, &dead);
        let window = self.bulk.drop_dead(self.limits, &dead);
        let mut filling = Filling::new(self.limits);

        if asked > 0 && window > 0 {
            self.bulk_credit += self.limits.batch_tokens_max.div_ceil(BULK_SHARE);
            let oldest = self.bulk.waiting[0].tokens().min(self.limits.batch_tokens_max);
            if oldest <= self.bulk_credit {
                filling.tokens_max = self.bulk_credit;
                self.bulk.fill_by_length(&mut filling, window);
                self.bulk_credit = self.bulk_credit.saturating_sub(filling.batch.tokens);
            }
            filling.tokens_max = self.limits.batch_tokens_max;
        }
        if asked > 0 {
            filling.batch.lane = Lane::Interactive;
        }
        self.interactive.fill(&mut filling, (0..asked).collect());
        if asked == 0 {
            self.bulk_credit = 0;
            self.bulk.fill_by_length(&mut filling, window);
        }
        (!filling.batch.sequences.is_empty()).then_some(filling.batch)
    }
}

impl<T> Queue<T> {
    /// Drops the dead among the oldest of a few batches' worth; gives how many are left of those.
    fn drop_dead(&mut self, limits: Limits, dead: &impl Fn(&T) -> bool) -> usize {
        let tokens_max = limits.batch_tokens_max * WINDOW_BATCHES;
        let seqs_max = limits.batch_seqs_max * WINDOW_BATCHES;
        let (mut window, mut tokens) = (0, 0);
        while tokens < tokens_max && window < self.waiting.len().min(seqs_max) {
            let sequence = &self.waiting[window];
            if dead(&sequence.ticket) {
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
        let Some(oldest) = self.waiting.front().map(Sequence::tokens) else { return };
        let mut order: Vec<usize> = (0..window).collect();
        order.sort_by_key(|&i| (self.waiting[i].tokens().abs_diff(oldest), i));
        self.fill(filling, order);
    }

    /// Moves what fits of the sequences at the places `order`, trying them in that order.
    fn fill(&mut self, filling: &mut Filling<T>, order: Vec<usize>) {
        let mut taken: Vec<usize> =
            order.into_iter().filter(|&i| filling.admits(&self.waiting[i])).collect();
        taken.sort_unstable();
        // From behind, so that the places of the others stay what they were.
        for i in taken.into_iter().rev() {
            let sequence = self.waiting.remove(i).expect("a place inside the window");
            self.tokens -= sequence.tokens();
            filling.batch.sequences[filling.places[&sequence.ids]].1.push(sequence.ticket);
        }
    }
}

/// A batch that is being put together.
struct Filling<T> {
    batch: Batch<T>,
    places: HashMap<Vec<u32>, usize>,
    tokens_max: usize,
    seqs_max: usize,
}

impl<T> Filling<T> {
    fn new(limits: Limits) -> Self {
        Self {
            batch: Batch { sequences: Vec::new(), tokens: 0, lane: Lane::Bulk },
            places: HashMap::new(),
            tokens_max: limits.batch_tokens_max,
            seqs_max: limits.batch_seqs_max,
        }
    }

    /// Makes a place for the ids of `sequence`, unless there is one or they do not fit.
    fn admits(&mut self, sequence: &Sequence<T>) -> bool {
        if self.places.contains_key(&sequence.ids) {
            return true;
        }
        let first = self.batch.sequences.is_empty();
        let fits = self.batch.tokens + sequence.tokens() <= self.tokens_max
            && self.batch.sequences.len() < self.seqs_max;
        if !(first || fits) {
            return false;
        }
        self.places.insert(sequence.ids.clone(), self.batch.sequences.len());
        self.batch.sequences.push((sequence.ids.clone(), Vec::new()));
        self.batch.tokens += sequence.tokens();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(batch_tokens_max: usize, batch_seqs_max: usize) -> Lanes<u32> {
        Lanes::new(Limits { batch_tokens_max, batch_seqs_max, queue_tokens_max: 100 })
    }

    /// Distinct ids of length `tokens` for ticket `ticket`.
    fn push(lanes: &mut Lanes<u32>, lane: Lane, ticket: u32, tokens: usize) {
        lanes.push(lane, Sequence { ids: vec![ticket; tokens], ticket });
    }

    fn next(lanes: &mut Lanes<u32>) -> Vec<u32> {
        let batch = lanes.next_batch(|_| false);
        let mut tickets: Vec<_> =
            batch.into_iter().flat_map(|b| b.sequences).flat_map(|(_, t)| t).collect();
        tickets.sort_unstable();
        tickets
    }

    #[test]
    fn queries_go_first_and_bulk_keeps_its_share() {
        let mut lanes = lanes(16, 100);
        (0..6).for_each(|i| push(&mut lanes, Lane::Bulk, i, 4));
        (10..14).for_each(|i| push(&mut lanes, Lane::Interactive, i, 6));
        // Credit 2, then 4: enough for one bulk sequence, beside which two queries fit.
        assert_eq!(next(&mut lanes), [10, 11]);
        assert_eq!(next(&mut lanes), [0, 12, 13]);
        // Without queries bulk takes all of a batch.
        assert_eq!(next(&mut lanes), [1, 2, 3, 4]);
        assert_eq!(next(&mut lanes), [5]);
        assert!(lanes.next_batch(|_| false).is_none());
        assert_eq!((lanes.tokens(Lane::Bulk), lanes.waiting()), (0, 0));
    }

    #[test]
    fn bulk_never_starves_under_endless_queries() {
        let mut lanes = lanes(16, 100);
        (0..4).for_each(|i| push(&mut lanes, Lane::Bulk, i, 16));
        let mut served = Vec::new();
        for i in 0..40 {
            push(&mut lanes, Lane::Interactive, 100 + i, 16);
            served.extend(next(&mut lanes).into_iter().filter(|t| *t < 100));
        }
        assert_eq!(served, [0, 1, 2, 3]);
    }

    #[test]
    fn a_sequence_that_does_not_fit_does_not_end_the_batch() {
        let mut lanes = lanes(10, 100);
        for (ticket, tokens) in [(0, 5), (1, 7), (2, 2), (3, 5), (4, 1)] {
            push(&mut lanes, Lane::Bulk, ticket, tokens);
        }
        assert_eq!(next(&mut lanes), [0, 3]);
        assert_eq!(next(&mut lanes), [1, 2, 4]);
    }

    #[test]
    fn bulk_is_matched_by_length_and_the_oldest_is_always_in() {
        let mut lanes = lanes(12, 100);
        for (ticket, tokens) in [(0, 2), (1, 9), (2, 3), (3, 8), (4, 2), (5, 3)] {
            push(&mut lanes, Lane::Bulk, ticket, tokens);
        }
        assert_eq!(next(&mut lanes), [0, 2, 4, 5]);
        assert_eq!(next(&mut lanes), [1]);
        assert_eq!(next(&mut lanes), [3]);
    }

    #[test]
    fn identical_sequences_are_computed_once_and_cost_nothing() {
        let mut lanes = lanes(6, 2);
        for ticket in 0..5 {
            lanes.push(Lane::Bulk, Sequence { ids: vec![7, 7, 7], ticket });
        }
        push(&mut lanes, Lane::Bulk, 9, 3);
        let batch = lanes.next_batch(|_| false).unwrap();
        assert_eq!((batch.sequences.len(), batch.tokens), (2, 6));
        assert_eq!(batch.sequences[0].1.len(), 5);
        assert_eq!(lanes.waiting(), 0);
    }

    #[test]
    fn the_dead_are_dropped_and_make_room() {
        let mut lanes = lanes(10, 100);
        (0..10).for_each(|i| push(&mut lanes, Lane::Bulk, i, 10));
        assert!(!lanes.has_room(Lane::Bulk, 1) && lanes.has_room(Lane::Interactive, 100));
        let batch = lanes.next_batch(|ticket| ticket % 2 == 0).unwrap();
        assert_eq!(batch.sequences[0].1, [1]);
        assert!(lanes.has_room(Lane::Bulk, 10));
        assert!(lanes.next_batch(|_| true).is_none());
        assert_eq!(lanes.tokens(Lane::Bulk), 0);
    }

    #[test]
    fn limits_hold_but_for_one_sequence_that_is_longer_alone() {
        let mut lanes = lanes(10, 2);
        push(&mut lanes, Lane::Interactive, 0, 50);
        (1..6).for_each(|i| push(&mut lanes, Lane::Interactive, i, 1));
        lanes.push(Lane::Interactive, Sequence { ids: vec![], ticket: 6 });
        assert_eq!(next(&mut lanes), [0]);
        assert_eq!(next(&mut lanes), [1, 2]);
        assert_eq!(next(&mut lanes), [3, 4]);
        assert_eq!(next(&mut lanes), [5, 6]);
    }
}
