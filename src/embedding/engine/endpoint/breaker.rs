//! A circuit breaker: after some failures in a row nobody tries for a while; then one try decides.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Counts failures in a row. Shared by threads.
pub struct Breaker {
    /// It opens at this many failures in a row.
    failures_max: u32,
    /// How long it stays open before one try is let through.
    cool_down: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// What the last failure was.
    last: String,
    /// `None` while it is closed.
    open_until: Option<Instant>,
    /// Half open: the one try is in progress.
    trying: bool,
}

/// Permission for one try, to be returned with its result; dropped without one, it changes nothing.
#[must_use]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    /// Whether it is the one try of a half-open breaker.
    trial: bool,
}

impl Breaker {
    pub fn new(failures_max: u32, cool_down: Duration) -> Self {
        Self { failures_max, cool_down, state: Mutex::default() }
    }

    /// Permission to try at `now`, or a sentence that says why not.
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
    /// The try succeeded: the circuit is closed.
    pub fn succeeded(self) {
        *self.breaker.state.lock() = State::default();
    }

    /// The try failed at `now`.
    pub fn failed(self, now: Instant, why: &str) {
        let Breaker { failures_max, cool_down, .. } = *self.breaker;
        let mut state = self.breaker.state.lock();
        state.failures += 1;
        state.last = why.to_owned();
        // A try that was in progress when the circuit opened does not keep it open for longer.
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
        // A try that is given up lets another one through.
        drop(breaker.permit(later + COOL_DOWN).unwrap_or_else(|why| panic!("{why}")));
        breaker.permit(later + COOL_DOWN).unwrap_or_else(|why| panic!("{why}")).succeeded();
        fail(&Breaker::new(1, COOL_DOWN), now);
        assert!(breaker.permit(now).is_ok());
    }
}
