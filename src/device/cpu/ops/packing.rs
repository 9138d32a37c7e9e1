//! Packing and quantisation: values become words that a tile multiplies, and sums become values.
//!
//! A value x is stored as an integer q with x = scale * (q - zero). Weights have a scale for each
//! output and no zero; activations a scale for each token, and at 8 bits a zero, so that a
//! product is
//!
//! ```text
//! y[t][o] = scale[t] * scale[o] * (sum of q[t] * q[o]  -  zero[t] * sum of q[o])
//! ```
//!
//! The sums are exact. At 16 bits they fit 32 because they are short, and because the largest
//! activation is chosen for the layer: no sum of |q[o]| times it passes 2^31. Short sums of a long
//! row are added in f32.

use super::math;
use super::shared::{bytes, halves};
use super::tile::{PANEL, Step};
use crate::device::Dtype;

/// The largest weight of an int16 layer: 13 bits with the sign.
const INT16_WEIGHT_MAX: f32 = 4095.0;

/// Steps of one sum of int16; longer sums would leave fewer bits for the activations.
const INT16_STEPS_PER_SUM: usize = 96;

/// The largest weight of an int8 layer.
const INT8_WEIGHT_MAX: f32 = 127.0;

/// The largest activation at 8 bits, which have no sign.
const INT8_ACTIVATION_MAX: f32 = 255.0;

/// 1.5 * 2^23: adding it to a number below 2^22 rounds that to the nearest integer, ties to even,
/// and leaves it in the low bits, two's complement.
const ROUNDER: f32 = 12_582_912.0;

/// The weights of a linear layer, packed for the tile.
#[derive(Debug, Clone)]
pub struct Packed {
    pub dtype: Dtype,
    /// Words of an input row.
    pub steps: usize,
    /// `[panels, steps]`, outputs beyond the last are 0.
    words: Vec<Step>,
    /// One for each panel of integers: `[panels]`.
    pub scales: Vec<Scales>,
    /// The integer that the largest activation of a row becomes.
    pub activation_max: f32,
    /// Steps that are summed before the sum becomes f32.
    pub steps_per_sum: usize,
}

/// The factors of the outputs of one panel of integers.
#[derive(Debug, Clone)]
pub struct Scales {
    pub scale: [f32; PANEL],
    /// The sum of the weights of each output, an integer.
    pub sum: [f32; PANEL],
}

/// The scale and the zero of a row of activations.
#[derive(Debug, Clone, Copy, Default)]
pub struct RowScale {
    pub scale: f32,
    /// An integer.
    pub zero: f32,
}

impl Packed {
    /// weight: `[outputs, inputs]`, row-major.
    pub fn new(weight: &[f32], outputs: usize, inputs: usize, dtype: Dtype) -> Self {
        let steps = inputs.div_ceil(dtype.per_word());
        let panels = outputs.div_ceil(PANEL);
        let mut packed = Self {
            dtype,
            steps,
            words: vec![Step::ZERO; panels * steps],
            scales: Vec::new(),
            activation_max: INT8_ACTIVATION_MAX,
            steps_per_sum: steps.max(1),
        };
        if dtype == Dtype::Int16 {
            packed.steps_per_sum = INT16_STEPS_PER_SUM;
        }
        if let Dtype::Int16 | Dtype::Int8 = dtype {
            packed.scales = vec![Scales { scale: [0.0; PANEL], sum: [0.0; PANEL] }; panels];
        }
        let mut weight_sum_max = 1;
        for (o, row) in weight.chunks_exact(inputs).enumerate() {
            weight_sum_max = weight_sum_max.max(packed.pack_output(o, row));
        }
        if dtype == Dtype::Int16 {
            let activation_max = i64::from(i32::MAX) / weight_sum_max;
            packed.activation_max = activation_max.min(i64::from(i16::MAX)) as f32;
        }
        packed
    }

    /// Stores the weights of output `o`, and returns the largest sum of their absolute values as
    /// integers. row: `[inputs]`.
    fn pack_output(&mut self, o: usize, row: &[f32]) -> i64 {
        let (panel, lane) = (o / PANEL, o % PANEL);
        let words = &mut self.words[panel * self.steps..][..self.steps];
        let integer_max = match self.dtype {
            Dtype::F32 | Dtype::Bf16 => {
                for (step, values) in words.iter_mut().zip(row.chunks(self.dtype.per_word())) {
                    step.0[lane] = match (self.dtype, values) {
                        (Dtype::F32, _) => values[0].to_bits(),
                        (_, [low, high]) => bf16(*low) | bf16(*high) << 16,
                        _ => bf16(values[0]),
                    };
                }
                return 0;
            }
            Dtype::Int16 => INT16_WEIGHT_MAX,
            Dtype::Int8 => INT8_WEIGHT_MAX,
            Dtype::F16 => unreachable!("f16 is for GPUs"),
        };
        let max = row.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
        let scale = if max > 0.0 { max / integer_max } else { 1.0 };
        let integer = |value: &f32| (value / scale).round_ties_even() as i32;
        let bits = 32 / self.dtype.per_word();
        for (step, values) in words.iter_mut().zip(row.chunks(self.dtype.per_word())) {
            for (i, value) in values.iter().enumerate() {
                let kept = integer(value) as u32 & (u32::MAX >> (32 - bits));
                step.0[lane] |= kept << (bits * i);
            }
        }
        self.scales[panel].scale[lane] = scale;
        self.scales[panel].sum[lane] = row.iter().map(integer).sum::<i32>() as f32;
        let values_per_sum = self.steps_per_sum * self.dtype.per_word();
        let sums = row.chunks(values_per_sum);
        let weights = sums.map(|sum| sum.iter().map(|value| i64::from(integer(value).abs())).sum());
        weights.max().unwrap_or(0)
    }

    pub fn panels(&self) -> usize {
        self.words.len().checked_div(self.steps).unwrap_or(0)
    }

    /// The words of one panel: `[steps, 32]`.
    pub fn panel(&self, panel: usize) -> &[Step] {
        &self.words[panel * self.steps..][..self.steps]
    }

    /// The words to prefetch while part `i` of `n` of a panel is computed: as many as a panel has,
    /// from `lead` steps behind the start of `panel` on; fewer where the words end.
    pub fn prefetched(&self, panel: usize, lead: usize, i: usize, n: usize) -> &[Step] {
        let at = |i: usize| (panel * self.steps + lead + self.steps * i / n).min(self.words.len());
        &self.words[at(i)..at(i + 1)]
    }
}

multiversion! {
    /// Packs `row` into `words` in the type of `packed`, with its scale. row: `[inputs]`; words:
    /// `[steps]`.
    pub fn pack_row(packed: &Packed, row: &[f32], words: &mut [u32], scale: &mut RowScale)
        = pack_row_body
}

#[inline(always)]
fn pack_row_body<const FMA: bool>(
    packed: &Packed,
    row: &[f32],
    words: &mut [u32],
    scale: &mut RowScale,
) {
    // The padding of the last word is zero.
    if let Some(last) = words.last_mut() {
        *last = 0;
    }
    match packed.dtype {
        Dtype::F32 => unreachable!("f32 is multiplied in place"),
        Dtype::F16 => unreachable!("f16 is for GPUs"),
        Dtype::Bf16 => {
            for (to, value) in halves(words).iter_mut().zip(row) {
                *to = bf16(*value) as u16;
            }
        }
        Dtype::Int16 => {
            let (min, max) = math::range::<FMA>(row);
            let max = if max > -min { max } else { -min };
            let inverse = if max > 0.0 { packed.activation_max / max } else { 0.0 };
            for (to, value) in halves(words).iter_mut().zip(row) {
                *to = math::fma::<FMA>(*value, inverse, ROUNDER).to_bits() as u16;
            }
            *scale = RowScale { scale: max / packed.activation_max, zero: 0.0 };
        }
        Dtype::Int8 => {
            let (min, max) = math::range::<FMA>(row);
            let range = max - min;
            let inverse = if range > 0.0 { INT8_ACTIVATION_MAX / range } else { 0.0 };
            let zero = (-min * inverse).round_ties_even();
            for (to, value) in bytes(words).iter_mut().zip(row) {
                let scaled = math::fma::<FMA>(*value, inverse, zero);
                let scaled =
                    if scaled < INT8_ACTIVATION_MAX { scaled } else { INT8_ACTIVATION_MAX };
                let scaled = if scaled > 0.0 { scaled } else { 0.0 };
                *to = (scaled + ROUNDER).to_bits() as u8;
            }
            *scale = RowScale { scale: range / INT8_ACTIVATION_MAX, zero };
        }
    }
}

multiversion! {
    /// values becomes the values of the integer `sums` of a tile, or grows by them if `add`. sums,
    /// values, rows: `[rows of the tile]`; values: f32.
    pub fn dequantise(sums: &[Step], values: &mut [Step], rows: &[RowScale], panel: &Scales, add: bool)
        = dequantise_body
}

#[inline(always)]
fn dequantise_body<const FMA: bool>(
    sums: &[Step],
    values: &mut [Step],
    rows: &[RowScale],
    panel: &Scales,
    add: bool,
) {
    for ((sums, values), row) in sums.iter().zip(values).zip(rows) {
        let of_panel = panel.sum.iter().zip(&panel.scale);
        for ((sum, value), (weights, scale)) in sums.0.iter().zip(&mut values.0).zip(of_panel) {
            let integer = math::fma::<FMA>(-row.zero, *weights, *sum as i32 as f32);
            let before = if add { f32::from_bits(*value) } else { 0.0 };
            *value = math::fma::<FMA>(integer, row.scale * scale, before).to_bits();
        }
    }
}

/// The nearest bf16, ties to even; NaN stays NaN.
#[inline(always)]
fn bf16(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    if value.is_nan() { bits >> 16 | 0x40 } else { rounded }
}
