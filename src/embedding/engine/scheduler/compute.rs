//! What is a device asked of a batch, and when does it answer?

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkId, Hit};
use crate::base::vector::Matrix;
use crate::device::DeviceIndex;
use crate::embedding::token::Ragged;

/// Computes batches, in their order.
pub(in crate::embedding::engine) trait Compute: Send {
    /// Begins a batch; a GPU computes on when this returns.
    fn launch(&mut self, batch: &Ragged, wanted: &Wanted) -> Result<Launched>;

    /// Whether it can search for the vectors that it computes.
    fn searches(&self) -> bool {
        false
    }
}

/// What gives vectors, and has them when it returns.
impl<F: FnMut(&Ragged) -> Result<Matrix> + Send> Compute for F {
    fn launch(&mut self, batch: &Ragged, _: &Wanted) -> Result<Launched> {
        Ok(Launched::Done(Computed { vectors: Some(self(batch)?), found: Vec::new() }))
    }
}

/// A batch that was begun.
pub(in crate::embedding::engine) enum Launched {
    Done(Computed),
    /// The device computes; the call waits for it.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code))] // Only a GPU does, or a test.
    Later(Box<dyn FnOnce() -> Result<Computed>>),
}

/// A search for each text of a request, on the device that embeds it.
#[derive(Clone)]
pub struct Search {
    pub index: Arc<dyn DeviceIndex>,
    /// Rows of the index that are wanted.
    pub k: usize,
}

/// What is wanted of a batch.
#[derive(Default)]
pub(in crate::embedding::engine) struct Wanted {
    /// Whether anybody wants the vectors themselves.
    pub vectors: bool,
    /// Each index once, the most rows that are wanted of it, and the sequences they are wanted for.
    pub searches: Vec<(Search, Range<usize>)>,
}

impl Wanted {
    /// Adds what one claim on sequence `row` wants; rows come in their order.
    pub fn add(&mut self, row: usize, search: Option<&Search>) {
        let Some(search) = search else {
            self.vectors = true;
            return;
        };
        let same = |(of, _): &&mut (Search, _)| Arc::ptr_eq(&of.index, &search.index);
        match self.searches.iter_mut().find(same) {
            Some((of, rows)) => (of.k, rows.end) = (of.k.max(search.k), row + 1),
            None => self.searches.push((search.clone(), row..row + 1)),
        }
    }
}

/// What came of a batch.
pub(in crate::embedding::engine) struct Computed {
    /// `[n, d]`, where they were wanted.
    pub vectors: Option<Matrix>,
    /// What each search of [`Wanted::searches`] found.
    pub found: Vec<Found>,
}

/// The nearest rows of an index to some sequences of a batch, best first.
pub(in crate::embedding::engine) struct Found {
    pub search: Search,
    pub rows: Range<usize>,
    /// How long the device searched.
    pub took: Duration,
    /// `[rows, k]`
    pub scores: Vec<f32>,
    /// `[rows, k]`; -1 behind the last row of an index that has fewer.
    pub ids: Vec<i64>,
}

impl Computed {
    /// What was found in the index of `search`.
    pub fn found(&self, search: &Search) -> Option<&Found> {
        self.found.iter().find(|found| Arc::ptr_eq(&found.search.index, &search.index))
    }

    /// An error if this is not what was wanted of `n` sequences.
    fn check(&self, n: usize) -> Result<()> {
        if let Some(vectors) = &self.vectors {
            if vectors.n() != n {
                let (expected, found) = (n, vectors.n());
                return Err(Error::Dimension { what: "vectors of a batch", expected, found });
            }
            vectors.check_finite("embedding")?;
        }
        for Found { search, rows, scores, ids, .. } in &self.found {
            let expected = rows.len() * search.k;
            if let Some(found) = [scores.len(), ids.len()].into_iter().find(|n| *n != expected) {
                return Err(Error::Dimension { what: "rows that a search found", expected, found });
            }
            let not_finite = |(id, score): (&i64, &f32)| *id >= 0 && !score.is_finite();
            if let Some(at) = ids.iter().zip(scores).position(not_finite) {
                let row = rows.start + at / search.k;
                return Err(Error::NotFinite { what: "embedding", row });
            }
        }
        Ok(())
    }
}

impl Found {
    /// At most `k` rows of the index for sequence `row` of the batch, best first.
    pub fn nearest(&self, row: usize, k: usize) -> Vec<Hit> {
        let first = (row - self.rows.start) * self.search.k;
        let range = first..first + self.search.k.min(k);
        let hits = self.ids[range.clone()].iter().zip(&self.scores[range]);
        let hit =
            |(&id, &score): (&i64, &f32)| Some(Hit { id: ChunkId(u32::try_from(id).ok()?), score });
        hits.filter_map(hit).collect()
    }
}

/// Runs a part of a batch; a panic becomes an error.
pub(super) fn guarded<R>(compute: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(compute)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let detail = text.unwrap_or_else(|| "a panic without words".to_owned());
        Err(Error::Internal { what: "the encoder", detail })
    })
}

impl Launched {
    /// The answer for a batch of `n` sequences, when the device has it.
    pub fn wait(self, n: usize) -> Result<Computed> {
        let computed = match self {
            Self::Done(computed) => computed,
            Self::Later(wait) => guarded(wait)?,
        };
        computed.check(n)?;
        Ok(computed)
    }
}
