//! The interface of an index in device memory, which the device searches behind a batch of queries.

#[cfg(feature = "cuda")]
use std::ops::Range;

#[cfg(feature = "cuda")]
use super::cuda::DeviceRows;
#[cfg(feature = "cuda")]
use crate::base::error::Result;

/// Vectors in the memory of one device. Queries that are computed there are searched without a copy
/// through the host. A build without GPU support has no such index.
pub trait DeviceIndex: Send + Sync {
    /// Enqueues a search for the `k` nearest vectors of each of `rows` of `queries`, best first,
    /// behind what computes the queries on the same stream. queries: `[n, d]`; neighbors becomes
    /// `[rows.len(), k]`.
    #[cfg(feature = "cuda")]
    fn search(
        &self,
        queries: &DeviceRows<f32>,
        rows: Range<usize>,
        k: usize,
        neighbors: &mut Neighbors,
    ) -> Result<()>;
}

/// The result of a search, in device memory: `[queries, k]` scores, and the rows of the index that
/// have them. Where an index has fewer than `k` rows, the remaining ids are -1 and their scores
/// undefined.
#[cfg(feature = "cuda")]
#[derive(Default)]
pub struct Neighbors {
    pub scores: DeviceRows<f32>,
    pub ids: DeviceRows<i64>,
}
