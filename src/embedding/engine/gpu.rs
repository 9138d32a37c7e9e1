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
        let mut flight = self.pooler.launch(&self.encoder, batch)?;
        let vectors = wanted.vectors.then(|| flight.fetch_vectors()).transpose()?;
        let mut searches = Vec::with_capacity(wanted.searches.len());
        for (search, rows) in &wanted.searches {
            let fetched = flight.search(&*search.index, rows.clone(), search.k)?;
            searches.push((search.clone(), rows.clone(), fetched));
        }
        let d = self.pooler.dim();
        Ok(Launched::Later(Box::new(move || {
            let landed = flight.wait()?;
            let vectors = vectors.map(|fetched| Matrix::new(landed.values(&fetched).to_vec(), d));
            let took = landed.searched()?;
            let found = searches.into_iter().map(|(search, rows, fetched)| Found {
                search,
                rows,
                took,
                scores: landed.values(&fetched.scores).to_vec(),
                ids: landed.values(&fetched.ids).to_vec(),
            });
            Ok(Computed { vectors: vectors.transpose()?, found: found.collect() })
        })))
    }

    fn searches(&self) -> bool {
        true
    }
}
