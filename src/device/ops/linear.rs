//! How do rows pass through a linear layer and its activation?

use std::ops::Range;

use rayon::prelude::*;

use super::math;
use super::matmul::{Shared, View};
use crate::device::{Device, InstructionSet, Rows};

/// Rows of one task: with one panel of a weight it is some 10 MFLOP on any number of threads.
const ROWS_PER_TASK: usize = 128;

/// Columns of one panel of a weight: the register tile of the AVX-512 kernel. A short query has a
/// task for each panel, so that it uses all cores too.
const PANEL: usize = 64;

/// What is done to each value after the product and the bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    None,
    /// x Phi(x).
    Gelu,
    /// Gelu by the tanh formula.
    GeluTanh,
    Relu,
    /// x / (1 + e^-x).
    Silu,
    Tanh,
}

/// A linear layer `y = x W^T + b`, laid out for the kernel.
#[derive(Debug, Clone)]
pub struct Linear {
    /// W transposed, in panels of [`PANEL`] outputs, each `[inputs, its outputs]` in one piece: the
    /// kernel reads a panel from end to end and packs nothing anew.
    panels: Vec<f32>,
    /// `[outputs]`.
    bias: Vec<f32>,
    inputs: usize,
}

impl Linear {
    /// weight: `[outputs, inputs]`, row-major, as checkpoints store it; bias: `[outputs]`.
    pub fn new(weight: &[f32], bias: Vec<f32>, inputs: usize) -> Self {
        let outputs = bias.len();
        assert_eq!(weight.len(), outputs * inputs, "a weight of [{outputs}, {inputs}]");
        let mut panels = Vec::with_capacity(weight.len());
        for panel in weight.chunks(PANEL * inputs) {
            for i in 0..inputs {
                panels.extend(panel[i..].iter().step_by(inputs));
            }
        }
        Self { panels, bias, inputs }
    }

    /// The weights of the outputs `cols`, one panel: `[inputs, cols]`.
    fn panel(&self, cols: &Range<usize>) -> View<'_> {
        let values = &self.panels[cols.start * self.inputs..cols.end * self.inputs];
        View::new(values, cols.len(), 0..self.inputs, 0..cols.len())
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn outputs(&self) -> usize {
        self.bias.len()
    }
}

/// out becomes `[x.n(), outputs]`: `activation(x W^T + b)`. x: `[n, inputs]`.
pub fn linear(device: &Device, layer: &Linear, x: &Rows, activation: Activation, out: &mut Rows) {
    assert_eq!(x.d(), layer.inputs, "inputs of a linear layer");
    let (n, outputs) = (x.n(), layer.outputs());
    out.resize(n, outputs);
    if n == 0 {
        return;
    }
    let set = device.instruction_set();
    let across = outputs.div_ceil(PANEL);
    let shared = Shared::new(out.as_mut_slice(), outputs);
    (0..n.div_ceil(ROWS_PER_TASK) * across).into_par_iter().for_each(|task| {
        let row = task / across * ROWS_PER_TASK;
        let col = task % across * PANEL;
        let rows = row..(row + ROWS_PER_TASK).min(n);
        let cols = col..(col + PANEL).min(outputs);
        // SAFETY: tasks differ in their rows or in their columns.
        let mut tile = unsafe { shared.tile(rows.clone(), cols.clone()) };
        let x = View::new(x.as_slice(), layer.inputs, rows, 0..layer.inputs);
        tile.product(x, layer.panel(&cols), 1.0);
        for i in 0..tile.rows() {
            epilogue(set, tile.row(i), &layer.bias[cols.clone()], activation);
        }
    });
}

fn epilogue(set: InstructionSet, row: &mut [f32], bias: &[f32], activation: Activation) {
    match activation {
        Activation::None => bias_only(set, row, bias),
        Activation::Gelu => bias_gelu(set, row, bias),
        Activation::GeluTanh => bias_gelu_tanh(set, row, bias),
        Activation::Relu => bias_relu(set, row, bias),
        Activation::Silu => bias_silu(set, row, bias),
        Activation::Tanh => bias_tanh(set, row, bias),
    }
}

macro_rules! epilogue {
    ($name:ident, $body:ident, $value:ident => $then:expr) => {
        #[inline(always)]
        fn $body<const FMA: bool>(row: &mut [f32], bias: &[f32]) {
            for (value, bias) in row.iter_mut().zip(bias) {
                let $value = *value + bias;
                *value = $then;
            }
        }
        multiversion! { fn $name(row: &mut [f32], bias: &[f32]) = $body }
    };
}
epilogue!(bias_only, bias_only_body, x => x);
epilogue!(bias_gelu, bias_gelu_body, x => math::gelu::<FMA>(x));
epilogue!(bias_gelu_tanh, bias_gelu_tanh_body, x => math::gelu_tanh::<FMA>(x));
epilogue!(bias_relu, bias_relu_body, x => if x > 0.0 { x } else { 0.0 });
epilogue!(bias_silu, bias_silu_body, x => math::silu::<FMA>(x));
epilogue!(bias_tanh, bias_tanh_body, x => math::tanh::<FMA>(x));
