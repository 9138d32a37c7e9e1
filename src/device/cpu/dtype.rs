//! The types of numbers that linear layers multiply.

use crate::base::error::{Error, Result};

/// The type of the operands of linear layers. On the CPU, sums, biases, norms, activations and
/// attention are in f32 whatever this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 32 bits: the reference.
    F32,
    /// Weights and activations rounded to 8 bits of mantissa.
    Bf16,
    /// Rounded to 11 bits of mantissa, and at most 65,504; on a GPU only.
    F16,
    /// Integers: 13 bits for a weight with a scale for each output, about 14 for an activation with
    /// a scale for each token. Ten times as exact as bf16, and at least 1.5 times as fast as f32.
    Int16,
    /// Integers: 8 bits for a weight with a scale for each output, 8 for an activation with a scale
    /// and a zero for each token.
    Int8,
}

impl Dtype {
    /// The types of the CPU.
    pub const CPU: [Self; 4] = [Self::F32, Self::Bf16, Self::Int16, Self::Int8];

    /// The CPU's type called `name`.
    pub fn parse(name: &str) -> Result<Self> {
        Self::CPU.into_iter().find(|dtype| dtype.as_str() == name).ok_or_else(|| Error::Argument {
            name: "dtype",
            value: name.to_owned(),
            expected: "f32, bf16, int16 or int8".to_owned(),
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Int16 => "int16",
            Self::Int8 => "int8",
        }
    }

    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        size_of::<u32>() / self.per_word()
    }

    /// The number of values in a word of 32 bits.
    pub(in crate::device) fn per_word(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 | Self::F16 | Self::Int16 => 2,
            Self::Int8 => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_found_by_its_name() {
        for dtype in Dtype::CPU {
            assert_eq!(Dtype::parse(dtype.as_str()).unwrap(), dtype);
        }
        assert!(Dtype::parse("f64").unwrap_err().to_string().contains("f64"));
    }
}
