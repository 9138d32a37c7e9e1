//! The tile loops of AVX2.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{Kernel, PANEL, Run, Step};
use crate::device::Dtype;

pub fn kernel(dtype: Dtype) -> Kernel {
    let vnni = is_x86_feature_detected!("avxvnni");
    let run: Run = match dtype {
        Dtype::F32 => f32,
        Dtype::Bf16 => bf16_by_f32,
        Dtype::Int16 if vnni => int16,
        Dtype::Int16 => int16_by_madd,
        Dtype::Int8 if vnni => int8,
        Dtype::Int8 => int8_by_madd,
        Dtype::F16 => unreachable!("f16 is for GPUs"),
    };
    Kernel { rows_max: 6, run }
}

/// Every build for `dtype` that this processor can run, the best one first.
#[cfg(test)]
pub fn builds(wanted: Dtype) -> Vec<(&'static str, Kernel)> {
    let hidden = [
        (Dtype::Int16, "avx2, int16 by madd", int16_by_madd as Run),
        (Dtype::Int8, "avx2, int8 by madd", int8_by_madd),
    ];
    let hidden = hidden.into_iter().filter(|(dtype, ..)| *dtype == wanted);
    let hidden = hidden.map(|(_, name, run)| (name, Kernel { rows_max: 6, run }));
    std::iter::once(("avx2", kernel(wanted))).chain(hidden).collect()
}

macro_rules! build {
    ($(#[$doc:meta])* fn $name:ident, $features:literal, |$sum:ident, $x:ident, $w:ident| $dot:expr) => {
        tile_build! {
            $(#[$doc])*
            fn $name, $features, rows [1 2 3 4 5 6], lanes 8 of __m256i,
            zero _mm256_setzero_si256, load _mm256_load_si256, spread _mm256_set1_epi32,
            store _mm256_store_si256,
            |$sum, $x, $w| $dot
        }
    };
}

build! {
    /// One product a word.
    fn f32, "avx2,fma", |sum, x, w| fma(sum, x, w)
}

build! {
    /// Two products a word, as f32: a bf16 is the upper half of one.
    fn bf16_by_f32, "avx2,fma", |sum, x, w| {
        let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
        let low = fma(sum, _mm256_slli_epi32::<16>(x), _mm256_slli_epi32::<16>(w));
        fma(low, _mm256_and_si256(x, upper), _mm256_and_si256(w, upper))
    }
}

build! {
    /// Two products a word (VPDPWSSD of AVX-VNNI), written out as in the build for AVX-512.
    fn int16, "avx2,avxvnni", |sum, x, w| {
        let mut sum = sum;
        // SAFETY: one instruction from registers to a register.
        unsafe {
            asm!("{{vex}} vpdpwssd {}, {}, {}", inout(ymm_reg) sum, in(ymm_reg) x, in(ymm_reg) w,
                options(pure, nomem, nostack, preserves_flags));
        }
        sum
    }
}

build! {
    /// Two products a word, in two instructions.
    fn int16_by_madd, "avx2", |sum, x, w| _mm256_add_epi32(sum, _mm256_madd_epi16(x, w))
}

build! {
    /// Four products a word (AVX-VNNI).
    fn int8, "avx2,avxvnni", |sum, x, w| _mm256_dpbusd_avx_epi32(sum, x, w)
}

build! {
    /// Four products a word, the bytes at even and at odd places widened to 16 bits apart, so that
    /// nothing saturates.
    fn int8_by_madd, "avx2", |sum, x, w| {
        let even = _mm256_set1_epi32(0x00ff_00ff);
        let evens = _mm256_madd_epi16(
            _mm256_and_si256(x, even),
            _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w)),
        );
        let odds = _mm256_madd_epi16(_mm256_srli_epi16::<8>(x), _mm256_srai_epi16::<8>(w));
        _mm256_add_epi32(sum, _mm256_add_epi32(evens, odds))
    }
}

/// `sum + x * w` in the lanes of f32.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn fma(sum: __m256i, x: __m256i, w: __m256i) -> __m256i {
    let (x, w) = (_mm256_castsi256_ps(x), _mm256_castsi256_ps(w));
    _mm256_castps_si256(_mm256_fmadd_ps(x, w, _mm256_castsi256_ps(sum)))
}
