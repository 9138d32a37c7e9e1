//! What does a GPU do with a batch, before the host waits for it?

use super::scheduler::compute::{Compute, Computed, Found, Launched, Wanted};
use crate::base::error::Result;
use crate::base::vector::Matrix;
use crate::embedding::nn::{Encoder, Pooler};
use crate::embedding::token::Ragged;

/// A model whose vectors are made on a GPU from the first layer to the last.
pub(super) struct OnGpu {
    pub encoder: Encoder,
    pub pooler: Pooler,
}

impl Compute for OnGpu {
    fn launch(&mut self, batch: &Ragged, wanted: &Wanted) -> Result<Launched> {
        let mut slot = self.pooler.launch(&self.encoder, batch)?;
        let vectors = wanted.vectors.then(|| slot.read_back_vectors()).transpose()?;
        let mut searches = Vec::with_capacity(wanted.searches.len());
        for (search, rows) in &wanted.searches {
            let readback = slot.search(&*search.index, rows.clone(), search.k)?;
            searches.push((search.clone(), rows.clone(), readback));
        }
        let d = self.pooler.dim();
        Ok(Launched::Later(Box::new(move || {
            let finished = slot.wait()?;
            let vectors =
                vectors.map(|readback| Matrix::new(finished.values(&readback).to_vec(), d));
            let took = finished.searched()?;
            let found = searches.into_iter().map(|(search, rows, readback)| Found {
                search,
                rows,
                took,
                scores: finished.values(&readback.scores).to_vec(),
                ids: finished.values(&readback.ids).to_vec(),
            });
            Ok(Computed { vectors: vectors.transpose()?, found: found.collect() })
        })))
    }

    fn searches(&self) -> bool {
        true
    }
}
