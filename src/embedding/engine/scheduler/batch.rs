//! Which sequences are one batch, and who waits for each?

use std::collections::HashMap;
use std::time::Instant;

use super::{Claim, Lane, Sequence, budgeted};

/// Sequences that are computed together.
#[derive(Debug)]
pub(super) struct Batch<T> {
    /// Distinct ids, each with every ticket that waits for their vector.
    pub sequences: Vec<(Vec<u32>, Vec<T>)>,
    pub tokens: usize,
    /// What it might have had.
    pub tokens_max: usize,
    /// Interactive if any of them is.
    pub lane: Lane,
}

impl<T> Batch<T> {
    /// Two batches of about half the tokens each; the batch itself if it is one sequence.
    pub fn halve(mut self) -> Result<[Self; 2], Self> {
        let n = self.sequences.len();
        if n < 2 {
            return Err(self);
        }
        let mut tokens = 0;
        let middle = self.sequences.iter().position(|(ids, _)| {
            tokens += budgeted(ids);
            2 * tokens >= self.tokens
        });
        let rest = self.sequences.split_off(middle.map_or(1, |i| i + 1).min(n - 1));
        let half = |sequences: Vec<(Vec<u32>, Vec<T>)>| {
            let tokens = sequences.iter().map(|(ids, _)| budgeted(ids)).sum();
            Self { sequences, tokens, ..Self::empty(self.lane, self.tokens_max) }
        };
        Ok([self.sequences, rest].map(half))
    }

    fn empty(lane: Lane, tokens_max: usize) -> Self {
        Self { sequences: Vec::new(), tokens: 0, tokens_max, lane }
    }
}

impl<T: Claim> Batch<T> {
    /// Drops the dead, and gives those whose deadline is before `end`.
    pub fn drop_unwanted(&mut self, now: Instant, end: Instant) -> Vec<T> {
        let mut late = Vec::new();
        self.sequences.retain_mut(|(ids, tickets)| {
            tickets.retain(|ticket| !ticket.is_dead(now));
            let misses = |ticket: &mut T| ticket.deadline().is_some_and(|at| at < end);
            late.extend(tickets.extract_if(.., misses));
            if tickets.is_empty() {
                self.tokens -= budgeted(ids);
            }
            !tickets.is_empty()
        });
        late
    }
}

/// A batch that is being put together.
pub(super) struct Filling<T> {
    pub batch: Batch<T>,
    places: HashMap<Vec<u32>, usize>,
    /// What it may have at this moment.
    pub tokens_max: usize,
    pub seqs_max: usize,
}

impl<T> Filling<T> {
    pub fn new(tokens_max: usize, seqs_max: usize) -> Self {
        let batch = Batch::empty(Lane::Bulk, tokens_max);
        Self { batch, places: HashMap::new(), tokens_max, seqs_max }
    }

    /// Makes a place for the ids of `sequence`, unless there is one or they do not fit.
    pub fn admits(&mut self, sequence: &Sequence<T>) -> bool {
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

    /// Takes a sequence that was admitted.
    pub fn take(&mut self, sequence: Sequence<T>) {
        self.batch.sequences[self.places[&sequence.ids]].1.push(sequence.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(batch: &Batch<u32>) -> Vec<usize> {
        batch.sequences.iter().map(|(ids, _)| ids.len()).collect()
    }

    #[test]
    fn halves_are_even_in_tokens_and_lose_nothing() {
        for (whole, left, right) in [
            (vec![4, 4, 4, 4], vec![4, 4], vec![4, 4]),
            (vec![9, 1, 1, 1], vec![9], vec![1, 1, 1]),
            (vec![1, 9], vec![1], vec![9]),
            (vec![0, 0], vec![0], vec![0]),
        ] {
            let mut filling = Filling::new(100, 100);
            for (ticket, length) in whole.iter().enumerate() {
                let ticket = ticket as u32;
                filling.batch.sequences.push((vec![ticket; *length], vec![ticket]));
                filling.batch.tokens += length.max(&1);
            }
            let tokens = filling.batch.tokens;
            let [a, b] = filling.batch.halve().unwrap();
            assert_eq!((lengths(&a), lengths(&b)), (left, right));
            assert_eq!(a.tokens + b.tokens, tokens);
            let tickets = a.sequences.iter().chain(&b.sequences).flat_map(|(_, t)| t).copied();
            assert_eq!(tickets.collect::<Vec<_>>(), (0..whole.len() as u32).collect::<Vec<_>>());
        }
        let mut filling = Filling::new(1, 1);
        let alone = Sequence { ids: vec![7; 9], ticket: 0 };
        assert!(filling.admits(&alone));
        filling.take(alone);
        assert_eq!(lengths(&filling.batch.halve().unwrap_err()), [9]);
    }
}
