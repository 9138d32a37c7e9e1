//! How does a query or a key say where it stands?

use rayon::prelude::*;

use super::norm::ROWS_PER_TASK;
use crate::device::{Cpu, Rows};

/// Rotary positions (Su et al., 2021): pair `i` of a head, the values `i` and `i + pairs`, is turned
/// by `frequency i * place`. Values beyond the pairs stay.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotary {
    /// Radians a place: `[pairs]`.
    pub frequencies: Vec<f32>,
}

impl Rotary {
    /// Makes `turns` good for the places below `n`, if it is not yet: `[places, 2 * pairs]`, the
    /// cosines of a place, then its sines.
    pub fn extend(&self, turns: &mut Rows, n: usize) {
        let pairs = self.frequencies.len();
        let known = if turns.d() == 2 * pairs { turns.n() } else { 0 };
        if n <= known {
            return;
        }
        turns.resize(n, 2 * pairs);
        for (i, row) in turns.as_mut_slice().chunks_exact_mut(2 * pairs).enumerate().skip(known) {
            let (cosines, sines) = row.split_at_mut(pairs);
            for ((cos, sin), frequency) in cosines.iter_mut().zip(sines).zip(&self.frequencies) {
                // The angle is rounded to f32, as the reference implementations round it.
                (*sin, *cos) = (i as f32 * frequency).sin_cos();
            }
        }
    }
}

/// Turns the first `heads` heads of each row by its place. x: `[n, all heads * head_dim]`; turns:
/// `[places, 2 * pairs]`, by [`Rotary::extend`]; places: `[n]`.
pub fn rotary(
    cpu: &Cpu,
    x: &mut Rows,
    heads: usize,
    head_dim: usize,
    turns: &Rows,
    places: &[u32],
) {
    let (set, d) = (cpu.instruction_set(), x.d());
    assert!(heads * head_dim <= d && turns.d() <= head_dim, "{heads} heads of {head_dim} in {d}");
    assert_eq!(places.len(), x.n(), "a place for each row");
    let chunks = x.as_mut_slice().par_chunks_mut(ROWS_PER_TASK * d);
    chunks.zip(places.par_chunks(ROWS_PER_TASK)).for_each(|(rows, places)| {
        for (row, place) in rows.chunks_exact_mut(d).zip(places) {
            let turn = turns.row(*place as usize);
            for head in row[..heads * head_dim].chunks_exact_mut(head_dim) {
                turn_row(set, head, turn);
            }
        }
    });
}

multiversion! {
    /// head: `[head_dim]`; turn: `[2 * pairs]`.
    fn turn_row(head: &mut [f32], turn: &[f32]) = turn_body
}

#[inline(always)]
fn turn_body<const FMA: bool>(head: &mut [f32], turn: &[f32]) {
    let (cosines, sines) = turn.split_at(turn.len() / 2);
    let (first, second) = head.split_at_mut(cosines.len());
    for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}
