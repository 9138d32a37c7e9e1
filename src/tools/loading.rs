//! What is being opened, and the calls that wait for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{at, select};
use parking_lot::{Mutex, RwLock};

use crate::base::error::{Error, Result};
use crate::base::signal::Signal;
use crate::ingest::Progress;

/// How long a call waits for what is being opened.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Bounds of the time after which a caller may try again while an index is built, in milliseconds.
const RETRY_MS: std::ops::RangeInclusive<u64> = 1_000..=60_000;
/// That time while it cannot be estimated.
const RETRY_UNKNOWN_MS: u64 = 5_000;

/// An open value, or the error that explains why it is not open.
pub(super) struct Slot<T>(RwLock<Opened<T>>);

struct Opened<T> {
    result: Result<T, Arc<Error>>,
    /// Whether opening it has ended, successfully or not.
    is_over: bool,
}

impl<T: Clone> Slot<T> {
    pub fn loading(what: &str) -> Self {
        let remedy = "it is still being loaded; try again".to_owned();
        let error = Error::Unavailable { what: what.to_owned(), remedy };
        Self(RwLock::new(Opened { result: Err(error.into()), is_over: false }))
    }

    pub fn get(&self) -> Result<T, Arc<Error>> {
        self.0.read().result.clone()
    }

    fn is_over(&self) -> bool {
        self.0.read().is_over
    }

    fn set(&self, value: Result<T, Arc<Error>>) {
        *self.0.write() = Opened { result: value, is_over: true };
    }
}

/// Wakes those who wait for a slot, and knows whether the first index is being built.
#[derive(Default)]
pub(super) struct Loading {
    /// Raised and replaced with each change.
    changed: Mutex<Arc<Signal>>,
    /// Since when this process has been building, or is about to build, the first index.
    building: Mutex<Option<Instant>>,
    /// Why the last attempt of this process to build one failed.
    failure: Mutex<Option<Arc<Error>>>,
}

impl Loading {
    pub fn set<T: Clone>(&self, slot: &Slot<T>, value: Result<T>) {
        slot.set(value.map_err(Arc::new));
        self.wake();
    }

    /// Announces that this process will bring the index up to date.
    pub fn expect_index(&self) {
        self.building.lock().get_or_insert_with(Instant::now);
    }

    /// Ends what [`Loading::expect_index`] announced, perhaps with a failure.
    pub fn built(&self, failure: Option<Error>) {
        *self.failure.lock() = failure.map(Arc::new);
        *self.building.lock() = None;
        self.wake();
    }

    pub fn is_building(&self) -> bool {
        self.building.lock().is_some()
    }

    fn wake(&self) {
        std::mem::take(&mut *self.changed.lock()).raise();
    }

    /// The value of `slot`, once opening it has ended. `goes_on`: whether an error may still be followed
    /// by a value. Waits until `deadline`, at most [`WAIT_MAX`], and returns early when the caller has
    /// cancelled.
    pub fn wait<T: Clone>(
        &self,
        slot: &Slot<T>,
        goes_on: impl Fn() -> bool,
        cancelled: &Signal,
        deadline: Option<Instant>,
    ) -> Result<T, Arc<Error>> {
        let longest = Instant::now() + WAIT_MAX;
        let until = deadline.map_or(longest, |deadline| deadline.min(longest));
        let cancelled = cancelled.receiver();
        loop {
            // Taken before the slot is read, so that no change between the two is missed.
            let changed = self.changed.lock().receiver();
            let result = slot.get();
            if result.is_ok() || (slot.is_over() && !goes_on()) {
                return result;
            }
            select! {
                recv(changed) -> _ => {}
                recv(cancelled) -> _ => return Err(Error::Cancelled.into()),
                recv(at(until)) -> _ => return result,
            }
        }
    }

    /// Why there is no index yet, if this process builds one or has tried to. progress: of that run.
    pub fn why_missing(&self, progress: &Progress) -> Option<Arc<Error>> {
        let Some(since) = *self.building.lock() else { return self.failure.lock().clone() };
        let (files_done, files) = progress.files();
        let (done, all) = progress.bytes();
        let retry_ms = if done == 0 {
            RETRY_UNKNOWN_MS
        } else {
            let left = all.saturating_sub(done) as f64 / done as f64;
            (since.elapsed().as_millis() as f64 * left) as u64
        };
        let retry_ms = retry_ms.clamp(*RETRY_MS.start(), *RETRY_MS.end());
        Some(Error::IndexBuilding { files_done, files, retry_ms }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> Error {
        Error::IndexMissing { data: "data".into() }
    }

    #[test]
    fn a_call_waits_for_the_end_of_opening_whatever_it_is() {
        for value in [Ok(7), Err(missing())] {
            let (loading, slot) = (Loading::default(), Slot::loading("a number"));
            let is_ok = value.is_ok();
            std::thread::scope(|scope| {
                let wait = || loading.wait(&slot, || false, &Signal::default(), None);
                let waiting = [scope.spawn(wait), scope.spawn(wait)];
                loading.set(&slot, value);
                for result in waiting.map(|thread| thread.join().unwrap()) {
                    assert_eq!(result.is_ok(), is_ok);
                    let text = result.map_or_else(|error| error.to_string(), |n| n.to_string());
                    assert!(!text.contains("still being loaded"), "{text}");
                }
            });
        }
    }

    #[test]
    fn a_call_waits_for_an_index_that_is_being_built_until_it_is_cancelled_or_late() {
        let (loading, slot) = (Loading::default(), Slot::<u32>::loading("the index"));
        let (cancelled, progress) = (Signal::default(), Progress::default());
        loading.expect_index();
        loading.set(&slot, Err(missing()));
        let wait = |deadline| loading.wait(&slot, || loading.is_building(), &cancelled, deadline);
        let late = wait(Some(Instant::now())).unwrap_err();
        assert!(matches!(*late, Error::IndexMissing { .. }), "{late}");
        let error = loading.why_missing(&progress).unwrap();
        let text = error.to_string();
        assert!(text.contains("0 of 0 files") && text.contains("try again in 5 s"), "{text}");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wait(None));
            loading.built(None);
            assert!(matches!(*waiting.join().unwrap().unwrap_err(), Error::IndexMissing { .. }));
        });
        assert!(loading.why_missing(&progress).is_none());
        loading.built(Some(Error::Cancelled));
        assert!(matches!(*loading.why_missing(&progress).unwrap(), Error::Cancelled));
        loading.expect_index();
        cancelled.raise();
        assert!(matches!(*wait(None).unwrap_err(), Error::Cancelled));
    }
}
