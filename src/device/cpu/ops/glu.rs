//! Gated linear units: one half of a row gates the other.

use rayon::prelude::*;

use super::norm::ROWS_PER_TASK;
use super::{Activation, math};
use crate::device::{Cpu, InstructionSet, Rows};

/// out becomes `[n, d]`: `activation(gate) * up` (Shazeer, 2020).
///
/// gate_up: `[n, 2 * d]`, the gate of a row first.
pub fn glu(cpu: &Cpu, gate_up: &Rows, activation: Activation, out: &mut Rows) {
    let (set, d) = (cpu.instruction_set(), gate_up.d() / 2);
    assert_eq!(gate_up.d(), 2 * d, "a gate for each value");
    out.resize(gate_up.n(), d);
    let chunks = out.as_mut_slice().par_chunks_mut(ROWS_PER_TASK * d);
    chunks.zip(gate_up.as_slice().par_chunks(ROWS_PER_TASK * 2 * d)).for_each(|(out, gate_up)| {
        for (out, gate_up) in out.chunks_exact_mut(d).zip(gate_up.chunks_exact(2 * d)) {
            glu_row(set, &gate_up[..d], &gate_up[d..], activation, out);
        }
    });
}

/// gate, up, out: `[d]`.
fn glu_row(set: InstructionSet, gate: &[f32], up: &[f32], activation: Activation, out: &mut [f32]) {
    match activation {
        Activation::None => bilinear(set, gate, up, out),
        Activation::Gelu => gelu(set, gate, up, out),
        Activation::GeluTanh => gelu_tanh(set, gate, up, out),
        Activation::Relu => relu(set, gate, up, out),
        Activation::Silu => silu(set, gate, up, out),
        Activation::Tanh => tanh(set, gate, up, out),
    }
}

macro_rules! gated {
    ($name:ident, $body:ident, $value:ident => $then:expr) => {
        #[inline(always)]
        fn $body<const FMA: bool>(gate: &[f32], up: &[f32], out: &mut [f32]) {
            for ((out, up), gate) in out.iter_mut().zip(up).zip(gate) {
                let $value = *gate;
                *out = up * $then;
            }
        }
        multiversion! { fn $name(gate: &[f32], up: &[f32], out: &mut [f32]) = $body }
    };
}
gated!(bilinear, bilinear_body, x => x);
gated!(gelu, gelu_body, x => math::gelu::<FMA>(x));
gated!(gelu_tanh, gelu_tanh_body, x => math::gelu_tanh::<FMA>(x));
gated!(relu, relu_body, x => if x > 0.0 { x } else { 0.0 });
gated!(silu, silu_body, x => math::silu::<FMA>(x));
gated!(tanh, tanh_body, x => math::tanh::<FMA>(x));
