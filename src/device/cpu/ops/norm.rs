//! Layer norm and RMS norm, with the residual before them.

use std::ops::Range;

use rayon::prelude::*;

use super::math;
use crate::device::{Cpu, Rows};

/// Rows that one task normalises.
pub(super) const ROWS_PER_TASK: usize = 16;

/// The property of a row after its norm, before the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// Mean 0 and variance 1 (Ba, Kiros and Hinton, 2016).
    Layer,
    /// Mean square 1 (Zhang and Sennrich, 2019).
    Rms,
}

/// A norm and its weights.
#[derive(Debug, Clone)]
pub struct Norm {
    pub kind: NormKind,
    /// `[d]`.
    pub weight: Vec<f32>,
    /// `[d]`.
    pub bias: Option<Vec<f32>>,
    /// Added to the variance or to the mean square.
    pub eps: f32,
}

/// out becomes `norm(x)`. x, out: `[n, d]`.
pub fn norm(cpu: &Cpu, x: &Rows, norm: &Norm, out: &mut Rows) {
    let (set, d) = (cpu.instruction_set(), x.d());
    assert_eq!(norm.weight.len(), d, "values of a norm");
    out.resize(x.n(), d);
    for_rows(out, x, |out, x| {
        out.copy_from_slice(x);
        norm_row(set, out, norm);
    });
}

/// x becomes `norm(x + y)`. x, y: `[n, d]`.
pub fn residual_norm(cpu: &Cpu, x: &mut Rows, y: &Rows, norm: &Norm) {
    let set = cpu.instruction_set();
    assert_eq!(norm.weight.len(), x.d(), "values of a norm");
    for_rows(x, y, |x, y| add_norm_row(set, x, y, norm));
}

/// x becomes `x + y`. x, y: `[n, d]`.
pub fn residual(cpu: &Cpu, x: &mut Rows, y: &Rows) {
    let set = cpu.instruction_set();
    for_rows(x, y, |x, y| add_row(set, x, y));
}

/// Normalises each of `heads` in each row. x: `[n, all heads * head_dim]`.
pub fn norm_heads(cpu: &Cpu, x: &mut Rows, heads: Range<usize>, norm: &Norm) {
    let (set, d, head_dim) = (cpu.instruction_set(), x.d(), norm.weight.len());
    assert!(heads.end * head_dim <= d, "heads {heads:?} of {head_dim} in rows of {d}");
    let cols = heads.start * head_dim..heads.end * head_dim;
    x.as_mut_slice().par_chunks_mut(ROWS_PER_TASK * d).for_each(|rows| {
        for row in rows.chunks_exact_mut(d) {
            for head in row[cols.clone()].chunks_exact_mut(head_dim) {
                norm_row(set, head, norm);
            }
        }
    });
}

/// Calls `f` for each pair of rows. x, y: `[n, d]`.
fn for_rows(x: &mut Rows, y: &Rows, f: impl Fn(&mut [f32], &[f32]) + Sync) {
    let d = x.d();
    assert_eq!((y.n(), y.d()), (x.n(), d), "shapes of two operands");
    let chunk = ROWS_PER_TASK * d;
    x.as_mut_slice()
        .par_chunks_mut(chunk)
        .zip(y.as_slice().par_chunks(chunk))
        .for_each(|(x, y)| x.chunks_exact_mut(d).zip(y.chunks_exact(d)).for_each(|(x, y)| f(x, y)));
}

multiversion! {
    /// x becomes `norm(x + y)`. x, y: `[d]`.
    fn add_norm_row(x: &mut [f32], y: &[f32], norm: &Norm) = add_norm_body
}

multiversion! {
    /// x becomes `norm(x)`. x: `[d]`.
    pub(super) fn norm_row(x: &mut [f32], norm: &Norm) = norm_body
}

multiversion! {
    /// x becomes `x + y`. x, y: `[d]`.
    pub(super) fn add_row(x: &mut [f32], y: &[f32]) = add_body
}

#[inline(always)]
fn add_norm_body<const FMA: bool>(x: &mut [f32], y: &[f32], norm: &Norm) {
    add_body::<FMA>(x, y);
    norm_body::<FMA>(x, norm);
}

#[inline(always)]
fn add_body<const FMA: bool>(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

#[inline(always)]
fn norm_body<const FMA: bool>(x: &mut [f32], norm: &Norm) {
    let count = x.len() as f32;
    let mean = match norm.kind {
        NormKind::Layer => math::sum::<FMA>(x) / count,
        NormKind::Rms => 0.0,
    };
    let variance = math::squares::<FMA>(x, mean) / count;
    let scale = 1.0 / (variance + norm.eps).sqrt();
    match &norm.bias {
        Some(bias) => {
            for ((x, weight), bias) in x.iter_mut().zip(&norm.weight).zip(bias) {
                *x = math::fma::<FMA>((*x - mean) * scale, *weight, *bias);
            }
        }
        None => {
            for (x, weight) in x.iter_mut().zip(&norm.weight) {
                *x = (*x - mean) * scale * weight;
            }
        }
    }
}
