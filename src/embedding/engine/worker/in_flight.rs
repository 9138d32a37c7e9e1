//! A launched batch, from launch to results.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::compute::{BatchRequest, Compute, DEVICE, Launch};
use crate::base::error::Result;
use crate::base::panic::guarded;
use crate::base::telemetry::{BatchSpan, RunContext};
use crate::embedding::engine::pending::Slot;
use crate::embedding::engine::queue::Batch;
use crate::embedding::token::Ragged;

/// A batch that was launched.
pub(super) struct InFlight {
    pub batch: Batch<Slot>,
    pub sequences: usize,
    pub tokens: usize,
    /// The queue time of its oldest sequence.
    pub queued: Duration,
    pub launched: Instant,
    /// The time at which the device became free for this batch.
    pub began: Instant,
    pub span: Option<BatchSpan>,
    pub launch: Result<Launch>,
}

impl InFlight {
    pub fn launch(compute: &mut dyn Compute, batch: Batch<Slot>) -> Self {
        let launched = Instant::now();
        let queued = batch.waiters().map(|slot| launched - slot.queued).max().unwrap_or_default();
        let span = BatchSpan::open(batch.lane, requests(&batch));
        let mut ragged = Ragged::default();
        let mut request = BatchRequest::default();
        for (row, batch_row) in batch.rows.iter().enumerate() {
            let sequence = &batch_row.sequence;
            if sequence.token_type_ids.is_empty() {
                ragged.push(&sequence.ids, false);
            } else {
                ragged.push_typed(&sequence.ids, &sequence.token_type_ids, false);
            }
            ragged.leave_out(sequence.left_out);
            for slot in &batch_row.waiters {
                request.add(row, slot.request.search.as_ref());
            }
        }
        let launch = guarded(DEVICE, || compute.launch(&ragged, &request));
        let (sequences, tokens) = (ragged.n(), ragged.tokens());
        Self { batch, sequences, tokens, queued, launched, began: launched, span, launch }
    }

    /// Whether the device is still computing.
    pub fn is_running(&self) -> bool {
        matches!(self.launch, Ok(Launch::Running(_)))
    }
}

/// Returns the run of each request of a batch once.
fn requests(batch: &Batch<Slot>) -> impl Iterator<Item = &RunContext> {
    let mut seen = HashSet::new();
    let requests = batch.waiters().map(|slot| &*slot.request);
    requests.filter(move |request| seen.insert(std::ptr::from_ref(*request))).map(|r| &r.cx)
}
