//! How does one request become sequences, and its deliveries one answer?
//!
//! Runs on the caller's thread: look-ups in the cache and tokenising go slice by slice, while the
//! worker computes the slices before.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::cache::{Key, Record, Usage, VectorCache};
use super::engine::Embeddings;
use super::lanes::{Lane, Sequence};
use super::worker::{Delivery, Request, Ticket, Worker, stopped};
use crate::error::{Error, Result, Warning};
use crate::telemetry::RunContext;
use crate::token::Tokenizer;
use crate::vector::Matrix;

/// Texts that are tokenised at a time.
const SLICE_TEXTS: usize = 256;
/// How often a waiting caller looks whether its run was cancelled.
const POLL: Duration = Duration::from_millis(20);

/// The parts of an engine that a request meets.
pub(super) struct Parts<'a> {
    pub tokenizer: &'a Tokenizer,
    pub worker: &'a Worker,
    pub cache: Option<&'a VectorCache>,
    /// Values of one vector.
    pub d: usize,
    /// Put before each text; mostly nothing.
    pub prompt: &'a str,
}

/// One request while it is served.
pub(super) struct Call<'a> {
    parts: Parts<'a>,
    lane: Lane,
    cx: RunContext,
    began: Instant,
    /// Given up when all is queued: then only tickets keep the channel open.
    request: Option<Arc<Request>>,
    gone: Arc<AtomicBool>,
    deliveries: Receiver<Delivery>,
    /// `[n * d]`
    vectors: Vec<f32>,
    /// `[n]`
    usages: Vec<Usage>,
    /// `[n]`, or nothing without a cache.
    keys: Vec<Key>,
    /// Sequences that are queued or computed.
    pending: usize,
    admitted: bool,
    cache_hits: usize,
    cache_failed: bool,
    queue: Option<Duration>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

impl<'a> Call<'a> {
    pub fn new(parts: Parts<'a>, lane: Lane, cx: &RunContext) -> Self {
        let (reply, deliveries) = channel();
        let gone = Arc::new(AtomicBool::new(false));
        let request = Request { cx: cx.clone(), gone: gone.clone(), reply };
        Self {
            parts,
            lane,
            cx: cx.clone(),
            began: Instant::now(),
            request: Some(Arc::new(request)),
            gone,
            deliveries,
            vectors: Vec::new(),
            usages: Vec::new(),
            keys: Vec::new(),
            pending: 0,
            admitted: false,
            cache_hits: 0,
            cache_failed: false,
            queue: None,
        }
    }

    /// Embeds `texts`, `[n]`.
    pub fn run(mut self, texts: &[&str]) -> Result<Embeddings> {
        self.vectors = vec![0.0; texts.len() * self.parts.d];
        self.usages = vec![Usage::default(); texts.len()];
        for (i, slice) in texts.chunks(SLICE_TEXTS).enumerate() {
            self.check_wanted()?;
            let slice = self.prompted(slice);
            let slice: Vec<&str> = slice.iter().map(AsRef::as_ref).collect();
            let misses = self.look_up(&slice, i * SLICE_TEXTS);
            self.queue(&misses)?;
        }
        self.request = None;
        while self.pending > 0 {
            self.check_wanted()?;
            let patience = self.patience();
            match self.deliveries.recv_timeout(patience) {
                Ok(delivery) => self.take(delivery)?,
                Err(RecvTimeoutError::Timeout) => {}
                // A worker drops the tickets that it finds expired before we find out.
                Err(RecvTimeoutError::Disconnected) => {
                    self.check_wanted()?;
                    return Err(stopped());
                }
            }
        }
        self.finish()
    }

    /// The texts as cache and tokenizer see them: behind the prompt. texts: `[n]`.
    fn prompted<'t>(&self, texts: &[&'t str]) -> Vec<Cow<'t, str>> {
        let prompt = self.parts.prompt;
        let prompted = |text: &&'t str| match prompt {
            "" => Cow::Borrowed(*text),
            prompt => Cow::Owned([prompt, text].concat()),
        };
        texts.iter().map(prompted).collect()
    }

    /// Fills what the cache knows of `slice`, whose first text has slot `first`; gives the rest.
    fn look_up<'t>(&mut self, slice: &[&'t str], first: usize) -> Vec<(usize, &'t str)> {
        let slots = (first..).zip(slice.iter().copied());
        let Some(cache) = self.parts.cache else { return slots.collect() };
        let mut misses = Vec::new();
        for (slot, text) in slots {
            let key = cache.key(text);
            self.keys.push(key);
            let d = self.parts.d;
            match cache.get(&key, &mut self.vectors[slot * d..(slot + 1) * d]) {
                Some(usage) => {
                    self.usages[slot] = usage;
                    self.cache_hits += 1;
                }
                None => misses.push((slot, text)),
            }
        }
        misses
    }

    /// Tokenises `texts` (slot, text) and hands them to the worker, waiting for room if need be.
    fn queue(&mut self, texts: &[(usize, &str)]) -> Result<()> {
        let Some(request) = self.request.clone().filter(|_| !texts.is_empty()) else {
            return Ok(());
        };
        if !self.admitted {
            self.parts.worker.check_room(self.lane, texts.len())?;
        }
        let bare: Vec<&str> = texts.iter().map(|(_, text)| *text).collect();
        let ragged = self.parts.tokenizer.encode_batch(&bare)?;
        let queued = Instant::now();
        let mut sequences = VecDeque::with_capacity(texts.len());
        for (i, (slot, _)) in texts.iter().enumerate() {
            let ids = ragged.seq(i).to_vec();
            self.usages[*slot] = Usage { tokens: ids.len() as u32, truncated: ragged.truncated[i] };
            let ticket = Ticket { request: request.clone(), slot: *slot, queued };
            sequences.push_back(Sequence { ids, ticket });
        }
        self.pending += sequences.len();
        if !self.admitted {
            self.parts.worker.admit(self.lane, &mut sequences)?;
            self.admitted = true;
        }
        while !sequences.is_empty() {
            self.check_wanted()?;
            self.parts.worker.feed(self.lane, &mut sequences, self.patience())?;
            self.take_ready()?;
        }
        self.take_ready()
    }

    fn take_ready(&mut self) -> Result<()> {
        while let Ok(delivery) = self.deliveries.try_recv() {
            self.take(delivery)?;
        }
        Ok(())
    }

    /// Copies the vectors of a batch to their places, and into the cache.
    fn take(&mut self, delivery: Delivery) -> Result<()> {
        let vectors = delivery.vectors.map_err(|error| Error::Library {
            part: "the encoder",
            action: "compute a batch",
            source: error.into(),
        })?;
        if vectors.d() != self.parts.d {
            let (expected, found) = (self.parts.d, vectors.d());
            return Err(Error::Dimension { what: "vector of the encoder", expected, found });
        }
        self.queue.get_or_insert(delivery.queue);
        self.pending -= delivery.rows.len();
        for &(slot, row) in &delivery.rows {
            let d = self.parts.d;
            self.vectors[slot * d..(slot + 1) * d].copy_from_slice(vectors.row(row));
        }
        self.keep(&delivery.rows, &vectors);
        Ok(())
    }

    /// Keeps each row of `vectors` once. A cache that fails costs a warning, not the answer.
    fn keep(&mut self, rows: &[(usize, usize)], vectors: &Matrix) {
        let Some(cache) = self.parts.cache.filter(|_| !self.cache_failed) else { return };
        let mut once = std::collections::HashSet::new();
        let rows = rows.iter().filter(|(_, row)| once.insert(*row));
        let record = |&(slot, row): &(usize, usize)| Record {
            key: self.keys[slot],
            usage: self.usages[slot],
            vector: vectors.row(row),
        };
        let records: Vec<_> = rows.map(record).collect();
        if let Err(error) = cache.insert(&records) {
            self.cache_failed = true;
            let message = format!("vectors are not kept for the next time: {error}");
            self.cx.warn(Warning::new("cache-write-failed", message));
        }
    }

    fn check_wanted(&self) -> Result<()> {
        if self.cx.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match self.cx.deadline() {
            Some(deadline) if deadline <= Instant::now() => {
                let budget = deadline.saturating_duration_since(self.began);
                let budget_ms = u64::try_from(budget.as_millis()).unwrap_or(u64::MAX);
                Err(Error::DeadlineExceeded { what: "embedding", budget_ms })
            }
            _ => Ok(()),
        }
    }

    /// How long to wait before looking again whether the answer is still wanted.
    fn patience(&self) -> Duration {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        self.cx.deadline().map_or(POLL, |deadline| left(deadline).min(POLL))
    }

    fn finish(mut self) -> Result<Embeddings> {
        if self.parts.cache.is_some() {
            let misses = self.usages.len() - self.cache_hits;
            self.cx.instruments().looked_up(self.lane, self.cache_hits, misses);
        }
        Ok(Embeddings {
            vectors: Matrix::new(std::mem::take(&mut self.vectors), self.parts.d)?,
            tokens: self.usages.iter().map(|usage| usage.tokens as usize).sum(),
            truncated: self.usages.iter().filter(|usage| usage.truncated).count(),
            cache_hits: self.cache_hits,
            queue: self.queue.unwrap_or_default(),
        })
    }
}
