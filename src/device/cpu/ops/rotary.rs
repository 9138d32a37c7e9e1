//! Rotary position embeddings of queries and keys.

use rayon::prelude::*;

use super::norm::ROWS_PER_TASK;
use crate::device::{Cpu, Rows};

/// Rotary position embeddings (Su et al., 2021): pair `i` of a head, the values `i` and `i +
/// pairs`, is rotated by the angle `frequency i * position`. Values beyond the pairs stay.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotary {
    /// Radians per position: `[pairs]`.
    pub frequencies: Vec<f32>,
    /// The factor of all cosines and sines.
    pub scale: f32,
}

impl Rotary {
    /// Extends `cos_sin` to the positions below `n`, if it has fewer: `[positions, 2 * pairs]`, the
    /// cosines of a position, then its sines.
    pub fn extend(&self, cos_sin: &mut Rows, n: usize) {
        let pairs = self.frequencies.len();
        let known = if cos_sin.d() == 2 * pairs { cos_sin.n() } else { 0 };
        if n <= known {
            return;
        }
        cos_sin.resize(n, 2 * pairs);
        for (i, row) in cos_sin.as_mut_slice().chunks_exact_mut(2 * pairs).enumerate().skip(known) {
            let (cosines, sines) = row.split_at_mut(pairs);
            for ((cos, sin), frequency) in cosines.iter_mut().zip(sines).zip(&self.frequencies) {
                // The angle is rounded to f32, as the reference implementations round it.
                let (s, c) = (i as f32 * frequency).sin_cos();
                (*sin, *cos) = (s * self.scale, c * self.scale);
            }
        }
    }
}

/// Applies rotary position embeddings to the first `heads` heads of each row. x:
/// `[n, all heads * head_dim]`; cos_sin: `[positions, 2 * pairs]`, by [`Rotary::extend`];
/// position_ids: `[n]`.
pub fn rotary(
    cpu: &Cpu,
    x: &mut Rows,
    heads: usize,
    head_dim: usize,
    cos_sin: &Rows,
    position_ids: &[u32],
) {
    let (set, d) = (cpu.instruction_set(), x.d());
    assert!(heads * head_dim <= d && cos_sin.d() <= head_dim, "{heads} heads of {head_dim} in {d}");
    assert_eq!(position_ids.len(), x.n(), "a position for each row");
    let chunks = x.as_mut_slice().par_chunks_mut(ROWS_PER_TASK * d);
    chunks.zip(position_ids.par_chunks(ROWS_PER_TASK)).for_each(|(rows, position_ids)| {
        for (row, position) in rows.chunks_exact_mut(d).zip(position_ids) {
            let cos_sin = cos_sin.row(*position as usize);
            for head in row[..heads * head_dim].chunks_exact_mut(head_dim) {
                rotate_row(set, head, cos_sin);
            }
        }
    });
}

multiversion! {
    /// head: `[head_dim]`; cos_sin: `[2 * pairs]`.
    fn rotate_row(head: &mut [f32], cos_sin: &[f32]) = rotate_body
}

#[inline(always)]
fn rotate_body<const FMA: bool>(head: &mut [f32], cos_sin: &[f32]) {
    let (cosines, sines) = cos_sin.split_at(cos_sin.len() / 2);
    let (first, second) = head.split_at_mut(cosines.len());
    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}
