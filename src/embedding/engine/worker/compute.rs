//! The interface between a worker and a device: requests, launches and outputs.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkId, Hit};
use crate::base::panic::guarded;
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
        Ok(Launch::Done(BatchRows::Dense(self(batch)?).into()))
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
    /// The rows whose result holds a number that is not finite, ascending.
    pub not_finite: Vec<usize>,
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
    pub fn new(rows: Option<BatchRows>, searches: Vec<SearchOutput>) -> Self {
        Self { rows, searches, not_finite: Vec::new() }
    }

    /// The results of `search`, if the batch includes it.
    pub fn search(&self, search: &Search) -> Option<&SearchOutput> {
        self.searches.iter().find(|output| Arc::ptr_eq(&output.search.index, &search.index))
    }

    /// Returns an error if the output does not match a batch of `n` sequences.
    fn check(&self, n: usize) -> Result<()> {
        if let Some(found) = self.rows.as_ref().map(BatchRows::n).filter(|found| *found != n) {
            return Err(Error::Dimension { what: "results of a batch", expected: n, found });
        }
        self.searches.iter().try_for_each(SearchOutput::check)
    }

    /// Finds the rows of a batch of `n` sequences that hold a number that is not finite. They fail
    /// alone.
    fn find_not_finite(&mut self, n: usize) {
        let rows = self.rows.as_ref();
        let is_finite = |row: usize| {
            rows.is_none_or(|rows| rows.is_finite(row))
                && self.searches.iter().all(|search| search.is_finite(row))
        };
        self.not_finite = (0..n).filter(|&row| !is_finite(row)).collect();
    }
}

impl From<BatchRows> for BatchOutput {
    fn from(rows: BatchRows) -> Self {
        Self::new(Some(rows), Vec::new())
    }
}

impl BatchRows {
    fn n(&self) -> usize {
        match self {
            Self::Dense(vectors) => vectors.n(),
            Self::Sparse(expansions) => expansions.len(),
            Self::Tokens(tokens) => tokens.len(),
        }
    }

    fn is_finite(&self, row: usize) -> bool {
        let values = match self {
            Self::Dense(vectors) => vectors.row(row),
            Self::Sparse(expansions) => &expansions[row].weights,
            Self::Tokens(tokens) => tokens[row].as_slice(),
        };
        values.iter().all(|value| value.is_finite())
    }
}

impl SearchOutput {
    fn check(&self) -> Result<()> {
        let expected = self.rows.len() * self.search.k;
        let lengths = [self.scores.len(), self.ids.len()];
        match lengths.into_iter().find(|n| *n != expected) {
            Some(found) => Err(Error::Dimension { what: "results of a search", expected, found }),
            None => Ok(()),
        }
    }

    /// Whether sequence `row` of the batch has a finite vector, as far as its hits show. The search
    /// for one that is not finite has scores that are not, or no hits, because no score is greater.
    fn is_finite(&self, row: usize) -> bool {
        if !self.rows.contains(&row) {
            return true;
        }
        let range = self.row_range(row);
        let (ids, scores) = (&self.ids[range.clone()], &self.scores[range]);
        let mut hits = ids.iter().zip(scores).filter(|(id, _)| **id >= 0).peekable();
        hits.peek().is_some() && hits.all(|(_, score)| score.is_finite())
    }

    /// Where `scores` and `ids` of sequence `row` of the batch are.
    fn row_range(&self, row: usize) -> Range<usize> {
        let first = (row - self.rows.start) * self.search.k;
        first..first + self.search.k
    }

    /// Returns at most `k` hits for sequence `row` of the batch, best first.
    pub fn nearest(&self, row: usize, k: usize) -> Vec<Hit> {
        let range = self.row_range(row);
        let hits = self.ids[range.clone()].iter().zip(&self.scores[range]).take(k);
        let hit =
            |(&id, &score): (&i64, &f32)| Some(Hit { id: ChunkId(u32::try_from(id).ok()?), score });
        hits.filter_map(hit).collect()
    }
}

/// What an error for a panic of a device names.
pub(in crate::embedding::engine) const DEVICE: &str = "the encoder";

impl Launch {
    /// Waits for the results of a batch of `n` sequences.
    pub fn wait(self, n: usize) -> Result<BatchOutput> {
        let mut output = match self {
            Self::Done(output) => output,
            Self::Running(wait) => guarded(DEVICE, wait)?,
        };
        output.check(n)?;
        output.find_not_finite(n);
        Ok(output)
    }
}
