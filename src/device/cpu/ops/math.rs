//! Functions of one number that the compiler vectorises, and reductions of a row.
//!
//! Every function here is a straight line of additions, products and selections.

use std::f32::consts::{LN_2, LOG2_E};

/// Partial results of a reduction: two AVX-512 registers, four of AVX2.
pub const LANES: usize = 32;

/// `a * b + c`, in one rounding where the instruction set has it.
#[inline(always)]
pub fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// 2^x to a relative error of 2.5e-7 for x in [-126, 128). Below that it is 2^-126, the least
/// normal number: subnormal ones would cost 100 cycles each.
///
/// x = n + r with |r| <= 1/2, exactly; 2^r is a polynomial of degree 5 that is 1 at 0 and nowhere
/// wrong by more than 1.1e-7 of it (minimax), and 2^n goes into the exponent bits.
#[inline(always)]
pub fn exp2<const FMA: bool>(x: f32) -> f32 {
    /// 1.5 * 2^23: adding it rounds to a whole number, which then lies in the low bits.
    const ROUNDER: f32 = 12_582_912.0;
    let x = if x < -126.0 { -126.0 } else { x };
    let shifted = x + ROUNDER;
    let r = x - (shifted - ROUNDER);
    let mut p = 1.330_060_5e-3;
    p = fma::<FMA>(p, r, 9.669_691e-3);
    p = fma::<FMA>(p, r, 5.550_558_5e-2);
    p = fma::<FMA>(p, r, 0.240_222_83);
    p = fma::<FMA>(p, r, LN_2);
    p = fma::<FMA>(p, r, 1.0);
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// e^x to a relative error of 3e-7 + 1e-7 |x| for x in [-87, 88]; outside as at the nearer end.
#[inline(always)]
pub fn exp<const FMA: bool>(x: f32) -> f32 {
    let x = if x > 88.0 { 88.0 } else { x };
    exp2::<FMA>(x * LOG2_E)
}

/// x Phi(x), Phi the normal distribution, to an absolute error of 7e-7.
///
/// It is relu(x) - |x| Phi(-|x|), in which nothing cancels, and log2 Phi(-|x|) is so smooth that a
/// polynomial of degree 5 suffices: a minimax fit of the product on [0, 9], beyond which it keeps
/// falling.
#[inline(always)]
pub fn gelu<const FMA: bool>(x: f32) -> f32 {
    let z = x.abs();
    let mut p = -4.732_939e-4;
    p = fma::<FMA>(p, z, 7.084_46e-3);
    p = fma::<FMA>(p, z, -5.182_716_6e-2);
    p = fma::<FMA>(p, z, -0.459_992_65);
    p = fma::<FMA>(p, z, -1.150_787_7);
    p = fma::<FMA>(p, z, -1.000_037_7);
    let relu = if x > 0.0 { x } else { 0.0 };
    fma::<FMA>(-z, exp2::<FMA>(p), relu)
}

/// The tanh form of gelu: x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3); to 1e-6.
#[inline(always)]
pub fn gelu_tanh<const FMA: bool>(x: f32) -> f32 {
    const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
    let twice_u = TWICE_SQRT_2_OVER_PI * x * fma::<FMA>(0.044_715, x * x, 1.0);
    x / (1.0 + exp::<FMA>(-twice_u))
}

/// x / (1 + e^-x), to 1e-6.
#[inline(always)]
pub fn silu<const FMA: bool>(x: f32) -> f32 {
    x / (1.0 + exp::<FMA>(-x))
}

/// tanh x = 1 - 2 / (e^2x + 1), to 2e-7.
#[inline(always)]
pub fn tanh<const FMA: bool>(x: f32) -> f32 {
    1.0 - 2.0 / (exp::<FMA>(2.0 * x) + 1.0)
}

/// Reduces the lanes by halves, which the compiler does within a register.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [16, 8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
    }
    lanes[0]
}

/// Runs `$body` on each block of [`LANES`] values of `$row`, the last one padded with `$pad`. A
/// macro, because a closure would not be compiled for the instruction set of its caller.
macro_rules! for_blocks {
    ($row:ident, $pad:expr, |$block:ident| $body:expr) => {{
        let (blocks, rest) = $row.as_chunks::<LANES>();
        for $block in blocks {
            $body
        }
        if !rest.is_empty() {
            let mut last = [$pad; LANES];
            last[..rest.len()].copy_from_slice(rest);
            let $block = &last;
            $body
        }
    }};
}

/// The sum of `row`. row: `[d]`.
#[inline(always)]
pub fn sum<const FMA: bool>(row: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    for_blocks!(row, 0.0, |block| {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane += value;
        }
    });
    fold(lanes, |a, b| a + b)
}

/// The sum of `(value - center)^2`. row: `[d]`.
#[inline(always)]
pub fn squares<const FMA: bool>(row: &[f32], center: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    for_blocks!(row, center, |block| {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane = fma::<FMA>(value - center, value - center, *lane);
        }
    });
    fold(lanes, |a, b| a + b)
}

/// The maximum of `row`. row: `[d]`, d > 0.
#[inline(always)]
pub fn max(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for_blocks!(row, f32::NEG_INFINITY, |block| {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane = greater(value, *lane);
        }
    });
    fold(lanes, |a, b| greater(b, a))
}

/// The minimum and the maximum of `row` and 0, or NaN twice if a value is not finite. row: `[d]`.
#[inline(always)]
pub fn range<const FMA: bool>(row: &[f32]) -> (f32, f32) {
    let (mut min, mut max) = ([0.0; LANES], [0.0; LANES]);
    // Zero as long as every value is finite.
    let mut poison = [0.0_f32; LANES];
    for_blocks!(row, 0.0, |block| {
        for (i, &value) in block.iter().enumerate() {
            min[i] = if value < min[i] { value } else { min[i] };
            max[i] = greater(value, max[i]);
            poison[i] = fma::<FMA>(value, 0.0, poison[i]);
        }
    });
    let poison = fold(poison, |a, b| a + b);
    let min = fold(min, |a, b| if b < a { b } else { a });
    let max = fold(max, |a, b| greater(b, a));
    (min + poison, max + poison)
}

/// The greater one, `b` if they cannot be compared: one instruction.
#[inline(always)]
pub fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::*;

    fn worst(from: f32, to: f32, error: impl Fn(f32) -> f64) -> f64 {
        (0..=200_000).map(|i| error(from + (to - from) * i as f32 / 200_000.0)).fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_right_to_3e_7_and_1e_7_of_its_argument() {
        for f in [exp2::<true>, exp2::<false>] {
            let error = |x| (f64::from(f(x)) / f64::from(x).exp2() - 1.0).abs();
            let worst = worst(-126.0, 127.9, error);
            assert!(worst < 2.5e-7, "{worst:e}");
            assert!(f(0.0) == 1.0 && f(-1e30) == f(-126.0) && f(-1e30).is_normal());
        }
        for f in [exp::<true>, exp::<false>] {
            let error = |x| {
                let error = (f64::from(f(x)) / f64::from(x).exp() - 1.0).abs();
                error / (3e-7 + 1e-7 * f64::from(x.abs()))
            };
            let worst = worst(-87.0, 87.9, error);
            assert!(worst < 1.0, "{worst:e}");
            assert!(f(1e30).is_finite() && f(f32::NAN).is_nan());
        }
    }

    #[test]
    fn gelu_is_right_to_7e_7() {
        for f in [gelu::<true>, gelu::<false>] {
            let error = |x| (f64::from(f(x)) - reference::gelu(f64::from(x))).abs();
            let near = worst(-14.0, 14.0, error);
            assert!(near < 7e-7, "{near:e}");
            assert_eq!((f(0.0), f(50.0), f(-50.0).abs() < 1e-30), (0.0, 50.0, true));
        }
    }

    #[test]
    fn the_tanh_form_of_gelu_is_right_to_1e_6() {
        for f in [gelu_tanh::<true>, gelu_tanh::<false>] {
            let error = worst(-10.0, 10.0, |x| {
                (f64::from(f(x)) - reference::gelu_tanh(f64::from(x))).abs()
            });
            assert!(error < 1e-6, "{error:e}");
            assert!(f(-1e4).abs() < 1e-30 && f(1e4) == 1e4);
        }
    }
}
