//! The parts of a request in progress that do not depend on where it is computed.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, at, never};

use super::cache::{Usage, VectorCache};
use super::collector::{Collector, Results};
use super::input::Input;
use super::pending::Failure;
use super::worker::Search;
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Lane;
use crate::embedding::models::ModelIdentity;
use crate::embedding::token::{Ragged, Tokenizer};

/// Items looked up and tokenised at a time.
const SLICE_ITEMS: usize = 256;

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
        let is_device = failure.is_device();
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

/// A request: its input, what is known of its results, and whether they are still needed.
pub(super) struct Call<'a> {
    pub parts: Parts<'a>,
    pub input: Input<'a>,
    pub lane: Lane,
    pub cx: RunContext,
    /// Signals the workers that the caller no longer waits.
    pub gone: GoneFlag,
    pub collector: Collector<'a>,
    /// The first item that was not looked up.
    next: usize,
    tokenise: Duration,
}

/// A flag that is set when its call ends, whether it succeeds or fails.
#[derive(Default)]
pub(super) struct GoneFlag(Arc<AtomicBool>);

impl GoneFlag {
    pub fn share(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

impl Drop for GoneFlag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
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
        let Parts { identity, cache, .. } = parts;
        let collector = Collector::new(identity, cache, search.cloned(), input.len());
        Self {
            parts,
            input,
            lane,
            cx: cx.clone(),
            gone: GoneFlag::default(),
            collector,
            next: 0,
            tokenise: Duration::ZERO,
        }
    }

    /// The same request from its beginning, without a search on the device.
    pub fn again(self) -> Self {
        Self::new(self.parts, self.input, self.lane, None, &self.cx)
    }

    /// Looks up the next slice of the items in the cache and returns the slots of the misses;
    /// `None` after the last slice.
    pub fn look_up_next(&mut self) -> Option<Vec<usize>> {
        let slice = self.next_slice()?;
        self.next = slice.end;
        let items = slice.len();
        let misses = self.collector.look_up(&self.input, slice);
        self.cx.items_done(items - misses.len());
        Some(misses)
    }

    fn next_slice(&self) -> Option<Range<usize>> {
        let end = self.input.len().min(self.next + SLICE_ITEMS);
        (self.next < end).then_some(self.next..end)
    }

    /// Tokenises the items of `slots` and records the token count of each.
    pub fn encode(&mut self, slots: &[usize]) -> Result<Ragged> {
        let began = Instant::now();
        let ragged = self.input.encode(self.parts.tokenizer, slots);
        let ragged = ragged.map_err(|error| match error {
            Error::Input { index, source } => Error::Input { index: slots[index], source },
            error => error,
        })?;
        self.tokenise += began.elapsed();
        for (i, &slot) in slots.iter().enumerate() {
            let tokens = ragged.seq(i).len() as u32;
            self.collector.set_usage(slot, Usage { tokens, truncated: ragged.truncated[i] });
        }
        Ok(ragged)
    }

    pub fn check_wanted(&self) -> Result<()> {
        self.cx.check_wanted("embedding")
    }

    /// A receiver, for `select!`, that gets a message at the deadline of the run.
    pub fn at_deadline(&self) -> Receiver<Instant> {
        self.cx.deadline().map_or_else(never, at)
    }

    pub fn finish(self) -> Results {
        self.collector.finish(self.lane, self.tokenise, &self.cx)
    }
}
