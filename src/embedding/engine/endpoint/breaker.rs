//! A circuit breaker: it opens after consecutive failures and closes after one successful trial.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Counts consecutive failures. Threads share it.
pub struct Breaker {
    /// Consecutive failures that open the circuit.
    failures_max: u32,
    /// The time for which the circuit stays open before it permits one trial.
    cool_down: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// The message of the last failure.
    last: String,
    /// `None` while the circuit is closed.
    open_until: Option<Instant>,
    /// The circuit is half open and its trial is in progress.
    trying: bool,
}

/// Permission for one attempt, to be returned with its result. Dropping it without a result changes
/// nothing.
#[must_use]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    /// Whether this is the trial of a half-open circuit.
    trial: bool,
}

impl Breaker {
    pub fn new(failures_max: u32, cool_down: Duration) -> Self {
        Self { failures_max, cool_down, state: Mutex::default() }
    }

    /// Returns permission for an attempt at `now`, or a sentence with the reason against it.
    pub fn permit(&self, now: Instant) -> Result<Permit<'_>, String> {
        let mut state = self.state.lock();
        let Some(until) = state.open_until else {
            return Ok(Permit { breaker: self, trial: false });
        };
        let State { failures, last, .. } = &*state;
        let after = format!("after {failures} failures in a row, the last: {last}");
        if now < until {
            let ms = (until - now).as_millis();
            return Err(format!("the circuit is open for another {ms} ms {after}"));
        }
        if state.trying {
            return Err(format!("the circuit is half open, one try is under way {after}"));
        }
        state.trying = true;
        Ok(Permit { breaker: self, trial: true })
    }
}

impl Permit<'_> {
    /// Records success, which closes the circuit.
    pub fn succeeded(self) {
        *self.breaker.state.lock() = State::default();
    }

    /// Whether [`Permit::failed`] would open the circuit.
    pub fn would_open(&self) -> bool {
        let state = self.breaker.state.lock();
        self.trial
            || (state.open_until.is_none() && state.failures + 1 >= self.breaker.failures_max)
    }

    /// Records a failure at `now`.
    pub fn failed(self, now: Instant, why: &str) {
        let Breaker { failures_max, cool_down, .. } = *self.breaker;
        let mut state = self.breaker.state.lock();
        state.failures += 1;
        state.last = why.to_owned();
        // An attempt that was in progress when the circuit opened does not keep it open longer.
        if self.trial || (state.open_until.is_none() && state.failures >= failures_max) {
            state.open_until = Some(now + cool_down);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.trial {
            self.breaker.state.lock().trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOL_DOWN: Duration = Duration::from_secs(10);

    fn fail(breaker: &Breaker, now: Instant) {
        breaker.permit(now).unwrap_or_else(|why| panic!("{why}")).failed(now, "it hurts");
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_says_for_how_long_and_why() {
        let (breaker, now) = (Breaker::new(3, COOL_DOWN), Instant::now());
        fail(&breaker, now);
        fail(&breaker, now);
        breaker.permit(now).unwrap_or_else(|why| panic!("{why}")).succeeded();
        (0..3).for_each(|_| fail(&breaker, now));
        let why = breaker.permit(now + Duration::from_secs(4)).err().unwrap();
        for part in ["open", "6000 ms", "3 failures", "it hurts"] {
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn after_the_cool_down_one_try_decides() {
        let (breaker, now) = (Breaker::new(1, COOL_DOWN), Instant::now());
        fail(&breaker, now);
        let later = now + COOL_DOWN;
        let one = breaker.permit(later).unwrap_or_else(|why| panic!("{why}"));
        assert!(breaker.permit(later).err().unwrap().contains("half open"));
        one.failed(later, "still");
        assert!(breaker.permit(later).err().unwrap().contains("10000 ms"));
        // An abandoned trial permits another one.
        drop(breaker.permit(later + COOL_DOWN).unwrap_or_else(|why| panic!("{why}")));
        breaker.permit(later + COOL_DOWN).unwrap_or_else(|why| panic!("{why}")).succeeded();
        fail(&Breaker::new(1, COOL_DOWN), now);
        assert!(breaker.permit(now).is_ok());
    }
}
