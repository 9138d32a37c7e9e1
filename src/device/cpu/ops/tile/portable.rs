//! The tile's loop in plain Rust: the fallback of every processor, and the reference of the vector
//! builds.

use super::{Kernel, PANEL, Run, Step};
use crate::device::Dtype;

/// Rows of the tallest tile, and outputs that are summed at a time: sums fit 16 registers of four.
const ROWS: usize = 4;
const COLUMNS: usize = 8;

pub fn kernel(dtype: Dtype) -> Kernel {
    let run: Run = match dtype {
        Dtype::F32 => f32,
        Dtype::Bf16 => bf16,
        Dtype::Int16 => int16,
        Dtype::Int8 => int8,
        Dtype::F16 => unreachable!("f16 is for GPUs"),
    };
    Kernel { rows_max: ROWS, run }
}

macro_rules! build {
    ($name:ident, |$sum:ident, $x:ident, $w:ident| $dot:expr) => {
        fn $name(
            rows: usize,
            x: &[u32],
            stride: usize,
            panel: &[Step],
            sums: &mut [Step],
            across: usize,
            _ahead: &[Step],
        ) {
            tile(rows, x, stride, panel, sums, across, |$sum, $x, $w| $dot);
        }
    };
}

build!(f32, |sum, x, w| add(sum, f32::from_bits(x) * f32::from_bits(w)));
build!(bf16, |sum, x, w| add(add(sum, low(x) * low(w)), high(x) * high(w)));
build!(int16, |sum, x, w| {
    let halves = |word: u32| [i32::from(word as i16), word as i32 >> 16];
    let ([x0, x1], [w0, w1]) = (halves(x), halves(w));
    // The products are cast, not summed as i32: 2 * 2^30 is one too many for it.
    sum.wrapping_add((x0 * w0) as u32).wrapping_add((x1 * w1) as u32)
});
build!(int8, |sum, x, w| {
    let product = |i: u32| (x >> (8 * i) & 0xff) as i32 * i32::from((w >> (8 * i)) as i8);
    sum.wrapping_add((product(0) + product(1) + product(2) + product(3)) as u32)
});

#[inline(always)]
fn tile(
    rows: usize,
    x: &[u32],
    stride: usize,
    panel: &[Step],
    sums: &mut [Step],
    across: usize,
    dot: impl Fn(u32, u32, u32) -> u32,
) {
    for column in (0..PANEL).step_by(COLUMNS) {
        let mut tile = [[0; COLUMNS]; ROWS];
        for (s, step) in panel.iter().enumerate() {
            let weights = &step.0[column..column + COLUMNS];
            for (r, row) in tile[..rows].iter_mut().enumerate() {
                let word = x[r * stride + s];
                for (sum, weight) in row.iter_mut().zip(weights) {
                    *sum = dot(*sum, word, *weight);
                }
            }
        }
        for (r, row) in tile[..rows].iter().enumerate() {
            sums[r * across].0[column..column + COLUMNS].copy_from_slice(row);
        }
    }
}

fn add(sum: u32, product: f32) -> u32 {
    (f32::from_bits(sum) + product).to_bits()
}

fn low(word: u32) -> f32 {
    f32::from_bits(word << 16)
}

fn high(word: u32) -> f32 {
    f32::from_bits(word & 0xffff_0000)
}
