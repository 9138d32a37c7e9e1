//! Whose memory holds rows of vectors, where the nearest of them are found? A GPU's, in a build for one.

use super::Device;
#[cfg(feature = "cuda")]
pub use super::cuda::FlatIndex;
use crate::base::error::Result;

/// Rows in the memory of a device; this build has no such device.
#[cfg(not(feature = "cuda"))]
pub enum FlatIndex {}

#[cfg(not(feature = "cuda"))]
impl FlatIndex {
    /// The most rows that a search gives.
    pub const K_MAX: usize = 2048;

    /// Adds rows. rows: `[any, d]`.
    pub fn add(&mut self, _: &[f32]) -> Result<()> {
        match *self {}
    }

    pub fn n(&self) -> usize {
        match *self {}
    }
}

impl Device {
    /// An empty index with room for `rows_max` rows of `d` values; `None` where networks compute on
    /// the CPU.
    #[cfg(feature = "cuda")]
    pub fn flat_index(&self, d: usize, rows_max: usize) -> Result<Option<FlatIndex>> {
        self.gpu().map(|gpu| FlatIndex::new(&gpu.cuda, d, rows_max)).transpose()
    }

    /// None: networks compute on the CPU.
    #[cfg(not(feature = "cuda"))]
    pub fn flat_index(&self, _: usize, _: usize) -> Result<Option<FlatIndex>> {
        Ok(None)
    }
}
