//! What has the worker done so far, and what waits for it?

use std::time::Duration;

use crate::base::telemetry::MemoryInfo;

/// What the worker has done so far, and what waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineStats {
    pub batches: u64,
    /// Distinct sequences computed.
    pub sequences: u64,
    /// Tokens computed.
    pub tokens: u64,
    /// How long the device computed.
    pub computed: Duration,
    /// Sequences that wait.
    pub queue_depth: usize,
    /// Tokens that wait in the interactive lane.
    pub interactive_tokens: usize,
    /// Tokens that wait in the bulk lane.
    pub bulk_tokens: usize,
    /// Tokens that the next batch may have.
    pub batch_tokens_max: usize,
    /// What the device computes, as far as it was measured; 0: not yet.
    pub tokens_per_s: u64,
    /// Batches that the memory was too small for.
    pub out_of_memory: u64,
    /// Of a device that has its own.
    pub memory: Option<MemoryInfo>,
}
