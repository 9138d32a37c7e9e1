//! Pooling: the rows of a sequence become one row.

use rayon::prelude::*;

use super::math;
use crate::device::InstructionSet;

/// Below this norm a vector is divided by this, as PyTorch's `normalize` does: zeros stay zeros.
const NORM_MIN: f32 = 1e-12;

/// Which hidden states of a sequence become its vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean over its tokens.
    Mean,
    /// Its first token.
    Cls,
    /// Its last token.
    Last,
    /// The maximum of each value over its tokens.
    Max,
    /// The mean over its tokens, in which token `i`, counted from 1, weighs `i`.
    WeightedMean,
    /// The sum over its tokens, divided by the square root of their number.
    MeanSqrtLen,
}

impl Pooling {
    pub const ALL: [Self; 6] =
        [Self::Mean, Self::Cls, Self::Last, Self::Max, Self::WeightedMean, Self::MeanSqrtLen];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
            Self::Max => "max",
            Self::WeightedMean => "weightedmean",
            Self::MeanSqrtLen => "mean_sqrt_len",
        }
    }

    /// The pooling of that name, as [`Pooling::as_str`] spells it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pooling| pooling.as_str() == text)
    }
}

/// One vector for each sequence, `[n, d]` row-major, of length 1 if `normalize`; zeros for an empty
/// sequence.
///
/// hidden: `[tokens, d]`, row-major; cu_seqlens: `[n + 1]`.
pub fn pool(
    hidden: &[f32],
    d: usize,
    cu_seqlens: &[u32],
    pooling: Pooling,
    normalize: bool,
) -> Vec<f32> {
    pool_with(InstructionSet::detect(), hidden, d, cu_seqlens, &[], &[pooling], normalize)
}

/// One vector for each sequence from all of `poolings` side by side, `[n, poolings * d]` row-major,
/// of length 1 if `normalize`. Where no token is left, the values are zeros.
///
/// hidden: `[tokens, d]`, row-major; cu_seqlens: `[n + 1]`; left_out: `[n]`, the first tokens of
/// each sequence that are not pooled, or empty if all are.
pub fn pool_all(
    hidden: &[f32],
    d: usize,
    cu_seqlens: &[u32],
    left_out: &[u32],
    poolings: &[Pooling],
    normalize: bool,
) -> Vec<f32> {
    pool_with(InstructionSet::detect(), hidden, d, cu_seqlens, left_out, poolings, normalize)
}

pub(super) fn pool_with(
    set: InstructionSet,
    hidden: &[f32],
    d: usize,
    cu_seqlens: &[u32],
    left_out: &[u32],
    poolings: &[Pooling],
    normalize: bool,
) -> Vec<f32> {
    let width = d * poolings.len();
    let mut out = vec![0.0; (cu_seqlens.len() - 1) * width];
    let sequences = cu_seqlens.par_windows(2).enumerate();
    out.par_chunks_exact_mut(width).zip(sequences).for_each(|(out, (i, ends))| {
        let rows = &hidden[ends[0] as usize * d..ends[1] as usize * d];
        let skipped = left_out.get(i).copied().unwrap_or(0) as usize;
        let rows = &rows[(skipped * d).min(rows.len())..];
        if rows.is_empty() {
            return;
        }
        for (out, pooling) in out.chunks_exact_mut(d).zip(poolings) {
            match pooling {
                Pooling::Mean => mean_rows(set, rows, 1.0, 0.0, out),
                Pooling::WeightedMean => mean_rows(set, rows, (skipped + 1) as f32, 1.0, out),
                Pooling::MeanSqrtLen => {
                    mean_rows(set, rows, 1.0, 0.0, out);
                    let scale = ((rows.len() / d) as f32).sqrt();
                    out.iter_mut().for_each(|value| *value *= scale);
                }
                Pooling::Max => max_rows(set, rows, out),
                Pooling::Cls => out.copy_from_slice(&rows[..d]),
                Pooling::Last => out.copy_from_slice(&rows[rows.len() - d..]),
            }
        }
        if normalize {
            unit_row(set, out);
        }
    });
    out
}

/// Scales each row to length 1; zeros stay zeros. rows: `[n, d]`, row-major.
pub fn normalize(rows: &mut [f32], d: usize) {
    let set = InstructionSet::detect();
    rows.par_chunks_exact_mut(d).for_each(|row| unit_row(set, row));
}

multiversion! {
    /// out becomes the mean of `rows`; the weight of the first row is `first`, and that of each
    /// other one is that of the one before it plus `growth`. rows: `[some, d]`, at least one; out:
    /// `[d]`.
    fn mean_rows(rows: &[f32], first: f32, growth: f32, out: &mut [f32]) = mean_rows_body
}

#[inline(always)]
fn mean_rows_body<const FMA: bool>(rows: &[f32], first: f32, growth: f32, out: &mut [f32]) {
    out.fill(0.0);
    let (mut weight, mut weights) = (first, 0.0);
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
    /// out becomes the maximum of each column, NaN if any of its values is, as in PyTorch. rows: `[some, d]`, at least one; out: `[d]`.
    fn max_rows(rows: &[f32], out: &mut [f32]) = max_rows_body
}

#[inline(always)]
fn max_rows_body<const FMA: bool>(rows: &[f32], out: &mut [f32]) {
    out.copy_from_slice(&rows[..out.len()]);
    for row in rows.chunks_exact(out.len()) {
        for (out, value) in out.iter_mut().zip(row) {
            *out = if *value > *out || value.is_nan() { *value } else { *out };
        }
    }
}

multiversion! {
    /// Scales row to length 1. row: `[d]`.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::vector::Matrix;

    #[test]
    fn names_and_poolings_go_both_ways() {
        for pooling in Pooling::ALL {
            assert_eq!(Pooling::parse(pooling.as_str()), Some(pooling));
        }
        assert_eq!(Pooling::parse("median"), None);
    }

    #[test]
    fn an_empty_sequence_gives_zeros_and_disturbs_no_neighbour() {
        let hidden = [3.0, 4.0, 1.0, 2.0, 3.0, 0.0];
        let pooled = |pooling: Pooling, normalize| {
            let values = pool(&hidden, 2, &[0, 1, 1, 3], pooling, normalize);
            Matrix::new(values, 2).unwrap()
        };
        let mean = pooled(Pooling::Mean, false);
        assert_eq!(mean.as_slice(), [3.0, 4.0, 0.0, 0.0, 2.0, 1.0]);
        assert_eq!(pooled(Pooling::Cls, false).row(2), [1.0, 2.0]);
        assert_eq!(pooled(Pooling::Last, false).row(2), [3.0, 0.0]);
        assert_eq!(pooled(Pooling::Max, false).row(2), [3.0, 2.0]);
        let weighted = pooled(Pooling::WeightedMean, false);
        assert!((weighted.row(2)[0] - 7.0 / 3.0).abs() < 1e-6 && weighted.row(1) == [0.0, 0.0]);
        let unit = pooled(Pooling::Mean, true);
        assert_eq!((unit.row(0), unit.row(1)), (&[0.6, 0.8][..], &[0.0, 0.0][..]));
        assert!(pool(&[], 2, &[0], Pooling::Mean, true).is_empty());
    }
}
