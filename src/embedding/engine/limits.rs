//! How large may a batch be?

use std::time::Duration;

use super::scheduler::Limits;
use crate::base::config::EngineSettings;

/// Tokens and sequences of one batch where the settings name none: on the CPU what some threads
/// compute in a moment; on a GPU so many that launches cost little.
const BATCH_MAX_CPU: (usize, usize) = (4096, 256);
const BATCH_MAX_GPU: (usize, usize) = (65_536, 4096);

/// Tokens and sequences of one batch, as the settings or the kind of device have it.
pub fn batch_max(settings: &EngineSettings, on_gpu: bool) -> (usize, usize) {
    let (tokens, seqs) = if on_gpu { BATCH_MAX_GPU } else { BATCH_MAX_CPU };
    let or = |set: usize, default| if set == 0 { default } else { set };
    (or(settings.max_batch_tokens, tokens), or(settings.max_batch_seqs, seqs))
}

/// busy_tokens: those that keep all of the device busy once.
pub(super) fn limits(settings: &EngineSettings, busy_tokens: usize, on_gpu: bool) -> Limits {
    let time = Duration::from_millis(settings.batch_ms);
    let (batch_tokens_max, batch_seqs_max) = batch_max(settings, on_gpu);
    Limits {
        batch_time_max: (!time.is_zero()).then_some(time),
        busy_tokens,
        batch_tokens_max,
        batch_seqs_max,
        queue_tokens_max: settings.queue_tokens_max,
    }
}
