//! How do the rows of a sequence become one row?

use rayon::prelude::*;

use super::math;
use crate::device::InstructionSet;

/// Below this norm a vector is divided by this, as PyTorch's `normalize` does: zeros stay zeros.
const NORM_MIN: f32 = 1e-12;

/// Which rows of a sequence are pooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    Mean,
    First,
    Last,
}

/// One row a sequence, `[n, d]` row-major, of length 1 if `normalize`; zeros for an empty sequence.
///
/// hidden: `[tokens, d]`, row-major; cu_seqlens: `[n + 1]`.
pub fn pool(
    hidden: &[f32],
    d: usize,
    cu_seqlens: &[u32],
    segment: Segment,
    normalize: bool,
) -> Vec<f32> {
    pool_with(InstructionSet::detect(), hidden, d, cu_seqlens, segment, normalize)
}

pub(super) fn pool_with(
    set: InstructionSet,
    hidden: &[f32],
    d: usize,
    cu_seqlens: &[u32],
    segment: Segment,
    normalize: bool,
) -> Vec<f32> {
    let mut out = vec![0.0; (cu_seqlens.len() - 1) * d];
    out.par_chunks_exact_mut(d).zip(cu_seqlens.par_windows(2)).for_each(|(out, ends)| {
        let rows = &hidden[ends[0] as usize * d..ends[1] as usize * d];
        let rows = match segment {
            _ if rows.is_empty() => return,
            Segment::Mean => rows,
            Segment::First => &rows[..d],
            Segment::Last => &rows[rows.len() - d..],
        };
        mean_rows(set, rows, out, normalize);
    });
    out
}

multiversion! {
    /// out becomes the mean of `rows`. rows: `[some, d]`, at least one; out: `[d]`.
    fn mean_rows(rows: &[f32], out: &mut [f32], normalize: bool) = mean_rows_body
}

#[inline(always)]
fn mean_rows_body<const FMA: bool>(rows: &[f32], out: &mut [f32], normalize: bool) {
    out.fill(0.0);
    for row in rows.chunks_exact(out.len()) {
        for (out, value) in out.iter_mut().zip(row) {
            *out += value;
        }
    }
    let mut scale = 1.0 / (rows.len() / out.len()) as f32;
    if normalize {
        let norm = math::squares::<FMA>(out, 0.0).sqrt() * scale;
        scale /= if norm > NORM_MIN { norm } else { NORM_MIN };
    }
    for out in out.iter_mut() {
        *out *= scale;
    }
}
