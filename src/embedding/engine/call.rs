//! One request in progress, on the thread of its caller.
//!
//! The call looks up and tokenises one slice of the items at a time, while the workers compute the
//! previous slices.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::cache::{Usage, VectorCache};
use super::collector::{Collector, Results};
use super::endpoint::{Ask, Fetched, Remote};
use super::input::Input;
use super::pending::{Failure, PendingRequest, Response, Slot, SlotRow};
use super::queue::{Entry, Sequence};
use super::worker::{Search, Workers, stopped};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Lane;
use crate::embedding::models::ModelIdentity;
use crate::embedding::token::{Ragged, Tokenizer};

/// Texts tokenised at a time.
const SLICE_TEXTS: usize = 256;
/// How often a waiting caller checks whether its run was cancelled.
const POLL: Duration = Duration::from_millis(20);

/// The error of a call.
pub(super) struct CallError {
    pub error: Error,
    /// Whether the device caused the error rather than the request.
    pub is_device: bool,
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self { error, is_device: false }
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        let is_device = matches!(failure, Failure::Device(_));
        Self { error: failure.into_error(), is_device }
    }
}

/// The parts of an engine that a request needs.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub identity: &'a ModelIdentity,
    pub tokenizer: &'a Tokenizer,
    pub cache: Option<&'a VectorCache>,
}

/// One request in progress.
pub(super) struct Call<'a> {
    tokenizer: &'a Tokenizer,
    input: Input<'a>,
    lane: Lane,
    cx: RunContext,
    /// Signals the workers that the caller no longer waits.
    gone: GoneFlag,
    collector: Collector<'a>,
    /// Items, or batches for an endpoint, that are queued or being computed.
    pending: usize,
    admitted: bool,
    tokenise: Duration,
}

/// A flag that is set when its call ends, whether it succeeds or fails.
#[derive(Default)]
struct GoneFlag(Arc<AtomicBool>);

impl Drop for GoneFlag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The queue of this process, as one call uses it.
struct Local<'a> {
    workers: &'a Workers,
    request: Arc<PendingRequest>,
    responses: Receiver<Response>,
}

impl<'a> Call<'a> {
    /// search: an index that the device searches for each vector instead of copying the vector to
    /// the host.
    pub fn new(
        parts: Parts<'a>,
        input: Input<'a>,
        lane: Lane,
        search: Option<&Search>,
        cx: &RunContext,
    ) -> Self {
        let Parts { identity, tokenizer, cache } = parts;
        Self {
            tokenizer,
            input,
            lane,
            cx: cx.clone(),
            gone: GoneFlag::default(),
            collector: Collector::new(identity, cache, search.cloned(), input.len()),
            pending: 0,
            admitted: false,
            tokenise: Duration::ZERO,
        }
    }

    /// Computes the request on the workers of this process.
    pub fn run(mut self, workers: &Workers, search: Option<&Search>) -> Result<Results, CallError> {
        let (sender, responses) = channel();
        let request = Arc::new(PendingRequest {
            cx: self.cx.clone(),
            gone: self.gone.0.clone(),
            responses: sender,
            search: search.cloned(),
        });
        let local = Local { workers, request, responses };
        for first in (0..self.input.len()).step_by(SLICE_TEXTS) {
            self.check_wanted()?;
            let end = self.input.len().min(first + SLICE_TEXTS);
            let misses = self.collector.look_up(self.input, first..end);
            self.queue(&misses, &local)?;
        }
        let Local { request, responses, .. } = local;
        // From here on only the entries in the queue keep the channel open.
        drop(request);
        while self.pending > 0 {
            self.check_wanted()?;
            match responses.recv_timeout(self.patience()) {
                Ok(response) => self.take(response)?,
                Err(RecvTimeoutError::Timeout) => {}
                // A worker may drop expired entries before this thread notices the deadline.
                Err(RecvTimeoutError::Disconnected) => {
                    self.check_wanted()?;
                    return Err(stopped().into());
                }
            }
        }
        Ok(self.finish())
    }

    /// Embeds the request at an endpoint. Tokens are counted in this process, because the cache
    /// stores the counts.
    pub fn ask(mut self, remote: &Remote) -> Result<Results> {
        let mut misses = Vec::new();
        for first in (0..self.input.len()).step_by(SLICE_TEXTS) {
            self.check_wanted()?;
            let end = self.input.len().min(first + SLICE_TEXTS);
            let missed = self.collector.look_up(self.input, first..end);
            self.encode(&missed)?;
            misses.extend(missed);
        }
        let texts: Vec<&str> = misses.iter().map(|&slot| self.input.text(slot)).collect();
        let batches = remote.split(&texts);
        let (sender, responses) = channel();
        let mut next = 0;
        while next < batches.len() || self.pending > 0 {
            self.check_wanted()?;
            remote.check_running()?;
            while next < batches.len() && self.pending < remote.ahead() {
                let batch = batches[next].clone();
                if !self.submit(remote, next, &texts[batch], &sender)? {
                    break;
                }
                next += 1;
                self.pending += 1;
            }
            if next == 0 {
                return Err(remote.overloaded());
            }
            // This thread holds a sender, so an error only means that no response has arrived yet.
            if let Ok(fetched) = responses.recv_timeout(self.patience()) {
                let slots = &misses[batches[fetched.batch].clone()];
                self.take_fetched(slots, fetched, remote)?;
            }
        }
        Ok(self.finish())
    }

    /// Queues `texts` for the endpoint as batch number `batch`. Returns false if the queue is full.
    fn submit(
        &self,
        remote: &Remote,
        batch: usize,
        texts: &[&str],
        sender: &Sender<Fetched>,
    ) -> Result<bool> {
        // Endpoints reject an empty text. A space has the same tokens.
        let text = |text: &&str| match self.tokenizer.head(text) {
            "" => " ".to_owned(),
            head => head.to_owned(),
        };
        let ask = || Ask {
            texts: texts.iter().map(text).collect(),
            d: Some(self.collector.d()),
            cx: Some(self.cx.clone()),
            gone: self.gone.0.clone(),
        };
        remote.submit(self.lane, batch, ask, sender)
    }

    /// Stores the vectors that an endpoint returned for `slots`.
    fn take_fetched(&mut self, slots: &[usize], fetched: Fetched, remote: &Remote) -> Result<()> {
        let answer = fetched.result?;
        self.pending -= 1;
        self.collector.waited(fetched.queue);
        let tokens = answer.tokens.unwrap_or_else(|| self.collector.tokens(slots));
        remote.count(slots.len(), tokens);
        self.cx.instruments().fetched(self.lane, slots.len(), tokens, fetched.took);
        let rows = slots.iter().enumerate().map(|(row, &slot)| SlotRow { slot, row });
        self.collector.place(&rows.collect::<Vec<_>>(), &answer.vectors, &self.cx);
        Ok(())
    }

    /// Tokenises the items of `slots` and records the token count of each.
    fn encode(&mut self, slots: &[usize]) -> Result<Ragged> {
        let began = Instant::now();
        let ragged = self.input.encode(self.tokenizer, slots)?;
        self.tokenise += began.elapsed();
        for (i, &slot) in slots.iter().enumerate() {
            let tokens = ragged.seq(i).len() as u32;
            self.collector.set_usage(slot, Usage { tokens, truncated: ragged.truncated[i] });
        }
        Ok(ragged)
    }

    /// Tokenises the items of `slots` and queues them for the workers. Waits for room if necessary.
    fn queue(&mut self, slots: &[usize], local: &Local<'_>) -> Result<(), CallError> {
        if slots.is_empty() {
            return Ok(());
        }
        if !self.admitted {
            local.workers.check_room(self.lane, slots.len())?;
        }
        let ragged = self.encode(slots)?;
        let queued = Instant::now();
        let entry = |(i, &slot): (usize, &usize)| Entry {
            sequence: Sequence::new(ragged.seq(i), ragged.seq_types(i)),
            waiter: Slot { request: local.request.clone(), index: slot, queued },
        };
        let mut entries: VecDeque<_> = slots.iter().enumerate().map(entry).collect();
        self.pending += entries.len();
        if !self.admitted {
            local.workers.admit(self.lane, &mut entries)?;
            self.admitted = true;
        }
        while !entries.is_empty() {
            self.check_wanted()?;
            local.workers.feed(self.lane, &mut entries, self.patience())?;
            self.take_ready(local)?;
        }
        self.take_ready(local)
    }

    fn take_ready(&mut self, local: &Local<'_>) -> Result<(), CallError> {
        while let Ok(response) = local.responses.try_recv() {
            self.take(response)?;
        }
        Ok(())
    }

    /// Stores the results of one batch.
    fn take(&mut self, response: Response) -> Result<(), CallError> {
        if let Err(failure) = response.result {
            return Err(failure.into());
        }
        self.collector.waited(response.queue_time);
        self.pending -= response.rows.len();
        Ok(self.collector.take(&response, &self.cx)?)
    }

    fn finish(self) -> Results {
        self.collector.finish(self.lane, self.tokenise, &self.cx)
    }

    fn check_wanted(&self) -> Result<()> {
        self.cx.check_wanted("embedding")
    }

    /// The time to wait before checking again whether the result is still needed.
    fn patience(&self) -> Duration {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        self.cx.deadline().map_or(POLL, |deadline| left(deadline).min(POLL))
    }
}
