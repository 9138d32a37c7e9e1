//! Which sequences are computed together, when, and what becomes of each?
//!
//! `schedule` decides and is pure: the time is an argument, so that a test drives it with a clock
//! of its own. It takes sequences out of two lanes (`lanes`), as many as the device computes in the
//! time that a batch may take (`cost`), and knows what to do with what came of a `batch`. `worker` is
//! the thread around it, which has a device `compute` and makes a `delivery` to each request.

mod batch;
pub(super) mod compute;
mod cost;
mod delivery;
mod lanes;
mod schedule;
mod stats;
mod worker;

use std::time::{Duration, Instant};

pub use crate::base::telemetry::labels::Lane;
pub use compute::Search;
pub(super) use delivery::{Delivery, Request, Ticket};
pub use stats::EngineStats;
pub(super) use worker::{Worker, stopped};

/// How much fits, in tokens, sequences and time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Tokens of one batch; a longer sequence is a batch of its own.
    pub batch_tokens_max: usize,
    /// Distinct sequences of one batch.
    pub batch_seqs_max: usize,
    /// Tokens that wait in each lane.
    pub queue_tokens_max: usize,
    /// How long a batch may take as far as that can be foreseen; `None`: as long as it likes.
    pub batch_time_max: Option<Duration>,
    /// Tokens that keep every thread of the device busy once; a batch is never cut below it for the
    /// sake of its time.
    pub busy_tokens: usize,
}

/// One sequence, and the ticket on which its vector is delivered.
#[derive(Debug)]
pub(super) struct Sequence<T> {
    /// `[its length]`
    pub ids: Vec<u32>,
    pub ticket: T,
}

impl<T> Sequence<T> {
    pub fn tokens(&self) -> usize {
        budgeted(&self.ids)
    }
}

/// What a sequence costs of a budget; one without tokens still takes a place. ids: `[its length]`.
fn budgeted(ids: &[u32]) -> usize {
    ids.len().max(1)
}

/// What the scheduler asks a ticket: one of the worker's, or one of a simulation.
pub(super) trait Claim {
    /// Whether nobody waits for its vector any more.
    fn is_dead(&self, now: Instant) -> bool;
    /// When its vector will be of no use.
    fn deadline(&self) -> Option<Instant>;
}

#[cfg(test)]
mod tests;
