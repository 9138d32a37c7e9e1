//! How does one request become sequences, and its deliveries one answer?
//!
//! Runs on the caller's thread: look-ups in the cache and tokenising go slice by slice, while the
//! worker computes the slices before.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::cache::{Key, Record, Usage, VectorCache};
use super::pending::{Failure, PendingRequest, Response, Slot, SlotRow};
use super::queue::{Entry, Sequence};
use super::request::Embeddings;
use super::worker::{Search, Workers, stopped};
use crate::base::error::{Error, Result, Warning};
use crate::base::hit::Hit;
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Lane;
use crate::base::vector::Matrix;
use crate::embedding::engine::endpoint::{Ask, Fetched, Remote};
use crate::embedding::token::{Ragged, Tokenizer};

/// Texts that are tokenised at a time.
const SLICE_TEXTS: usize = 256;
/// How often a waiting caller looks whether its run was cancelled.
const POLL: Duration = Duration::from_millis(20);

/// Why a call has no result.
pub(super) struct CallError {
    pub error: Error,
    /// Whether the device failed, and not the request.
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

/// The parts of an engine that a request meets.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub tokenizer: &'a Tokenizer,
    pub cache: Option<&'a VectorCache>,
    /// Values of one vector.
    pub d: usize,
}

/// One request while it is served.
pub(super) struct Call<'a> {
    parts: Parts<'a>,
    lane: Lane,
    cx: RunContext,
    began: Instant,
    /// Given up when all is queued: then only tickets keep the channel open.
    request: Option<Arc<PendingRequest>>,
    gone: Arc<AtomicBool>,
    responses: Receiver<Response>,
    /// `[n * d]`
    vectors: Vec<f32>,
    /// What is done with each vector on the device, in place of bringing it here.
    search: Option<Search>,
    /// `[n]`, where a device searched.
    nearest: Vec<Vec<Hit>>,
    searched: Duration,
    /// `[n]`
    usages: Vec<Usage>,
    /// `[n]`, or nothing without a cache.
    keys: Vec<Key>,
    /// Sequences, or batches of an endpoint, that are queued or computed.
    pending: usize,
    admitted: bool,
    cache_hits: usize,
    cache_failed: bool,
    tokenise: Duration,
    queue: Option<Duration>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

impl<'a> Call<'a> {
    pub fn new(parts: Parts<'a>, lane: Lane, cx: &RunContext) -> Self {
        Self::searching(parts, lane, None, cx)
    }

    /// A call whose vectors are searched for where they are computed.
    pub fn searching(
        parts: Parts<'a>,
        lane: Lane,
        search: Option<&Search>,
        cx: &RunContext,
    ) -> Self {
        let (sender, responses) = channel();
        let gone = Arc::new(AtomicBool::new(false));
        let search = search.cloned();
        let request = PendingRequest {
            cx: cx.clone(),
            gone: gone.clone(),
            responses: sender,
            search: search.clone(),
        };
        // A vector that stays on its device is in no cache, and a search wants it there.
        let parts = Parts { cache: parts.cache.filter(|_| search.is_none()), ..parts };
        Self {
            parts,
            lane,
            cx: cx.clone(),
            began: Instant::now(),
            request: Some(Arc::new(request)),
            gone,
            responses,
            vectors: Vec::new(),
            search,
            nearest: Vec::new(),
            searched: Duration::ZERO,
            usages: Vec::new(),
            keys: Vec::new(),
            pending: 0,
            admitted: false,
            cache_hits: 0,
            cache_failed: false,
            tokenise: Duration::ZERO,
            queue: None,
        }
    }

    /// Has `worker` embed `texts`, `[n]`.
    pub fn run(mut self, texts: &[&str], worker: &Workers) -> Result<Embeddings, CallError> {
        self.make_room(texts.len());
        for (i, slice) in texts.chunks(SLICE_TEXTS).enumerate() {
            self.check_wanted()?;
            let misses = self.look_up(slice, i * SLICE_TEXTS);
            self.queue(&misses, worker)?;
        }
        self.request = None;
        while self.pending > 0 {
            self.check_wanted()?;
            let patience = self.patience();
            match self.responses.recv_timeout(patience) {
                Ok(response) => self.take(response)?,
                Err(RecvTimeoutError::Timeout) => {}
                // A worker drops the tickets that it finds expired before we find out.
                Err(RecvTimeoutError::Disconnected) => {
                    self.check_wanted()?;
                    return Err(stopped().into());
                }
            }
        }
        Ok(self.finish()?)
    }

    /// Has `remote` embed `texts`, `[n]`. Tokens are counted here, as the cache keeps them.
    pub fn ask(mut self, texts: &[&str], remote: &Remote) -> Result<Embeddings> {
        self.search = None;
        self.make_room(texts.len());
        let mut misses = Vec::new();
        for (i, slice) in texts.chunks(SLICE_TEXTS).enumerate() {
            self.check_wanted()?;
            let missed = self.look_up(slice, i * SLICE_TEXTS);
            self.tokenise(&missed)?;
            misses.extend(missed);
        }
        let batches = remote.split(&misses);
        let (reply, answers) = channel();
        let mut next = 0;
        while next < batches.len() || self.pending > 0 {
            self.check_wanted()?;
            remote.check_running()?;
            while next < batches.len() && self.pending < remote.ahead() {
                let batch = &misses[batches[next].clone()];
                if !remote.submit(self.lane, next, || self.wording(batch), &reply)? {
                    break;
                }
                (next, self.pending) = (next + 1, self.pending + 1);
            }
            if next == 0 {
                return Err(remote.overloaded());
            }
            // Our own end of the channel is open: an error is only that nothing came yet.
            if let Ok(fetched) = answers.recv_timeout(self.patience()) {
                let batch = &misses[batches[fetched.batch].clone()];
                self.take_fetched(batch, fetched, remote)?;
            }
        }
        self.finish()
    }

    /// What the endpoint is asked for the texts of a batch (slot, text).
    fn wording(&self, batch: &[(usize, &str)]) -> Ask {
        // An endpoint refuses an empty text; a space has the same tokens.
        let text = |text: &str| match self.parts.tokenizer.head(text) {
            "" => " ".to_owned(),
            text => text.to_owned(),
        };
        Ask {
            texts: batch.iter().map(|(_, t)| text(t)).collect(),
            d: Some(self.parts.d),
            cx: Some(self.cx.clone()),
            began: self.began,
            gone: self.gone.clone(),
        }
    }

    fn take_fetched(
        &mut self,
        batch: &[(usize, &str)],
        fetched: Fetched,
        remote: &Remote,
    ) -> Result<()> {
        let answer = fetched.result?;
        self.pending -= 1;
        self.queue.get_or_insert(fetched.queue);
        let rows: Vec<_> =
            batch.iter().enumerate().map(|(row, (slot, _))| SlotRow { slot: *slot, row }).collect();
        let counted = || batch.iter().map(|(slot, _)| self.usages[*slot].tokens as usize).sum();
        let tokens = answer.tokens.unwrap_or_else(counted);
        remote.count(batch.len(), tokens);
        self.cx.instruments().fetched(self.lane, batch.len(), tokens, fetched.took);
        self.place(&rows, &answer.vectors);
        Ok(())
    }

    /// Counts the tokens of `texts` (slot, text).
    fn tokenise(&mut self, texts: &[(usize, &str)]) -> Result<Ragged> {
        let bare: Vec<&str> = texts.iter().map(|(_, text)| *text).collect();
        let began = Instant::now();
        let ragged = self.parts.tokenizer.encode_batch(&bare)?;
        self.tokenise += began.elapsed();
        for (i, (slot, _)) in texts.iter().enumerate() {
            let tokens = ragged.seq(i).len() as u32;
            self.usages[*slot] = Usage { tokens, truncated: ragged.truncated[i] };
        }
        Ok(ragged)
    }

    fn make_room(&mut self, texts: usize) {
        match self.search {
            Some(_) => self.nearest = vec![Vec::new(); texts],
            None => self.vectors = vec![0.0; texts * self.parts.d],
        }
        self.usages = vec![Usage::default(); texts];
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
    fn queue(&mut self, texts: &[(usize, &str)], worker: &Workers) -> Result<(), CallError> {
        let Some(request) = self.request.clone().filter(|_| !texts.is_empty()) else {
            return Ok(());
        };
        if !self.admitted {
            worker.check_room(self.lane, texts.len())?;
        }
        let ragged = self.tokenise(texts)?;
        let queued = Instant::now();
        let mut sequences = VecDeque::with_capacity(texts.len());
        for (i, (slot, _)) in texts.iter().enumerate() {
            let ids = ragged.seq(i).to_vec();
            let waiter = Slot { request: request.clone(), index: *slot, queued };
            sequences.push_back(Entry { sequence: Sequence::from_ids(ids), waiter });
        }
        self.pending += sequences.len();
        if !self.admitted {
            worker.admit(self.lane, &mut sequences)?;
            self.admitted = true;
        }
        while !sequences.is_empty() {
            self.check_wanted()?;
            worker.feed(self.lane, &mut sequences, self.patience())?;
            self.take_ready()?;
        }
        self.take_ready()
    }

    fn take_ready(&mut self) -> Result<(), CallError> {
        while let Ok(response) = self.responses.try_recv() {
            self.take(response)?;
        }
        Ok(())
    }

    /// Takes over what came of a batch.
    fn take(&mut self, response: Response) -> Result<(), CallError> {
        let output = response.result?;
        self.queue.get_or_insert(response.queue_time);
        self.pending -= response.rows.len();
        if let Some(search) = &self.search {
            let found = output.search(search).ok_or_else(|| Error::Internal {
                what: "the encoder",
                detail: "it did not search the index".to_owned(),
            })?;
            for &SlotRow { slot, row } in &response.rows {
                self.nearest[slot] = found.nearest(row, search.k);
            }
            self.searched += found.took;
            return Ok(());
        }
        let (expected, found) = (self.parts.d, output.vectors.as_ref().map_or(0, Matrix::d));
        match &output.vectors {
            Some(vectors) if found == expected => self.place(&response.rows, vectors),
            _ => {
                let what = "vector of the encoder";
                return Err(Error::Dimension { what, expected, found }.into());
            }
        }
        Ok(())
    }

    /// Copies `vectors` to their places (slot, row), and into the cache.
    fn place(&mut self, rows: &[SlotRow], vectors: &Matrix) {
        let d = self.parts.d;
        for &SlotRow { slot, row } in rows {
            self.vectors[slot * d..(slot + 1) * d].copy_from_slice(vectors.row(row));
        }
        self.keep(rows, vectors);
    }

    /// Keeps each row of `vectors` once. A cache that fails costs a warning, not the answer.
    fn keep(&mut self, rows: &[SlotRow], vectors: &Matrix) {
        let Some(cache) = self.parts.cache.filter(|_| !self.cache_failed) else { return };
        let mut once = std::collections::HashSet::new();
        let rows = rows.iter().filter(|place| once.insert(place.row));
        let record = |&SlotRow { slot, row }: &SlotRow| Record {
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
            nearest: std::mem::take(&mut self.nearest),
            searched: self.searched,
            tokens: self.usages.iter().map(|usage| usage.tokens as usize).sum(),
            truncated: self.usages.iter().filter(|usage| usage.truncated).count(),
            cache_hits: self.cache_hits,
            tokenise: self.tokenise,
            queue: self.queue.unwrap_or_default(),
        })
    }
}
