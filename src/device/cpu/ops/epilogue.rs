//! The epilogue of a linear layer: bias and activation, applied to the sums of a tile.

use super::Activation;
use super::math;
use super::shared::Tile;
use super::tile::Step;
use crate::device::InstructionSet;

/// out becomes `activation(sums + bias)`. sums: `[rows]`, f32; bias: `[cols]`, of at most one
/// panel.
pub fn epilogue(
    set: InstructionSet,
    sums: &[Step],
    bias: &[f32],
    activation: Activation,
    tile: &mut Tile<'_>,
) {
    match activation {
        Activation::None => epilogue_linear(set, sums, bias, tile),
        Activation::Gelu => epilogue_gelu(set, sums, bias, tile),
        Activation::GeluTanh => epilogue_gelu_tanh(set, sums, bias, tile),
        Activation::Relu => epilogue_relu(set, sums, bias, tile),
        Activation::Silu => epilogue_silu(set, sums, bias, tile),
        Activation::Tanh => epilogue_tanh(set, sums, bias, tile),
    }
}

macro_rules! epilogue {
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
epilogue!(epilogue_linear, epilogue_linear_body, x => x);
epilogue!(epilogue_gelu, epilogue_gelu_body, x => math::gelu::<FMA>(x));
epilogue!(epilogue_gelu_tanh, epilogue_gelu_tanh_body, x => math::gelu_tanh::<FMA>(x));
epilogue!(epilogue_relu, epilogue_relu_body, x => if x > 0.0 { x } else { 0.0 });
epilogue!(epilogue_silu, epilogue_silu_body, x => math::silu::<FMA>(x));
epilogue!(epilogue_tanh, epilogue_tanh_body, x => math::tanh::<FMA>(x));
