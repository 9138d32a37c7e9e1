//! The scan of all rows for one query, or for a few, at the speed of device memory.
//!
//! FAISS on a GPU selects with one block of threads a query, which is right for many queries;
//! `kernels/nearest.cu` has one block for each query and slice of the rows.

use std::ops::Range;

use crate::base::error::Result;
use crate::device::Neighbors;
use crate::device::cuda::{Cuda, DeviceRows, Kernel, Launch, arguments, as_int};

#[cfg(test)]
mod tests;

/// The most neighbors that a scan finds for one query.
const K_MAX: usize = 256;
/// The most queries at a time: each reads the rows again, if from the device's cache.
const QUERIES_MAX: usize = 4;

/// Values of a vector of 16 bytes.
const VECTOR: usize = 4;
const THREADS: u32 = 256;
/// Rows of a slice, and keys that a block selects from: `CHUNK` of kernels/nearest.cu.
const CHUNK: usize = 2048;

/// Enqueues a search for the nearest `k` of `rows` for each of `range` of `queries`, best first and
/// the lower row among equal scores.
///
/// rows: `[n, d]`; queries: `[any, d]`; keys: `[queries * slices, k]` between the passes, grown
/// if too small; neighbors becomes `[range.len(), k]`.
pub(super) fn scan(
    cuda: &Cuda,
    rows: &DeviceRows<f32>,
    queries: &DeviceRows<f32>,
    range: Range<usize>,
    k: usize,
    keys: &mut [DeviceRows<u64>; 2],
    neighbors: &mut Neighbors,
) -> Result<()> {
    let (n, nq, d) = (rows.n(), range.len(), queries.d());
    assert!(range.start <= range.end && range.end <= queries.n(), "{range:?} of {}", queries.n());
    assert!(takes(nq, k, d), "{k} neighbors of {nq} queries of {d} values");
    assert!(n == 0 || rows.d() == d, "queries of {d} values, rows of {}", rows.d());
    neighbors.scores.resize_or_grow(cuda, nq, k)?;
    neighbors.ids.resize_or_grow(cuda, nq, k)?;
    let [mut from, mut to] = keys.each_mut();
    let mut lists = n.div_ceil(CHUNK);
    from.resize_or_grow(cuda, nq * lists, k)?;
    {
        let first = queries.row_pointer(cuda, range.start);
        let (rows, keys) = (rows.pointer(cuda), from.pointer(cuda));
        let n = u32::try_from(n).expect("fewer than 2^32 rows");
        let (queries, d, k) = (as_int(nq), as_int(d), as_int(k));
        let args = arguments![rows, first, keys, n, queries, d, k];
        // SAFETY: the parameters of kernels/nearest.cu, whose sizes were checked above; the keys
        // have room for `k` of each query and slice.
        unsafe { cuda.launch(&launch(Kernel::NearestScan, (nq * lists, 1)), args)? }
    }
    loop {
        let keys_of_query = lists * k;
        // Without rows, too, one pass writes that nothing was found.
        let chunks = keys_of_query.div_ceil(CHUNK).max(1);
        let last = chunks == 1;
        if !last {
            to.resize_or_grow(cuda, nq * chunks, k)?;
        }
        let (keys, out) = (from.pointer(cuda), if last { 0 } else { to.pointer(cuda) });
        let (scores, ids) = (neighbors.scores.pointer(cuda), neighbors.ids.pointer(cuda));
        let (m, best) = (keys_of_query as i64, as_int(k));
        let args = arguments![keys, out, scores, ids, m, best];
        // SAFETY: as above; a pass reads what the one before wrote, and has room for `k` of each
        // query and chunk, at the end in `neighbors`.
        unsafe { cuda.launch(&launch(Kernel::NearestMerge, (chunks, nq)), args)? }
        if last {
            return Ok(());
        }
        lists = chunks;
        std::mem::swap(&mut from, &mut to);
    }
}

/// Whether a scan finds `k` neighbors of so many queries of `d` values.
pub(super) fn takes(queries: usize, k: usize, d: usize) -> bool {
    queries <= QUERIES_MAX && (1..=K_MAX).contains(&k) && d.is_multiple_of(VECTOR)
}

fn launch(kernel: Kernel, blocks: (usize, usize)) -> Launch {
    Launch { kernel, blocks, threads: THREADS }
}
