//! The figures of one batch of the engine, for its span and its metrics.

use std::time::Duration;

use super::attrs::{self, Attr};
use super::labels::DeviceKind;

/// The figures of one batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchFacts {
    /// The kind of the device that computed it.
    pub device: DeviceKind,
    /// Distinct sequences.
    pub sequences: usize,
    pub tokens: usize,
    /// Tokens that the batch had room for.
    pub tokens_max: usize,
    /// Time that the oldest sequence waited.
    pub queued: Duration,
    /// Time that the device computed.
    pub computed: Duration,
    /// Time that was expected; zero if nothing is known yet.
    pub expected: Duration,
    /// Memory of the device, if it has its own.
    pub memory: Option<MemoryInfo>,
}

/// Memory of a GPU as used by all programs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryInfo {
    pub used_bytes: u64,
    pub total_bytes: u64,
    /// Highest use seen by any reading so far.
    pub peak_bytes: u64,
}

impl MemoryInfo {
    /// The attributes that spans carry.
    pub fn attrs(self) -> [(Attr, u64); 3] {
        [
            (attrs::VLLM_GPU_MEMORY_USED, self.used_bytes),
            (attrs::VLLM_GPU_MEMORY_TOTAL, self.total_bytes),
            (attrs::VLLM_GPU_MEMORY_PEAK, self.peak_bytes),
        ]
    }
}

impl BatchFacts {
    /// Whether it took more than twice as long as expected.
    pub fn is_slow(&self) -> bool {
        !self.expected.is_zero() && self.computed > 2 * self.expected
    }

    /// 0 to 1; a single sequence that is longer than a batch counts as 1.
    pub fn fill_ratio(&self) -> f64 {
        (self.tokens as f64 / self.tokens_max.max(1) as f64).min(1.0)
    }
}
