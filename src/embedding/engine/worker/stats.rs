//! Statistics of the workers of an engine.

use std::time::Duration;

use crate::base::telemetry::MemoryInfo;

/// The work done so far and the state of the queue, over all workers of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineStats {
    pub batches: u64,
    /// Distinct sequences computed.
    pub sequences: u64,
    /// Tokens computed.
    pub tokens: u64,
    /// The time that the devices spent computing.
    pub computed: Duration,
    /// Sequences waiting in the queue.
    pub queue_depth: usize,
    /// Tokens waiting in the interactive lane.
    pub interactive_tokens: usize,
    /// Tokens waiting in the bulk lane.
    pub bulk_tokens: usize,
    /// Maximum tokens of the next batch.
    pub batch_tokens_max: usize,
    /// Measured throughput; 0 before the first batch.
    pub tokens_per_s: u64,
    /// Batches that did not fit into memory.
    pub out_of_memory: u64,
    /// Device memory, for a device with its own memory.
    pub memory: Option<MemoryInfo>,
}
