//! Which vectors is a bench to search, and who finds the nearest of them?

use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::base::config::DenseKind;
use crate::base::error::Result;
use crate::base::telemetry::RunContext;
use crate::base::vector::Matrix;
use crate::embedding::engine::{EmbedRequest, Embeddings, Engine, Search};
use crate::index::{DenseIndex, DenseParams, Resident};

/// Rows that are looked for.
const K: usize = 10;
/// Of the vectors, so that each run searches the same.
const SEED: u64 = 7;

/// Vectors of length 1 in random directions: all of them are compared with a query, whatever they are.
pub struct Base {
    index: DenseIndex,
    /// On the device that embeds, if it has a memory of its own.
    resident: Option<Resident>,
}

impl Base {
    /// `n` vectors for the engine's queries.
    pub fn new(engine: &Engine, n: usize) -> Result<Self> {
        let index = DenseIndex::build(&vectors(n, engine.identity().dim)?, DenseKind::Flat, SEED)?;
        let resident = match engine.search_device() {
            Ok(device) => index.place(device, None)?,
            Err(_) => None,
        };
        Ok(Self { index, resident })
    }

    /// Embeds the texts and searches for each, and tells how long it searched.
    pub fn nearest(
        &self,
        engine: &Engine,
        request: EmbedRequest<'_>,
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
    values.par_chunks_mut(d).enumerate().for_each(|(row, values)| {
        // xorshift64 (Marsaglia, 2003), begun far apart for each row.
        let mut state = (row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ SEED;
        for value in values.iter_mut() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *value = (state >> 40) as f32 / (1 << 23) as f32 - 1.0;
        }
        let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
        values.iter_mut().for_each(|v| *v /= length);
    });
    Matrix::new(values, d)
}
