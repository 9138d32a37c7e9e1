//! The budget of device memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The part of a device's memory that this program may take, and what it has taken.
pub struct Budget {
    bytes_max: usize,
    held: AtomicUsize,
}

impl Budget {
    /// held: bytes that are taken already.
    pub fn new(bytes_max: usize, held: usize) -> Self {
        Self { bytes_max, held: AtomicUsize::new(held) }
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Counts `bytes` more as taken; `None` if that is more than may be taken.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= self.bytes_max);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Reservation { budget: self.clone(), bytes })
    }
}

/// A part of a budget that is taken until this is dropped.
pub struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
