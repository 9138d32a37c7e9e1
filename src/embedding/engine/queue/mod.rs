//! Which waiting sequences are computed next, and which of them together?
//!
//! A state machine without threads, clock or device: the time is an argument, so that a test drives it
//! with a clock of its own. Entries wait in two lanes of one [`Queue`]; each worker that becomes free
//! takes a [`Batch`] of the size that suits its device.

mod batch;
#[allow(clippy::module_inception)] // The file is named after its type.
mod queue;

use std::time::Instant;

pub(super) use batch::Batch;
pub(super) use queue::Queue;

/// The largest batch that a device may be given.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimits {
    /// Tokens of one batch; a longer sequence is a batch of its own.
    pub tokens_max: usize,
    /// Distinct sequences of one batch.
    pub seqs_max: usize,
}

/// The tokens of one text, or of a pair of texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Sequence {
    /// `[tokens]`
    pub ids: Vec<u32>,
    /// `[tokens]`, or empty if every type is 0.
    pub token_type_ids: Vec<u8>,
}

impl Sequence {
    /// The sequence of a text or of a pair. ids, token_type_ids: `[tokens]`.
    pub fn new(ids: &[u32], token_type_ids: &[u8]) -> Self {
        let is_plain = token_type_ids.iter().all(|&id| id == 0);
        let token_type_ids = if is_plain { Vec::new() } else { token_type_ids.to_vec() };
        Self { ids: ids.to_vec(), token_type_ids }
    }

    /// The sequence of a single text. ids: `[tokens]`.
    #[cfg(test)]
    pub fn from_ids(ids: Vec<u32>) -> Self {
        Self { ids, token_type_ids: Vec::new() }
    }

    /// Tokens that it counts for in a budget; an empty sequence counts for one.
    pub fn tokens(&self) -> usize {
        self.ids.len().max(1)
    }
}

/// One sequence in the queue, and who waits for its result.
#[derive(Debug)]
pub(super) struct Entry<W> {
    pub sequence: Sequence,
    pub waiter: W,
}

/// What the queue has to know about whoever waits for a result: a request, or a test.
pub(super) trait Waiter {
    /// Whether nobody needs the result any more.
    fn is_gone(&self, now: Instant) -> bool;
    /// The time after which the result is useless.
    fn deadline(&self) -> Option<Instant>;
}
