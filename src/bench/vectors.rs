//! Random vectors in which every text of a bench is searched.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::base::config::DenseKind;
use crate::base::error::Result;
use crate::base::telemetry::RunContext;
use crate::base::vector::Matrix;
use crate::embedding::engine::{EmbedRequest, Embeddings, Engine, Search};
use crate::index::{DenseIndex, DenseParams, Resident};

/// Nearest vectors that a search returns.
const K: usize = 10;
/// Seed of the vectors, so that every run searches the same ones.
const SEED: u64 = 7;

/// Unit vectors in random directions. A flat index compares a query with all of them, so their values
/// do not matter.
pub struct SearchedVectors {
    index: DenseIndex,
    /// In the memory of the device that embeds, if it has its own.
    resident: Option<Resident>,
}

impl SearchedVectors {
    /// `n` vectors of the engine's dimension.
    pub fn new(engine: &Engine, n: usize) -> Result<Self> {
        let index = DenseIndex::build(&vectors(n, engine.identity().dim)?, DenseKind::Flat, SEED)?;
        let resident = match engine.search_device() {
            Ok(device) => index.place(device, None)?,
            // The report says so: see `Session::measure`.
            Err(_) => None,
        };
        Ok(Self { index, resident })
    }

    /// Embeds the texts, searches for each, and measures the search.
    pub fn nearest(
        &self,
        engine: &Engine,
        request: EmbedRequest<'_, '_>,
        run: &RunContext,
    ) -> Result<(Embeddings, Duration)> {
        if let Some(resident) = &self.resident {
            let search = Search { index: resident.index(), k: K };
            let embeddings = engine.nearest(request, &search, run)?;
            let searched = embeddings.searched;
            return Ok((embeddings, searched));
        }
        let embeddings = engine.embed(request, run)?;
        let began = Instant::now();
        self.index.search_batch(&embeddings.vectors, K, &DenseParams::default())?;
        Ok((embeddings, began.elapsed()))
    }
}

/// `[n, d]`
fn vectors(n: usize, d: usize) -> Result<Matrix> {
    let mut values = vec![0f32; n * d];
    values.par_chunks_mut(d).enumerate().for_each(|(row, vector)| {
        let mut random = fastrand::Rng::with_seed(SEED + row as u64);
        vector.iter_mut().for_each(|value| *value = 2.0 * random.f32() - 1.0);
        let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|value| *value /= length);
    });
    Matrix::new(values, d)
}
