//! What becomes of the sums of a tile?

use super::linear::Activation;
use super::math;
use super::shared::Tile;
use super::tile::Step;
use crate::device::InstructionSet;

/// out becomes `activation(sums + bias)`. sums: `[rows]`, f32; bias: `[cols]`, of at most one panel.
pub fn finish(
    set: InstructionSet,
    sums: &[Step],
    bias: &[f32],
    activation: Activation,
    tile: &mut Tile<'_>,
) {
    match activation {
        Activation::None => finish_linear(set, sums, bias, tile),
        Activation::Gelu => finish_gelu(set, sums, bias, tile),
        Activation::GeluTanh => finish_gelu_tanh(set, sums, bias, tile),
        Activation::Relu => finish_relu(set, sums, bias, tile),
        Activation::Silu => finish_silu(set, sums, bias, tile),
        Activation::Tanh => finish_tanh(set, sums, bias, tile),
    }
}

macro_rules! finish {
    ($name:ident, $body:ident, $value:ident => $then:expr) => {
        #[inline(always)]
        fn $body<const FMA: bool>(sums: &[Step], bias: &[f32], tile: &mut Tile<'_>) {
            for i in 0..tile.rows() {
                let values = tile.row(i).iter_mut().zip(&sums[i].0).zip(bias);
                for ((value, sum), bias) in values {
                    let $value = f32::from_bits(*sum) + bias;
                    *value = $then;
                }
            }
        }
        multiversion! { fn $name(sums: &[Step], bias: &[f32], tile: &mut Tile<'_>) = $body }
    };
}
finish!(finish_linear, finish_linear_body, x => x);
finish!(finish_gelu, finish_gelu_body, x => math::gelu::<FMA>(x));
finish!(finish_gelu_tanh, finish_gelu_tanh_body, x => math::gelu_tanh::<FMA>(x));
finish!(finish_relu, finish_relu_body, x => if x > 0.0 { x } else { 0.0 });
finish!(finish_silu, finish_silu_body, x => math::silu::<FMA>(x));
finish!(finish_tanh, finish_tanh_body, x => math::tanh::<FMA>(x));
