//! A flat index in the memory of a GPU, which compares every row with a query.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use super::faiss::{Faiss, Library};
use super::nearest;
use crate::base::error::{Error, Result};
use crate::device::cuda::{Cuda, DeviceRows, Reservation, WORKSPACE_BYTES};
use crate::device::{Device, DeviceIndex, Neighbors};

#[cfg(test)]
mod tests;

/// Memory of one index for the scores of a search: at most what FAISS takes for 512 queries at a
/// time, however many rows there are, and this part of the device's memory.
const TEMP_BYTES_MAX: usize = 1280 << 20;
const TEMP_SHARE: usize = 32;

/// Rows in device memory, searched by inner product: many queries at a time by FAISS, one or a few
/// by [`nearest::scan`].
pub struct FlatIndex {
    shared: Mutex<Shared>,
    cuda: Arc<Cuda>,
    /// `[n, d]`, with memory for `rows_max` of them.
    rows: DeviceRows<f32>,
    rows_max: usize,
    /// What FAISS takes beside the rows.
    _faiss_memory: Reservation,
}

/// What one search at a time uses.
struct Shared {
    faiss: Faiss,
    /// The intermediate results of [`nearest::scan`].
    keys: [DeviceRows<u64>; 2],
}

impl FlatIndex {
    /// The most rows that FAISS finds for one query on a GPU.
    pub const K_MAX: usize = 2048;

    /// As [`FlatIndex::new`], where networks compute; `None` if that is the CPU.
    pub fn on_device(device: &Device, d: usize, rows_max: usize) -> Result<Option<Self>> {
        device.gpu().map(|gpu| Self::new(&gpu.cuda, d, rows_max)).transpose()
    }

    /// An index without rows, for up to `rows_max` of `d` values. Their memory, and that of every
    /// search, is taken here.
    pub fn new(cuda: &Arc<Cuda>, d: usize, rows_max: usize) -> Result<Self> {
        assert!(d > 0, "rows without values");
        let library = Library::get()?;
        let row_bytes = rows_max.saturating_mul(d * size_of::<f32>());
        let memory = cuda.memory()?;
        let temp_bytes = TEMP_BYTES_MAX.min(memory.total_bytes as usize / TEMP_SHARE);
        // cuBLAS has a workspace of its own.
        let faiss_bytes = temp_bytes + WORKSPACE_BYTES;
        let all_bytes = row_bytes.saturating_add(faiss_bytes);
        let free_bytes = memory.total_bytes - memory.used_bytes;
        let reservation = cuda.budget.reserve(faiss_bytes);
        let reservation = reservation.filter(|_| all_bytes as u64 <= free_bytes);
        let faiss_memory = reservation.ok_or_else(|| cuda.no_room(all_bytes))?;
        let mut rows = DeviceRows::default();
        rows.resize_or_grow(cuda, rows_max, d)?;
        rows.resize(0, d);
        let faiss = Faiss::open(library, cuda, temp_bytes)?;
        Ok(Self {
            shared: Mutex::new(Shared { faiss, keys: Default::default() }),
            cuda: cuda.clone(),
            rows,
            rows_max,
            _faiss_memory: faiss_memory,
        })
    }

    pub fn n(&self) -> usize {
        self.rows.n()
    }

    pub fn d(&self) -> usize {
        self.rows.d()
    }

    /// Appends rows of the host. rows: `[any, d]`.
    pub fn add(&mut self, rows: &[f32]) -> Result<()> {
        let expected = rows.len().next_multiple_of(self.d());
        check_values("rows for a FAISS index", expected, rows.len())?;
        let (n, free) = (rows.len() / self.d(), self.rows_max - self.n());
        if n > free {
            let expected =
                format!("at most {free} more, since the index was made for {}", self.rows_max);
            return Err(Error::Argument { name: "rows", value: n.to_string(), expected });
        }
        self.rows.append(&self.cuda, rows)
    }
}

impl DeviceIndex for FlatIndex {
    fn search(
        &self,
        queries: &DeviceRows<f32>,
        rows: Range<usize>,
        k: usize,
        neighbors: &mut Neighbors,
    ) -> Result<()> {
        check_values("queries of a FAISS index", self.d(), queries.d())?;
        if !(1..=Self::K_MAX).contains(&k) {
            let expected = format!("1 to {} on a GPU", Self::K_MAX);
            return Err(Error::Argument { name: "k", value: k.to_string(), expected });
        }
        let Shared { faiss, keys } = &mut *self.shared.lock();
        if nearest::takes(rows.len(), k, self.d()) {
            nearest::scan(&self.cuda, &self.rows, queries, rows, k, keys, neighbors)
        } else {
            faiss.search(&self.rows, queries, rows, k, neighbors)
        }
    }
}

fn check_values(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Dimension { what, expected, found }) }
}
