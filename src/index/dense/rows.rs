//! The full-precision rows, and the exact score of one of them.
//!
//! Every score of a search is computed here, whichever index found the row, so that a batch equals
//! single searches and all kinds of index agree to the last bit.

use memmap2::Mmap;

use crate::base::vector::Matrix;

use super::ffi::{Faiss, bytes_of};

/// Partial sums; their number fixes the order of the additions on every machine.
const LANES: usize = 16;

/// The full-precision rows of a primary index.
pub(super) enum Rows {
    /// The flat index holds them.
    InIndex,
    /// A copy that was kept when the index was built.
    Kept(Matrix),
    /// `vectors.f32`.
    Mapped(Mmap),
}

impl Rows {
    /// All rows as bytes: `[n, d, 4]`, little-endian f32.
    pub(super) fn bytes<'a>(&'a self, index: &'a Faiss) -> &'a [u8] {
        match self {
            Self::InIndex => index.flat_rows().unwrap_or_default(),
            Self::Kept(rows) => bytes_of(rows.as_slice()),
            Self::Mapped(map) => map,
        }
    }
}

/// The inner product of a query and a row.
///
/// query: `[d]`, f32; row: `[d, 4]` bytes, little-endian f32.
pub(super) fn dot(query: &[f32], row: &[u8]) -> f32 {
    let (query_blocks, query_rest) = query.as_chunks::<LANES>();
    let (row_blocks, row_rest) = row.as_chunks::<{ 4 * LANES }>();
    let mut sums = [0f32; LANES];
    for (q, r) in query_blocks.iter().zip(row_blocks) {
        for lane in 0..LANES {
            let at = 4 * lane;
            sums[lane] += q[lane] * f32::from_le_bytes([r[at], r[at + 1], r[at + 2], r[at + 3]]);
        }
    }
    for ((sum, q), r) in sums.iter_mut().zip(query_rest).zip(row_rest.as_chunks::<4>().0) {
        *sum += q * f32::from_le_bytes(*r);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

/// A row as numbers: `[d]`.
///
/// row: `[d, 4]` bytes, little-endian f32.
pub(super) fn numbers(row: &[u8]) -> impl Iterator<Item = f32> {
    row.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_product_is_that_of_the_numbers_at_any_length_and_address() {
        for d in [1, 3, 15, 16, 17, 64, 383, 384] {
            let a: Vec<f32> = (0..d).map(|i| (i as f32 * 0.37).sin()).collect();
            let b: Vec<f32> = (0..d).map(|i| (i as f32 * 0.11).cos()).collect();
            let exact: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            let mut shifted = vec![0u8];
            shifted.extend_from_slice(bytes_of(&b));
            let found = dot(&a, &shifted[1..]);
            assert!((f64::from(found) - exact).abs() < 1e-5, "{d}: {found} and {exact}");
            assert!(numbers(&shifted[1..]).eq(b));
        }
    }
}
