//! How do the rows of a sequence become one row?

use rayon::prelude::*;

use super::math;
use crate::device::InstructionSet;

/// Below this norm a vector is divided by this, as PyTorch's `normalize` does: zeros stay zeros.
const NORM_MIN: f32 = 1e-12;

/// How the rows of a sequence are pooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    Mean,
    /// The mean in which row `i`, counted from 1, weighs `i`.
    WeightedMean,
    /// The greatest of each column.
    Max,
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
        match segment {
            _ if rows.is_empty() => return,
            Segment::Mean => mean_rows(set, rows, 0.0, out),
            Segment::WeightedMean => mean_rows(set, rows, 1.0, out),
            Segment::Max => max_rows(set, rows, out),
            Segment::First => out.copy_from_slice(&rows[..d]),
            Segment::Last => out.copy_from_slice(&rows[rows.len() - d..]),
        }
        if normalize {
            unit_row(set, out);
        }
    });
    out
}

/// Each row becomes of length 1; zeros stay zeros. rows: `[n, d]`, row-major.
pub fn normalize(rows: &mut [f32], d: usize) {
    let set = InstructionSet::detect();
    rows.par_chunks_exact_mut(d).for_each(|row| unit_row(set, row));
}

multiversion! {
    /// out becomes the mean of `rows`; the weight of a row is that of the one before it plus
    /// `growth`. rows: `[some, d]`, at least one; out: `[d]`.
    fn mean_rows(rows: &[f32], growth: f32, out: &mut [f32]) = mean_rows_body
}

#[inline(always)]
fn mean_rows_body<const FMA: bool>(rows: &[f32], growth: f32, out: &mut [f32]) {
    out.fill(0.0);
    let (mut weight, mut weights) = (1.0, 0.0);
    for row in rows.chunks_exact(out.len()) {
        for (out, value) in out.iter_mut().zip(row) {
            *out = math::fma::<FMA>(weight, *value, *out);
        }
        weights += weight;
        weight += growth;
    }
    let scale = 1.0 / weights;
    for out in out.iter_mut() {
        *out *= scale;
    }
}

multiversion! {
    /// out becomes the greatest of each column. rows: `[some, d]`, at least one; out: `[d]`.
    fn max_rows(rows: &[f32], out: &mut [f32]) = max_rows_body
}

#[inline(always)]
fn max_rows_body<const FMA: bool>(rows: &[f32], out: &mut [f32]) {
    out.copy_from_slice(&rows[..out.len()]);
    for row in rows.chunks_exact(out.len()) {
        for (out, value) in out.iter_mut().zip(row) {
            *out = if *value > *out { *value } else { *out };
        }
    }
}

multiversion! {
    /// row becomes of length 1. row: `[d]`.
    fn unit_row(row: &mut [f32]) = unit_row_body
}

#[inline(always)]
fn unit_row_body<const FMA: bool>(row: &mut [f32]) {
    let norm = math::squares::<FMA>(row, 0.0).sqrt();
    let scale = 1.0 / if norm > NORM_MIN { norm } else { NORM_MIN };
    for value in row.iter_mut() {
        *value *= scale;
    }
}
