//! A batch of distinct sequences, and the waiters of each.

use std::collections::HashMap;
use std::time::Instant;

use super::{BatchLimits, Entry, Sequence, Waiter};
use crate::base::telemetry::labels::Lane;

/// Sequences that a device computes together.
#[derive(Debug)]
pub(in crate::embedding::engine) struct Batch<W> {
    pub rows: Vec<BatchRow<W>>,
    pub tokens: usize,
    /// The limit on its tokens when it was formed.
    pub tokens_max: usize,
    /// Interactive if any of its sequences is.
    pub lane: Lane,
}

/// A distinct sequence of a batch, and the waiters for its result.
#[derive(Debug)]
pub(in crate::embedding::engine) struct BatchRow<W> {
    pub sequence: Sequence,
    pub waiters: Vec<W>,
}

impl<W> Batch<W> {
    pub(super) fn empty(lane: Lane, tokens_max: usize) -> Self {
        Self { rows: Vec::new(), tokens: 0, tokens_max, lane }
    }

    /// All waiters of this batch.
    pub fn waiters(&self) -> impl Iterator<Item = &W> {
        self.rows.iter().flat_map(|row| &row.waiters)
    }

    /// Splits the batch into two of about half the tokens each. Returns the batch itself as the
    /// error if it has a single sequence.
    pub fn halve(mut self) -> Result<[Self; 2], Self> {
        let n = self.rows.len();
        if n < 2 {
            return Err(self);
        }
        let mut tokens = 0;
        let middle = self.rows.iter().position(|row| {
            tokens += row.sequence.tokens();
            2 * tokens >= self.tokens
        });
        let rest = self.rows.split_off(middle.map_or(1, |i| i + 1).min(n - 1));
        let half = |rows: Vec<BatchRow<W>>| {
            let tokens = rows.iter().map(|row| row.sequence.tokens()).sum();
            Self { rows, tokens, ..Self::empty(self.lane, self.tokens_max) }
        };
        Ok([self.rows, rest].map(half))
    }
}

impl<W: Waiter> Batch<W> {
    /// Drops the waiters that no longer need a result, and removes and returns those whose deadline
    /// is before `end`.
    pub fn drop_unwanted(&mut self, now: Instant, end: Instant) -> Vec<W> {
        let mut late = Vec::new();
        self.rows.retain_mut(|row| {
            row.waiters.retain(|waiter| !waiter.is_gone(now));
            let misses = |waiter: &mut W| waiter.deadline().is_some_and(|at| at < end);
            late.extend(row.waiters.extract_if(.., misses));
            if row.waiters.is_empty() {
                self.tokens -= row.sequence.tokens();
            }
            !row.waiters.is_empty()
        });
        late
    }
}

/// A batch that is being formed.
pub(super) struct BatchBuilder<W> {
    pub batch: Batch<W>,
    /// The row of each distinct sequence.
    rows: HashMap<Sequence, usize>,
    /// The limits that currently apply.
    pub limits: BatchLimits,
}

impl<W> BatchBuilder<W> {
    pub fn new(limits: BatchLimits) -> Self {
        let batch = Batch::empty(Lane::Bulk, limits.tokens_max);
        Self { batch, rows: HashMap::new(), limits }
    }

    /// Ensures that `sequence` has a row, and returns whether it does. The first sequence of a
    /// batch always fits; a later one that does not is rejected.
    pub fn admits(&mut self, sequence: &Sequence) -> bool {
        if self.rows.contains_key(sequence) {
            return true;
        }
        let first = self.batch.rows.is_empty();
        let fits = self.batch.tokens + sequence.tokens() <= self.limits.tokens_max
            && self.batch.rows.len() < self.limits.seqs_max;
        if !(first || fits) {
            return false;
        }
        self.rows.insert(sequence.clone(), self.batch.rows.len());
        self.batch.rows.push(BatchRow { sequence: sequence.clone(), waiters: Vec::new() });
        self.batch.tokens += sequence.tokens();
        true
    }

    /// Adds an entry whose sequence was admitted.
    pub fn take(&mut self, entry: Entry<W>) {
        self.batch.rows[self.rows[&entry.sequence]].waiters.push(entry.waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(batch: &Batch<u32>) -> Vec<usize> {
        batch.rows.iter().map(|row| row.sequence.ids.len()).collect()
    }

    fn builder(tokens_max: usize, seqs_max: usize) -> BatchBuilder<u32> {
        BatchBuilder::new(BatchLimits { tokens_max, seqs_max })
    }

    #[test]
    fn halves_are_even_in_tokens_and_lose_nothing() {
        for (whole, left, right) in [
            (vec![4, 4, 4, 4], vec![4, 4], vec![4, 4]),
            (vec![9, 1, 1, 1], vec![9], vec![1, 1, 1]),
            (vec![1, 9], vec![1], vec![9]),
            (vec![0, 0], vec![0], vec![0]),
        ] {
            let mut builder = builder(100, 100);
            for (waiter, length) in whole.iter().enumerate() {
                let waiter = waiter as u32;
                let sequence = Sequence::from_ids(vec![waiter; *length]);
                builder.batch.rows.push(BatchRow { sequence, waiters: vec![waiter] });
                builder.batch.tokens += length.max(&1);
            }
            let tokens = builder.batch.tokens;
            let [a, b] = builder.batch.halve().unwrap();
            assert_eq!((lengths(&a), lengths(&b)), (left, right));
            assert_eq!(a.tokens + b.tokens, tokens);
            let waiters = a.waiters().chain(b.waiters()).copied();
            assert_eq!(waiters.collect::<Vec<_>>(), (0..whole.len() as u32).collect::<Vec<_>>());
        }
        let mut builder = builder(1, 1);
        let alone = Entry { sequence: Sequence::from_ids(vec![7; 9]), waiter: 0 };
        assert!(builder.admits(&alone.sequence));
        builder.take(alone);
        assert_eq!(lengths(&builder.batch.halve().unwrap_err()), [9]);
    }

    #[test]
    fn a_pair_is_not_the_single_text_of_the_same_ids() {
        let mut builder = builder(100, 100);
        let text = Sequence::from_ids(vec![1, 2, 3]);
        let pair = Sequence { token_type_ids: vec![0, 0, 1], ..text.clone() };
        for (waiter, sequence) in [text, pair].into_iter().enumerate() {
            assert!(builder.admits(&sequence));
            builder.take(Entry { sequence, waiter: waiter as u32 });
        }
        let rows = builder.batch.rows;
        assert_eq!(rows.iter().map(|row| &row.waiters[..]).collect::<Vec<_>>(), [[0], [1]]);
    }
}
