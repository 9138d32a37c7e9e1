//! The deadline of a run, its cancellation, and whether anybody still needs its result.

use std::time::{Duration, Instant};

use super::context::RunContext;
use crate::base::error::{Error, Result};
use crate::base::signal::Signal;

/// The HTTP header with which a caller limits the time of its request, in milliseconds.
pub const TIMEOUT_HEADER: &str = "x-request-timeout-ms";
/// Maximum value of [`TIMEOUT_HEADER`]: that of `search.deadline_ms`.
pub const TIMEOUT_MS_MAX: u64 = 600_000;

/// When the results of a run become useless.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    pub at: Instant,
    /// The time limit of the run, for messages and reports.
    pub budget: Duration,
}

impl RunContext {
    /// The same run with a deadline `budget` after its start.
    pub fn with_deadline(mut self, budget: Duration) -> Self {
        let at = self.run.log.started.checked_add(budget);
        self.deadline = at.map(|at| Deadline { at, budget });
        self
    }

    /// The same run, with a deadline `budget` from now if it has none.
    pub fn or_deadline(&self, budget: Duration) -> Self {
        let from_now = || Some(Deadline { at: Instant::now().checked_add(budget)?, budget });
        Self { deadline: self.deadline.or_else(from_now), ..self.clone() }
    }

    /// The same run, with a deadline at most `budget` from now.
    pub fn at_most(&self, budget: Duration) -> Self {
        let at = Instant::now().checked_add(budget);
        let sooner = at.filter(|at| self.deadline().is_none_or(|deadline| *at < deadline));
        let deadline = sooner.map(|at| Deadline { at, budget }).or(self.deadline);
        Self { deadline, ..self.clone() }
    }

    /// The same run for a part of it that must end earlier, so that the rest has time. share: the
    /// fraction of the budget that is kept for the rest; reserve_max: its maximum.
    pub fn reserving(&self, share: f64, reserve_max: Duration) -> Self {
        let earlier = |Deadline { at, budget }: Deadline| {
            let reserve = budget.mul_f64(share).min(reserve_max);
            Deadline { at: at.checked_sub(reserve).unwrap_or(at), budget }
        };
        Self { deadline: self.deadline.map(earlier), ..self.clone() }
    }

    /// The time after which the result is useless.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.map(|deadline| deadline.at)
    }

    /// Time limit of the run in milliseconds, if it has one.
    pub fn budget_ms(&self) -> Option<u64> {
        let ms = |budget: Duration| u64::try_from(budget.as_millis()).unwrap_or(u64::MAX);
        self.deadline.map(|deadline| ms(deadline.budget))
    }

    /// The error of a run whose deadline has passed while it did `what`.
    pub fn late(&self, what: &'static str) -> Error {
        Error::DeadlineExceeded { what, budget_ms: self.budget_ms().unwrap_or_default() }
    }

    /// Returns an error if nobody needs the result of `what` any more.
    pub fn check_wanted(&self, what: &'static str) -> Result<()> {
        if self.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match self.deadline() {
            Some(deadline) if deadline <= Instant::now() => Err(self.late(what)),
            _ => Ok(()),
        }
    }

    /// Requests the run to stop, and wakes those who wait for it.
    pub fn cancel(&self) {
        self.run.cancelled.raise();
    }

    pub fn is_cancelled(&self) -> bool {
        self.run.cancelled.is_raised()
    }

    /// The signal that [`RunContext::cancel`] raises.
    pub fn cancelled(&self) -> &Signal {
        &self.run.cancelled
    }
}
