//! The types of numbers in device memory.

use cudarc::cublaslt::sys::cudaDataType;
use half::{bf16, f16};

/// A value that is copied to and from a device bit by bit.
///
/// # Safety
/// Any bits are a valid value, and there is no padding.
pub unsafe trait Plain: Copy + Send + Sync + 'static {}

// SAFETY: a number without padding, for which any bits are valid.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for i64 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for bf16 {}
// SAFETY: as above.
unsafe impl Plain for f16 {}

/// A type of numbers, as kernels name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Number {
    F32,
    Bf16,
    F16,
}

impl Number {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }
}

/// The values of a stored vector.
pub trait Vector: Plain {
    const NUMBER: Number;

    fn to_f32(self) -> f32;
}

impl Vector for f32 {
    const NUMBER: Number = Number::F32;

    fn to_f32(self) -> f32 {
        self
    }
}

impl Vector for bf16 {
    const NUMBER: Number = Number::Bf16;

    fn to_f32(self) -> f32 {
        bf16::to_f32(self)
    }
}

impl Vector for f16 {
    const NUMBER: Number = Number::F16;

    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }
}

/// The values of activations and weights on a device.
pub trait Element: Vector {
    /// cuBLASLt's name for it.
    const CUDA: cudaDataType;

    /// The nearest one.
    fn from_f32(value: f32) -> Self;
}

impl Element for bf16 {
    const CUDA: cudaDataType = cudaDataType::CUDA_R_16BF;

    fn from_f32(value: f32) -> Self {
        bf16::from_f32(value)
    }
}

impl Element for f16 {
    const CUDA: cudaDataType = cudaDataType::CUDA_R_16F;

    fn from_f32(value: f32) -> Self {
        f16::from_f32(value)
    }
}
