//! Linear layers with their activation.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::Activation;
use super::epilogue::epilogue;
use super::packing::{self, Packed, RowScale};
use super::shared::{self, Shared};
use super::tile::{Kernel, PANEL, ROWS_MAX, Step};
use crate::device::{Cpu, Dtype, InstructionSet, Rows};

/// Rows of one task: with their outputs they stay in L2 while every panel passes.
const ROWS_PER_TASK: usize = 8 * ROWS_MAX;

/// Multiplications that are worth a task of their own: some microseconds.
const PRODUCTS_PER_TASK: usize = 1 << 19;

/// How many steps ahead a single tile prefetches: 8 KiB. Tiles that share a panel prefetch the next
/// one, each its part.
const STEPS_AHEAD: usize = 64;

/// Rows that one task packs.
const ROWS_PER_PACKING: usize = 32;

/// A linear layer `y = x W^T + b`, laid out for the kernel.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Packed,
    /// `[outputs]`.
    bias: Vec<f32>,
    inputs: usize,
}

impl Linear {
    /// weight: `[outputs, inputs]`, row-major, as checkpoints store it; bias: `[outputs]`.
    pub fn new(weight: &[f32], bias: Vec<f32>, inputs: usize) -> Self {
        Self::with_dtype(weight, bias, inputs, Dtype::F32)
    }

    /// A layer that multiplies in `dtype`. weight: `[outputs, inputs]`; bias: `[outputs]`.
    pub fn with_dtype(weight: &[f32], bias: Vec<f32>, inputs: usize, dtype: Dtype) -> Self {
        let outputs = bias.len();
        assert_eq!(weight.len(), outputs * inputs, "a weight of [{outputs}, {inputs}]");
        Self { weight: Packed::new(weight, outputs, inputs, dtype), bias, inputs }
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The integer that the largest activation of a row becomes.
    #[cfg(test)]
    pub(super) fn activation_max(&self) -> f32 {
        self.weight.activation_max
    }

    pub fn outputs(&self) -> usize {
        self.bias.len()
    }
}

/// Rows as words of a layer's type, which a thread keeps for its next product.
#[derive(Default)]
struct Scratch {
    /// `[n, steps]`.
    words: Vec<u32>,
    /// `[n]`.
    scales: Vec<RowScale>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// out becomes `[x.n(), outputs]`: `activation(x W^T + b)`. x: `[n, inputs]`.
///
/// Tested against f64: at f32 to 3e-6 of `sum |x w|`; in the other types to the effect of rounding
/// each operand to its type, and 3e-6 of `sum |x w|`.
pub fn linear(cpu: &Cpu, layer: &Linear, x: &Rows, activation: Activation, out: &mut Rows) {
    assert_eq!(x.d(), layer.inputs, "inputs of a linear layer");
    out.resize(x.n(), layer.outputs());
    if x.n() == 0 || layer.outputs() == 0 {
        return;
    }
    let set = cpu.instruction_set();
    let weight = &layer.weight;
    if weight.dtype == Dtype::F32 {
        let words = shared::words(x.as_slice());
        return product(set, layer, Operand { words, scales: &[] }, x.n(), activation, out);
    }
    // Taken, not borrowed: a thread that waits for its tasks may begin another product.
    let mut scratch = SCRATCH.take();
    let Scratch { words, scales } = &mut scratch;
    words.resize(x.n() * weight.steps, 0);
    scales.resize(x.n(), RowScale::default());
    words
        .par_chunks_mut(ROWS_PER_PACKING * weight.steps)
        .zip(scales.par_chunks_mut(ROWS_PER_PACKING))
        .zip(x.as_slice().par_chunks(ROWS_PER_PACKING * layer.inputs))
        .for_each(|((words, scales), rows)| {
            let rows = rows.chunks_exact(layer.inputs);
            let rows = rows.zip(words.chunks_exact_mut(weight.steps)).zip(scales);
            rows.for_each(|((row, words), scale)| {
                packing::pack_row(set, weight, row, words, scale)
            });
        });
    product(set, layer, Operand { words, scales }, x.n(), activation, out);
    SCRATCH.set(scratch);
}

/// Rows as words, `[n, steps]`, and the scales of integer rows, `[n]`.
#[derive(Clone, Copy)]
struct Operand<'a> {
    words: &'a [u32],
    scales: &'a [RowScale],
}

fn product(
    set: InstructionSet,
    layer: &Linear,
    x: Operand<'_>,
    n: usize,
    activation: Activation,
    out: &mut Rows,
) {
    let panels = layer.weight.panels();
    let rows_per_task = ROWS_PER_TASK.min(n);
    let worth = PRODUCTS_PER_TASK.div_ceil(rows_per_task * layer.inputs * PANEL);
    let across = (panels / worth.min(panels)).next_power_of_two().min(panels);
    let panels_per_task = panels.div_ceil(across);
    let across = panels.div_ceil(panels_per_task);
    let outputs = layer.outputs();
    let shared = Shared::new(out.as_mut_slice(), outputs);
    let kernel = Kernel::new(set, layer.weight.dtype);
    let part = |task: usize| {
        let row = task / across * ROWS_PER_TASK;
        let rows = row..(row + ROWS_PER_TASK).min(n);
        let first = task % across * panels_per_task;
        for panel in first..(first + panels_per_task).min(panels) {
            let block = Block { set, kernel, layer, panel, rows: rows.clone(), activation };
            block.compute(x, &shared);
        }
    };
    let tasks = n.div_ceil(ROWS_PER_TASK) * across;
    if tasks == 1 {
        part(0);
    } else {
        (0..tasks).into_par_iter().for_each(part);
    }
}

/// The product of some rows of x and one panel of the weights.
struct Block<'a> {
    set: InstructionSet,
    kernel: Kernel,
    layer: &'a Linear,
    panel: usize,
    rows: Range<usize>,
    activation: Activation,
}

impl Block<'_> {
    fn compute(&self, x: Operand<'_>, out: &Shared<'_>) {
        let Linear { weight, bias, .. } = self.layer;
        let (steps, panel) = (weight.steps, weight.panel(self.panel));
        let cols = self.panel * PANEL..((self.panel + 1) * PANEL).min(bias.len());
        let (mut sums, mut values) = ([Step::ZERO; ROWS_MAX], [Step::ZERO; ROWS_MAX]);
        let height = self.kernel.height(self.rows.len());
        let (tiles, pieces) =
            (self.rows.len().div_ceil(height), steps.div_ceil(weight.steps_per_sum));
        let lead = if tiles == 1 { STEPS_AHEAD.min(steps) } else { steps };
        for (i_tile, row) in self.rows.clone().step_by(height).enumerate() {
            let ahead = |piece: usize| {
                weight.prefetched(self.panel, lead, i_tile * pieces + piece, tiles * pieces)
            };
            let rows = row..(row + height).min(self.rows.end);
            let words = &x.words[row * steps..];
            match weight.scales.get(self.panel) {
                None => self.kernel.run(rows.len(), words, steps, panel, &mut values, 1, ahead(0)),
                Some(scales) => {
                    for (i, panel) in panel.chunks(weight.steps_per_sum).enumerate() {
                        let words = &words[i * weight.steps_per_sum..];
                        self.kernel.run(rows.len(), words, steps, panel, &mut sums, 1, ahead(i));
                        let rows = &x.scales[rows.clone()];
                        packing::dequantise(self.set, &sums, &mut values, rows, scales, i > 0);
                    }
                }
            }
            // SAFETY: tasks differ in their rows or in their panels.
            let mut tile = unsafe { out.tile(rows, cols.clone()) };
            epilogue(self.set, &values, &bias[cols.clone()], self.activation, &mut tile);
        }
    }
}
