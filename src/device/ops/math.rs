//! Which functions of one number can the compiler spread over the lanes of a vector register?
//!
//! Every function here is a straight line of additions, products and selections.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// Values that a reduction keeps apart: one AVX-512 register, two of AVX2.
pub const LANES: usize = 16;

/// `a * b + c`, in one rounding where the instruction set has it.
#[inline(always)]
pub fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// e^x to a relative error of 2e-7 for x in [-80, 88]; outside it is as at the nearer end. What is
/// made of the least value is a normal number still: subnormal ones would cost 100 cycles each.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r is its Taylor polynomial of degree 7 (remainder 5e-9),
/// and 2^n goes into the exponent bits. ln 2 is subtracted in two parts (Cody and Waite, 1980).
#[inline(always)]
pub fn exp<const FMA: bool>(x: f32) -> f32 {
    /// 1.5 * 2^23: adding it rounds to a whole number, which then lies in the low bits.
    const ROUNDER: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if x < -80.0 { -80.0 } else { x };
    let shifted = fma::<FMA>(x, LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let r = fma::<FMA>(n, -LN_2_LOW, fma::<FMA>(n, -LN_2_HIGH, x));
    let mut p = 1.0 / 5040.0;
    p = fma::<FMA>(p, r, 1.0 / 720.0);
    p = fma::<FMA>(p, r, 1.0 / 120.0);
    p = fma::<FMA>(p, r, 1.0 / 24.0);
    p = fma::<FMA>(p, r, 1.0 / 6.0);
    p = fma::<FMA>(p, r, 0.5);
    p = fma::<FMA>(p, r, 1.0);
    p = fma::<FMA>(p, r, 1.0);
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// x * Phi(x), Phi the normal distribution, to an absolute error of 5e-7.
///
/// erfc is formula 7.1.26 of Abramowitz and Stegun (1964), whose error is 1.5e-7. It is used on
/// |x|, so that nothing cancels in the negative tail.
#[inline(always)]
pub fn gelu<const FMA: bool>(x: f32) -> f32 {
    let z = x.abs() * FRAC_1_SQRT_2;
    let t = 1.0 / fma::<FMA>(0.327_591_1, z, 1.0);
    let mut p = 1.061_405_4;
    p = fma::<FMA>(p, t, -1.453_152_1);
    p = fma::<FMA>(p, t, 1.421_413_8);
    p = fma::<FMA>(p, t, -0.284_496_72);
    p = fma::<FMA>(p, t, 0.254_829_6);
    let half_erfc = 0.5 * p * t * exp::<FMA>(-z * z);
    x * if x < 0.0 { half_erfc } else { 1.0 - half_erfc }
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

/// Lanes brought together by halves, so that the compiler does it within a register.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
    }
    lanes[0]
}

/// The sum of `row`. row: `[d]`.
#[inline(always)]
pub fn sum<const FMA: bool>(row: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane += value;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += value;
    }
    fold(lanes, |a, b| a + b)
}

/// The sum of `(value - center)^2`. row: `[d]`.
#[inline(always)]
pub fn squares<const FMA: bool>(row: &[f32], center: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane = fma::<FMA>(value - center, value - center, *lane);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane = fma::<FMA>(value - center, value - center, *lane);
    }
    fold(lanes, |a, b| a + b)
}

/// The greatest of `row`. row: `[d]`, d > 0.
#[inline(always)]
pub fn max(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = if value > *lane { value } else { *lane };
    }
    fold(lanes, |a, b| if b > a { b } else { a })
}

/// The least and the greatest of `row` and 0, or NaN twice if a value is not finite. row: `[d]`.
#[inline(always)]
pub fn range<const FMA: bool>(row: &[f32]) -> (f32, f32) {
    let (mut least, mut greatest) = ([0.0; LANES], [0.0; LANES]);
    // Zero as long as every value is finite.
    let mut poison = [0.0_f32; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (i, &value) in block.iter().enumerate() {
            least[i] = if value < least[i] { value } else { least[i] };
            greatest[i] = if value > greatest[i] { value } else { greatest[i] };
            poison[i] = fma::<FMA>(value, 0.0, poison[i]);
        }
    }
    for (i, &value) in rest.iter().enumerate() {
        least[i] = if value < least[i] { value } else { least[i] };
        greatest[i] = if value > greatest[i] { value } else { greatest[i] };
        poison[i] = fma::<FMA>(value, 0.0, poison[i]);
    }
    let poison = fold(poison, |a, b| a + b);
    let least = fold(least, |a, b| if b < a { b } else { a });
    let greatest = fold(greatest, |a, b| if b > a { b } else { a });
    (least + poison, greatest + poison)
}

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::*;

    fn worst(from: f32, to: f32, error: impl Fn(f32) -> f64) -> f64 {
        (0..=200_000).map(|i| error(from + (to - from) * i as f32 / 200_000.0)).fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_right_to_2e_7() {
        let of = |f: fn(f32) -> f32| {
            worst(-79.9, 87.9, |x| (f64::from(f(x)) / f64::from(x).exp() - 1.0).abs())
        };
        for error in [of(exp::<true>), of(exp::<false>)] {
            assert!(error < 2e-7, "{error:e}");
        }
        assert_eq!(exp::<true>(0.0), 1.0);
        assert!(exp::<true>(-1e30) < 2e-35 && exp::<true>(1e30).is_finite());
    }

    #[test]
    fn gelu_is_right_to_5e_7() {
        for f in [gelu::<true>, gelu::<false>] {
            let error = |x| (f64::from(f(x)) - reference::gelu(f64::from(x))).abs();
            let near = worst(-5.5, 5.5, error);
            assert!(near < 5e-7, "{near:e}");
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
