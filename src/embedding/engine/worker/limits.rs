//! The largest batch of a device, in tokens, sequences and time.

use std::time::Duration;

use crate::base::config::EngineSettings;
use crate::embedding::engine::queue::BatchLimits;

/// Default for a CPU: small enough for low latency on a few threads. The default for a GPU is
/// larger, so that the cost of launches is negligible.
const BATCH_MAX_CPU: BatchLimits = BatchLimits { tokens_max: 4096, seqs_max: 256 };
const BATCH_MAX_GPU: BatchLimits = BatchLimits { tokens_max: 65_536, seqs_max: 4096 };

/// The limits on the batches of one worker.
#[derive(Debug, Clone, Copy)]
pub(in crate::embedding::engine) struct WorkerLimits {
    pub batch: BatchLimits,
    /// Maximum expected time of a batch; `None` for no limit.
    pub time_max: Option<Duration>,
    /// The fewest tokens that keep the whole device busy. `time_max` never makes a batch smaller
    /// than this.
    pub busy_tokens: usize,
}

impl WorkerLimits {
    /// busy_tokens: the fewest tokens that keep the whole device busy.
    pub fn new(settings: &EngineSettings, busy_tokens: usize, on_gpu: bool) -> Self {
        let time = Duration::from_millis(settings.batch_ms);
        let batch = batch_limits(settings, on_gpu);
        Self { batch, time_max: (!time.is_zero()).then_some(time), busy_tokens }
    }
}

/// Maximum tokens and sequences of one batch, from the settings or the defaults of the device.
pub fn batch_max(settings: &EngineSettings, on_gpu: bool) -> (usize, usize) {
    let BatchLimits { tokens_max, seqs_max } = batch_limits(settings, on_gpu);
    (tokens_max, seqs_max)
}

fn batch_limits(settings: &EngineSettings, on_gpu: bool) -> BatchLimits {
    let default = if on_gpu { BATCH_MAX_GPU } else { BATCH_MAX_CPU };
    let or = |set: usize, default| if set == 0 { default } else { set };
    BatchLimits {
        tokens_max: or(settings.max_batch_tokens, default.tokens_max),
        seqs_max: or(settings.max_batch_seqs, default.seqs_max),
    }
}
