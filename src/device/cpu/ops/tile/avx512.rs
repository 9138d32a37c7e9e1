//! The tile loops of AVX-512.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{Kernel, PANEL, ROWS_MAX, Run, Step};
use crate::device::Dtype;

pub fn kernel(dtype: Dtype) -> Kernel {
    let vnni = is_x86_feature_detected!("avx512vnni");
    let run: Run = match dtype {
        Dtype::F32 => f32,
        Dtype::Bf16 if is_x86_feature_detected!("avx512bf16") => bf16,
        Dtype::Bf16 => bf16_by_f32,
        Dtype::Int16 if vnni => int16,
        Dtype::Int16 => int16_by_madd,
        Dtype::Int8 if vnni => int8,
        Dtype::Int8 => int8_by_madd,
        Dtype::F16 => unreachable!("f16 is for GPUs"),
    };
    Kernel { rows_max: ROWS_MAX, run }
}

/// Every build for `dtype` that this processor can run, the best one first.
#[cfg(test)]
pub fn builds(wanted: Dtype) -> Vec<(&'static str, Kernel)> {
    let hidden = [
        (Dtype::Bf16, "avx512, bf16 by f32", bf16_by_f32 as Run),
        (Dtype::Int16, "avx512, int16 by madd", int16_by_madd),
        (Dtype::Int8, "avx512, int8 by madd", int8_by_madd),
    ];
    let hidden = hidden.into_iter().filter(|(dtype, ..)| *dtype == wanted);
    let hidden = hidden.map(|(_, name, run)| (name, Kernel { rows_max: ROWS_MAX, run }));
    std::iter::once(("avx512", kernel(wanted))).chain(hidden).collect()
}

macro_rules! build {
    ($(#[$doc:meta])* fn $name:ident, $features:literal, |$sum:ident, $x:ident, $w:ident| $dot:expr) => {
        tile_build! {
            $(#[$doc])*
            fn $name, $features, rows [1 2 3 4 5 6 7 8 9 10 11 12], lanes 16 of __m512i,
            zero _mm512_setzero_si512, load _mm512_load_si512, spread _mm512_set1_epi32,
            store _mm512_store_si512,
            |$sum, $x, $w| $dot
        }
    };
}

build! {
    /// One product a word.
    fn f32, "avx512f,avx512bw", |sum, x, w| fma(sum, x, w)
}

build! {
    /// Two products a word, rounded once (VDPBF16PS).
    fn bf16, "avx512f,avx512bw,avx512bf16", |sum, x, w| {
        // SAFETY: the same 512 bits.
        let [x, w] = unsafe { std::mem::transmute::<[__m512i; 2], [__m512bh; 2]>([x, w]) };
        _mm512_castps_si512(_mm512_dpbf16_ps(_mm512_castsi512_ps(sum), x, w))
    }
}

build! {
    /// Two products a word, as f32: a bf16 is the upper half of one.
    fn bf16_by_f32, "avx512f,avx512bw", |sum, x, w| {
        let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
        let low = fma(sum, _mm512_slli_epi32::<16>(x), _mm512_slli_epi32::<16>(w));
        fma(low, _mm512_and_si512(x, upper), _mm512_and_si512(w, upper))
    }
}

build! {
    /// Two products a word (VPDPWSSD), in assembly because LLVM 22 compiles the intrinsic to two
    /// instructions, a product and a sum, which are half as fast.
    fn int16, "avx512f,avx512bw,avx512vnni", |sum, x, w| {
        let mut sum = sum;
        // SAFETY: one instruction from registers to a register.
        unsafe {
            asm!("vpdpwssd {}, {}, {}", inout(zmm_reg) sum, in(zmm_reg) x, in(zmm_reg) w,
                options(pure, nomem, nostack, preserves_flags));
        }
        sum
    }
}

build! {
    /// Two products a word, in two instructions.
    fn int16_by_madd, "avx512f,avx512bw", |sum, x, w| {
        _mm512_add_epi32(sum, _mm512_madd_epi16(x, w))
    }
}

build! {
    /// Four products a word (VPDPBUSD).
    fn int8, "avx512f,avx512bw,avx512vnni", |sum, x, w| _mm512_dpbusd_epi32(sum, x, w)
}

build! {
    /// Four products a word, the bytes at even and at odd places widened to 16 bits apart, so that
    /// nothing saturates.
    fn int8_by_madd, "avx512f,avx512bw", |sum, x, w| {
        let even = _mm512_set1_epi32(0x00ff_00ff);
        let evens = _mm512_madd_epi16(
            _mm512_and_si512(x, even),
            _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(w)),
        );
        let odds = _mm512_madd_epi16(_mm512_srli_epi16::<8>(x), _mm512_srai_epi16::<8>(w));
        _mm512_add_epi32(sum, _mm512_add_epi32(evens, odds))
    }
}

/// `sum + x * w` in the lanes of f32.
#[inline]
#[target_feature(enable = "avx512f")]
fn fma(sum: __m512i, x: __m512i, w: __m512i) -> __m512i {
    let (x, w) = (_mm512_castsi512_ps(x), _mm512_castsi512_ps(w));
    _mm512_castps_si512(_mm512_fmadd_ps(x, w, _mm512_castsi512_ps(sum)))
}
