//! Which types of number has a device's memory?

use cudarc::cublaslt::sys::cudaDataType;
use half::{bf16, f16};

/// A value that is copied to and from a device as it lies in memory.
///
/// # Safety
/// Any bits are a valid value, and there is no padding.
pub unsafe trait Plain: Copy + Send + Sync + 'static {}

// SAFETY: numbers without padding, of which any bits are one.
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

/// What a stored vector is made of.
pub trait Vector: Plain {
    /// The kernel's name for it.
    const NAME: &'static str;

    fn to_f32(self) -> f32;
}

impl Vector for f32 {
    const NAME: &'static str = "f32";

    fn to_f32(self) -> f32 {
        self
    }
}

impl Vector for bf16 {
    const NAME: &'static str = "bf16";

    fn to_f32(self) -> f32 {
        bf16::to_f32(self)
    }
}

impl Vector for f16 {
    const NAME: &'static str = "f16";

    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }
}

/// What activations and weights on a device are made of.
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
