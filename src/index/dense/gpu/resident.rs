//! The rows of an index in the memory of the device that embeds queries, so that it also searches
//! them.

use std::sync::Arc;

use super::FlatIndex;
use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkId, ChunkSet, Hit};
use crate::device::{Device, DeviceIndex};
use crate::index::dense::search::MARGIN;
use crate::index::dense::{DenseIndex, rows};

/// Rows that are copied at a time.
const PIECE_ROWS: usize = 65_536;

/// The rows of an index in the memory of a device, which compares all of them with a query,
/// whatever the kind of the index.
pub struct Resident {
    flat: Arc<FlatIndex>,
    /// The chunk of each row, if some chunks were left out.
    chunks: Option<Vec<ChunkId>>,
}

impl DenseIndex {
    /// Copies the rows of `live` chunks, or of all, to `device`; `None` if it has no memory of its
    /// own, an error if the rows do not fit.
    pub fn place(&self, device: &Device, live: Option<&ChunkSet>) -> Result<Option<Resident>> {
        let chunks: Option<Vec<ChunkId>> = live.map(|live| live.iter().collect());
        let n = chunks.as_ref().map_or(self.n(), Vec::len);
        let Some(mut flat) = FlatIndex::on_device(device, self.d(), n)? else { return Ok(None) };
        let chunk = |row: usize| chunks.as_ref().map_or(row, |chunks| chunks[row].row());
        let mut piece = Vec::with_capacity(n.min(PIECE_ROWS) * self.d());
        for first in (0..n).step_by(PIECE_ROWS) {
            piece.clear();
            let rows = (first..n.min(first + PIECE_ROWS)).filter_map(|row| self.row(chunk(row)));
            rows.for_each(|row| piece.extend(rows::numbers(row)));
            if let Some(at) = piece.iter().position(|value| !value.is_finite()) {
                let row = chunk(first + at / self.d());
                return Err(Error::NotFinite { what: "indexed vectors", row });
            }
            flat.add(&piece)?;
        }
        Ok(Some(Resident { flat: Arc::new(flat), chunks }))
    }
}

impl Resident {
    /// The rows, for the engine of the device that holds them.
    pub fn index(&self) -> Arc<dyn DeviceIndex> {
        self.flat.clone()
    }

    pub fn n(&self) -> usize {
        self.flat.n()
    }

    /// The number of rows to ask the device for, so that the best `k` are among them; `None` if
    /// that is more than it can find.
    pub fn candidates(&self, k: usize) -> Option<usize> {
        let candidates = k + MARGIN;
        (candidates <= FlatIndex::K_MAX).then_some(candidates)
    }

    /// The best `k` chunks of the rows that the device found.
    pub fn hits(&self, found: &[Hit], k: usize) -> Vec<Hit> {
        let chunk = |row: ChunkId| self.chunks.as_ref().map_or(row, |chunks| chunks[row.row()]);
        let hits = found.iter().map(|hit| Hit { id: chunk(hit.id), ..*hit });
        let mut hits: Vec<Hit> = hits.collect();
        hits.sort_by(Hit::best_first);
        hits.truncate(k);
        hits
    }
}
