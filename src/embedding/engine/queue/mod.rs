//! Which waiting sequences are computed next, and which of them together?
//!
//! The queue is a state machine without threads, clock or device. The time is an argument, so a
//! test can drive it with a simulated clock. Entries wait in the two lanes of a [`Queue`]. A worker
//! that becomes free takes a [`Batch`] of a size that suits its device.

mod batch;
#[allow(clippy::module_inception)] // The file is named after its type.
mod queue;

use std::time::Instant;

pub(super) use batch::{Batch, BatchRow};
pub(super) use queue::Queue;

use crate::embedding::token::Ragged;

/// The maximum size of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimits {
    /// Maximum tokens of a batch. A longer sequence forms a batch of its own.
    pub tokens_max: usize,
    /// Maximum distinct sequences of a batch.
    pub seqs_max: usize,
}

/// The tokens of one text, or of a pair of texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Sequence {
    /// `[tokens]`
    pub ids: Vec<u32>,
    /// `[tokens]`, or empty if every type is 0.
    pub token_type_ids: Vec<u8>,
    /// How many of the first tokens are a prompt that pooling leaves out.
    pub left_out: u32,
}

impl Sequence {
    /// Sequence `i` of `ragged`: a text or a pair.
    pub fn new(ragged: &Ragged, i: usize) -> Self {
        let (ids, token_type_ids) = (ragged.seq(i), ragged.seq_types(i));
        let is_plain = token_type_ids.iter().all(|&id| id == 0);
        let token_type_ids = if is_plain { Vec::new() } else { token_type_ids.to_vec() };
        Self { ids: ids.to_vec(), token_type_ids, left_out: ragged.left_out[i] }
    }

    /// The sequence of a single text. ids: `[tokens]`.
    #[cfg(test)]
    pub fn from_ids(ids: Vec<u32>) -> Self {
        Self { ids, token_type_ids: Vec::new(), left_out: 0 }
    }

    /// Tokens that the sequence counts for in a limit. An empty sequence counts as one.
    pub fn tokens(&self) -> usize {
        self.ids.len().max(1)
    }
}

/// One sequence in the queue, and the waiter for its result.
#[derive(Debug)]
pub(super) struct Entry<W> {
    pub sequence: Sequence,
    pub waiter: W,
}

/// The part of a pending request that the queue needs; tests have their own implementation.
pub(super) trait Waiter {
    /// Whether the result is no longer needed.
    fn is_gone(&self, now: Instant) -> bool;
    /// The time after which the result is useless.
    fn deadline(&self) -> Option<Instant>;
}
