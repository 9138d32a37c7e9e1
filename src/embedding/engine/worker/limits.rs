//! The largest batch of a device, in tokens, sequences and time.

use std::time::Duration;

use crate::base::config::EngineSettings;
use crate::embedding::engine::queue::BatchLimits;

/// Where the settings do not say: on the CPU what a few threads compute in a moment; on a GPU so much
/// that launches cost little.
const BATCH_MAX_CPU: BatchLimits = BatchLimits { tokens_max: 4096, seqs_max: 256 };
const BATCH_MAX_GPU: BatchLimits = BatchLimits { tokens_max: 65_536, seqs_max: 4096 };

/// The batches that one worker gives its device.
#[derive(Debug, Clone, Copy)]
pub(in crate::embedding::engine) struct WorkerLimits {
    pub batch: BatchLimits,
    /// How long a batch should take, as far as that can be foreseen; `None`: no limit.
    pub time_max: Option<Duration>,
    /// Tokens that keep every thread of the device busy once; a batch is never cut below that for the
    /// sake of its time.
    pub busy_tokens: usize,
}

impl WorkerLimits {
    /// busy_tokens: tokens that keep the whole device busy once.
    pub fn new(settings: &EngineSettings, busy_tokens: usize, on_gpu: bool) -> Self {
        let time = Duration::from_millis(settings.batch_ms);
        let batch = batch_limits(settings, on_gpu);
        Self { batch, time_max: (!time.is_zero()).then_some(time), busy_tokens }
    }
}

/// Tokens and sequences of one batch, from the settings or by the kind of device.
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
