//! How is a row brought to mean 0 and variance 1?

use rayon::prelude::*;

use super::math;
use crate::device::{Device, Rows};

/// Rows that one task normalises.
pub(super) const ROWS_PER_TASK: usize = 16;

/// A layer norm (Ba, Kiros and Hinton, 2016).
#[derive(Debug, Clone)]
pub struct Norm {
    /// `[d]`.
    pub weight: Vec<f32>,
    /// `[d]`.
    pub bias: Vec<f32>,
    /// Added to the variance.
    pub eps: f32,
}

/// x becomes `norm(x + y)`. x, y: `[n, d]`.
pub fn residual_norm(device: &Device, x: &mut Rows, y: &Rows, norm: &Norm) {
    let d = x.d();
    assert_eq!((y.n(), y.d(), norm.weight.len()), (x.n(), d, d), "shapes of a residual norm");
    let set = device.instruction_set();
    let chunk = ROWS_PER_TASK * d;
    x.as_mut_slice().par_chunks_mut(chunk).zip(y.as_slice().par_chunks(chunk)).for_each(
        |(x, y)| {
            for (x, y) in x.chunks_exact_mut(d).zip(y.chunks_exact(d)) {
                add_norm_row(set, x, y, norm);
            }
        },
    );
}

multiversion! {
    /// x becomes `norm(x + y)`. x, y: `[d]`.
    pub(super) fn add_norm_row(x: &mut [f32], y: &[f32], norm: &Norm) = add_norm_body
}

#[inline(always)]
fn add_norm_body<const FMA: bool>(x: &mut [f32], y: &[f32], norm: &Norm) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
    let count = x.len() as f32;
    let mean = math::sum::<FMA>(x) / count;
    let variance = math::squares::<FMA>(x, mean) / count;
    let scale = 1.0 / (variance + norm.eps).sqrt();
    for ((x, weight), bias) in x.iter_mut().zip(&norm.weight).zip(&norm.bias) {
        *x = math::fma::<FMA>((*x - mean) * scale, *weight, *bias);
    }
}
