//! How do rows pass through a linear layer and its activation?

use rayon::prelude::*;

use super::math;
use super::matmul::{Shared, View};
use crate::device::{Device, InstructionSet, Rows};

/// Rows of one task: the tile of a wide layer still lies in the second-level cache when its
/// epilogue runs over it.
const ROWS_PER_TASK: usize = 128;

/// Columns of a task are a multiple of this: the width of the kernel's register tile, twice.
const COLS_UNIT: usize = 96;

/// Tasks that a layer is split into where its rows alone give fewer: enough for 32 cores, so that
/// one short query uses them too.
const TASKS_MIN: usize = 64;

/// What is done to each value after the product and the bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    None,
    /// x Phi(x).
    Gelu,
    /// Gelu by the tanh formula.
    GeluTanh,
    Relu,
}

/// A linear layer `y = x W^T + b`, laid out for the kernel.
#[derive(Debug, Clone)]
pub struct Linear {
    /// W transposed: `[inputs, outputs]`, so that the kernel reads it without packing it anew.
    weight: Vec<f32>,
    /// `[outputs]`.
    bias: Vec<f32>,
    inputs: usize,
}

impl Linear {
    /// weight: `[outputs, inputs]`, row-major, as checkpoints store it; bias: `[outputs]`.
    pub fn new(weight: &[f32], bias: Vec<f32>, inputs: usize) -> Self {
        let outputs = bias.len();
        assert_eq!(weight.len(), outputs * inputs, "a weight of [{outputs}, {inputs}]");
        let mut transposed = vec![0.0; weight.len()];
        for (o, row) in weight.chunks_exact(inputs).enumerate() {
            for (i, &value) in row.iter().enumerate() {
                transposed[i * outputs + o] = value;
            }
        }
        Self { weight: transposed, bias, inputs }
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
    let cols_per_task = cols_per_task(n, outputs);
    let across = outputs.div_ceil(cols_per_task);
    let shared = Shared::new(out.as_mut_slice(), outputs);
    (0..n.div_ceil(ROWS_PER_TASK) * across).into_par_iter().for_each(|task| {
        let row = task / across * ROWS_PER_TASK;
        let col = task % across * cols_per_task;
        let rows = row..(row + ROWS_PER_TASK).min(n);
        let cols = col..(col + cols_per_task).min(outputs);
        // SAFETY: tasks differ in their rows or in their columns.
        let mut tile = unsafe { shared.tile(rows.clone(), cols.clone()) };
        let a = View::new(x.as_slice(), layer.inputs, rows, 0..layer.inputs);
        let b = View::new(&layer.weight, outputs, 0..layer.inputs, cols.clone());
        tile.product(a, b, 1.0);
        for i in 0..tile.rows() {
            epilogue(set, tile.row(i), &layer.bias[cols.clone()], activation);
        }
    });
}

/// Depends on the shape only, so that any number of threads gives the same bytes.
fn cols_per_task(n: usize, outputs: usize) -> usize {
    let across = TASKS_MIN.div_ceil(n.div_ceil(ROWS_PER_TASK));
    outputs.div_ceil(across).next_multiple_of(COLS_UNIT)
}

fn epilogue(set: InstructionSet, row: &mut [f32], bias: &[f32], activation: Activation) {
    match activation {
        Activation::None => bias_only(set, row, bias),
        Activation::Gelu => bias_gelu(set, row, bias),
        Activation::GeluTanh => bias_gelu_tanh(set, row, bias),
        Activation::Relu => bias_relu(set, row, bias),
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
