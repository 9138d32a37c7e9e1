//! TimeLimit: how long one operation on files or history may take.

use std::time::{Duration, Instant};

use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;

/// The end of an operation: its own longest time, the deadline of its run, or a cancellation.
pub struct TimeLimit<'a> {
    cx: &'a RunContext,
    end: Instant,
}

impl<'a> TimeLimit<'a> {
    /// At most `longest` from now, and not beyond the deadline of the run.
    pub fn new(cx: &'a RunContext, longest: Duration) -> Self {
        let end = Instant::now() + longest;
        Self { cx, end: cx.deadline().map_or(end, |deadline| deadline.min(end)) }
    }

    /// Whether no time is left. A cancelled run is an error: nobody wants its partial result.
    pub fn is_over(&self) -> Result<bool> {
        if self.cx.is_cancelled() {
            return Err(Error::Cancelled);
        }
        Ok(Instant::now() >= self.end)
    }
}
