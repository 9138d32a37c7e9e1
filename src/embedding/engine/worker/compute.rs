//! The interface between a worker and a device: requests, launches and outputs.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkId, Hit};
use crate::base::vector::{Matrix, SparseVec};
use crate::device::DeviceIndex;
use crate::embedding::token::Ragged;

/// A model on its device. Batches are computed in the order in which they are launched.
pub(in crate::embedding::engine) trait Compute: Send {
    /// Starts a batch. A GPU is still computing when this returns.
    fn launch(&mut self, batch: &Ragged, request: &BatchRequest) -> Result<Launch>;

    /// Whether the device can search an index for the vectors that it computes.
    fn searches(&self) -> bool {
        false
    }
}

/// A function from batch to rows is a device that computes synchronously.
impl<F: FnMut(&Ragged) -> Result<Matrix> + Send> Compute for F {
    fn launch(&mut self, batch: &Ragged, _: &BatchRequest) -> Result<Launch> {
        Ok(Launch::Done(BatchOutput::new(BatchRows::Dense(self(batch)?))))
    }
}

/// A batch that was launched.
pub(in crate::embedding::engine) enum Launch {
    Done(BatchOutput),
    /// The device is computing; the function waits for it.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code))] // Only a GPU or a test constructs it.
    Running(Box<dyn FnOnce() -> Result<BatchOutput>>),
}

/// A search for each text of a request, on the device that embeds it.
#[derive(Clone)]
pub struct Search {
    pub index: Arc<dyn DeviceIndex>,
    /// Number of nearest rows to return.
    pub k: usize,
}

/// The outputs that the waiters of a batch need.
#[derive(Default)]
pub(in crate::embedding::engine) struct BatchRequest {
    /// Whether any waiter needs the vectors themselves.
    pub vectors: bool,
    /// Each index once, with the largest `k` and the range of batch rows to search for.
    pub searches: Vec<(Search, Range<usize>)>,
}

impl BatchRequest {
    /// Adds the needs of one waiter of row `row`. Calls must pass rows in ascending order.
    pub fn add(&mut self, row: usize, search: Option<&Search>) {
        let Some(search) = search else {
            self.vectors = true;
            return;
        };
        let same = |(known, _): &&mut (Search, _)| Arc::ptr_eq(&known.index, &search.index);
        match self.searches.iter_mut().find(same) {
            Some((known, rows)) => {
                known.k = known.k.max(search.k);
                rows.end = row + 1;
            }
            None => self.searches.push((search.clone(), row..row + 1)),
        }
    }
}

/// The results of a batch.
pub(in crate::embedding::engine) struct BatchOutput {
    /// A result for each sequence, if the request asks for them.
    pub rows: Option<BatchRows>,
    /// The results of each of [`BatchRequest::searches`].
    pub searches: Vec<SearchOutput>,
}

/// A result for each sequence of a batch.
pub(in crate::embedding::engine) enum BatchRows {
    /// Vectors `[n, d]`, or logits `[n, labels]`.
    Dense(Matrix),
    /// Expansions `[n]`.
    Sparse(Vec<SparseVec>),
    /// `[n]`, each `[tokens, d]`.
    Tokens(Vec<Matrix>),
}

/// The nearest rows of an index to some sequences of a batch, best first.
pub(in crate::embedding::engine) struct SearchOutput {
    pub search: Search,
    /// The rows of the batch that were searched for.
    pub rows: Range<usize>,
    /// The time that the device spent on the search.
    pub took: Duration,
    /// `[rows, k]`
    pub scores: Vec<f32>,
    /// `[rows, k]`; -1 after the last row of an index that has fewer than `k`.
    pub ids: Vec<i64>,
}

impl BatchOutput {
    /// An output without searches.
    pub fn new(rows: BatchRows) -> Self {
        Self { rows: Some(rows), searches: Vec::new() }
    }

    /// The results of `search`, if the batch includes it.
    pub fn search(&self, search: &Search) -> Option<&SearchOutput> {
        self.searches.iter().find(|output| Arc::ptr_eq(&output.search.index, &search.index))
    }

    /// Returns an error if the output does not match a batch of `n` sequences.
    fn check(&self, n: usize) -> Result<()> {
        if let Some(rows) = &self.rows {
            let found = match rows {
                BatchRows::Dense(vectors) => vectors.n(),
                BatchRows::Sparse(expansions) => expansions.len(),
                BatchRows::Tokens(tokens) => tokens.len(),
            };
            if found != n {
                return Err(Error::Dimension { what: "results of a batch", expected: n, found });
            }
            if let BatchRows::Dense(vectors) = rows {
                vectors.check_finite("embedding")?;
            }
        }
        self.searches.iter().try_for_each(SearchOutput::check)
    }
}

impl SearchOutput {
    fn check(&self) -> Result<()> {
        let expected = self.rows.len() * self.search.k;
        let lengths = [self.scores.len(), self.ids.len()];
        if let Some(found) = lengths.into_iter().find(|n| *n != expected) {
            return Err(Error::Dimension { what: "results of a search", expected, found });
        }
        let not_finite = |(id, score): (&i64, &f32)| *id >= 0 && !score.is_finite();
        if let Some(at) = self.ids.iter().zip(&self.scores).position(not_finite) {
            let row = self.rows.start + at / self.search.k;
            return Err(Error::NotFinite { what: "embedding", row });
        }
        Ok(())
    }

    /// Returns at most `k` hits for sequence `row` of the batch, best first.
    pub fn nearest(&self, row: usize, k: usize) -> Vec<Hit> {
        let first = (row - self.rows.start) * self.search.k;
        let range = first..first + self.search.k.min(k);
        let hits = self.ids[range.clone()].iter().zip(&self.scores[range]);
        let hit =
            |(&id, &score): (&i64, &f32)| Some(Hit { id: ChunkId(u32::try_from(id).ok()?), score });
        hits.filter_map(hit).collect()
    }
}

/// Runs `compute` and turns a panic into an error.
pub(in crate::embedding::engine) fn guarded<R>(compute: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(compute)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let detail = text.unwrap_or_else(|| "a panic without a message".to_owned());
        Err(Error::Internal { what: "the encoder", detail })
    })
}

impl Launch {
    /// Waits for the results of a batch of `n` sequences.
    pub fn wait(self, n: usize) -> Result<BatchOutput> {
        let output = match self {
            Self::Done(output) => output,
            Self::Running(wait) => guarded(wait)?,
        };
        output.check(n)?;
        Ok(output)
    }
}
