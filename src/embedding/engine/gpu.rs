//! Batches on a GPU, launched completely before the host waits for the results.

use super::worker::compute::{BatchOutput, BatchRequest, BatchRows, Compute, Launch, SearchOutput};
use crate::base::error::Result;
use crate::base::vector::Matrix;
use crate::embedding::nn::{Encoder, Pooler};
use crate::embedding::token::Ragged;

/// A model whose layers all run on a GPU.
pub(super) struct OnGpu {
    pub encoder: Encoder,
    pub pooler: Pooler,
}

impl Compute for OnGpu {
    fn launch(&mut self, batch: &Ragged, request: &BatchRequest) -> Result<Launch> {
        let mut slot = self.pooler.launch(&self.encoder, batch)?;
        let vectors = request.vectors.then(|| slot.read_back_vectors()).transpose()?;
        let mut searches = Vec::with_capacity(request.searches.len());
        for (search, rows) in &request.searches {
            let readback = slot.search(&*search.index, rows.clone(), search.k)?;
            searches.push((search.clone(), rows.clone(), readback));
        }
        let d = self.pooler.dim();
        Ok(Launch::Running(Box::new(move || {
            let finished = slot.wait()?;
            let vectors =
                vectors.map(|readback| Matrix::new(finished.values(&readback).to_vec(), d));
            let took = finished.searched()?;
            let found = searches.into_iter().map(|(search, rows, readback)| SearchOutput {
                search,
                rows,
                took,
                scores: finished.values(&readback.scores).to_vec(),
                ids: finished.values(&readback.ids).to_vec(),
            });
            let rows = vectors.transpose()?.map(BatchRows::Dense);
            Ok(BatchOutput::new(rows, found.collect()))
        })))
    }

    fn searches(&self) -> bool {
        true
    }
}
