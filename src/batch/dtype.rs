//! The number formats in which a vector is written.

use half::f16;
use serde::{Serialize, Serializer};

/// The magnitude that the largest value of an `int8` vector becomes.
const INT8_MAX: f32 = 127.0;

/// In which numbers vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputDtype {
    F32,
    F16,
    /// The largest value of a vector, by magnitude, becomes 127 or -127.
    Int8,
    /// One bit a value, 8 a byte: 1 for a value above 0.
    Binary,
}

/// A vector of `d` values in one of the formats.
pub(super) enum EncodedVector<'a> {
    /// `[d]`
    F32(&'a [f32]),
    /// `[d]`
    F16(Vec<f16>),
    /// values: `[d]`; multiplied by `scale` they approximate the vector.
    Int8 { values: Vec<i8>, scale: f32 },
    /// `[d / 8]`, rounded up.
    Binary(Vec<u8>),
}

impl OutputDtype {
    /// Converts a vector. vector: `[d]`.
    pub(super) fn encode(self, vector: &[f32]) -> EncodedVector<'_> {
        match self {
            Self::F32 => EncodedVector::F32(vector),
            Self::F16 => EncodedVector::F16(vector.iter().map(|v| f16::from_f32(*v)).collect()),
            Self::Int8 => int8(vector),
            Self::Binary => EncodedVector::Binary(vector.chunks(8).map(bits).collect()),
        }
    }

    /// NumPy's name of the type.
    pub(super) fn numpy_descr(self) -> &'static str {
        match self {
            Self::F32 => "<f4",
            Self::F16 => "<f2",
            Self::Int8 => "|i1",
            Self::Binary => "|u1",
        }
    }

    /// How many numbers a vector of `d` values becomes.
    pub(super) fn width(self, d: usize) -> usize {
        if self == Self::Binary { d.div_ceil(8) } else { d }
    }
}

/// Symmetric quantisation by the largest magnitude; zero stays zero. vector: `[d]`.
fn int8(vector: &[f32]) -> EncodedVector<'static> {
    let max = vector.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
    let steps = if max > 0.0 { INT8_MAX / max } else { 0.0 };
    let values = vector.iter().map(|v| (v * steps).round() as i8).collect();
    EncodedVector::Int8 { values, scale: max / INT8_MAX }
}

/// Packs values into bits, the first value in the highest bit. values: `[8]`, fewer at the end of a
/// vector.
fn bits(values: &[f32]) -> u8 {
    let bit = |(i, v): (usize, &f32)| u8::from(*v > 0.0) << (7 - i);
    values.iter().enumerate().map(bit).sum()
}

impl EncodedVector<'_> {
    /// The factor of an `int8` vector.
    pub(super) fn scale(&self) -> Option<f32> {
        match self {
            Self::Int8 { scale, .. } => Some(*scale),
            _ => None,
        }
    }

    /// Appends the numbers as NumPy lays them out: little-endian, without padding.
    pub(super) fn append_bytes(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::F32(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Self::F16(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Self::Int8 { values, .. } => bytes.extend(values.iter().map(|v| v.to_le_bytes()[0])),
            Self::Binary(values) => bytes.extend(values),
        }
    }
}

/// As an array of numbers.
impl Serialize for EncodedVector<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::F32(values) => values.serialize(serializer),
            // JSON has no 16-bit numbers: each value is the f32 that is equal to it.
            Self::F16(values) => serializer.collect_seq(values.iter().map(|v| v.to_f32())),
            Self::Int8 { values, .. } => values.serialize(serializer),
            Self::Binary(bytes) => bytes.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_keep_the_largest_value_and_zero() {
        let EncodedVector::Int8 { values, scale } =
            OutputDtype::Int8.encode(&[0.5, -1.0, 0.0, 0.003])
        else {
            panic!("not int8");
        };
        assert_eq!((values, scale), (vec![64, -127, 0, 0], 1.0 / 127.0));
        let EncodedVector::Int8 { values, scale } = OutputDtype::Int8.encode(&[0.0; 3]) else {
            panic!("not int8");
        };
        assert_eq!((values, scale), (vec![0; 3], 0.0));
    }

    #[test]
    fn one_bit_a_value_is_packed_as_numpy_packs_it() {
        let vector = [1.0, -1.0, 0.0, 0.1, -0.1, 2.0, 3.0, -4.0, 1.0, 1.0];
        let EncodedVector::Binary(bytes) = OutputDtype::Binary.encode(&vector) else {
            panic!("not binary");
        };
        assert_eq!(bytes, [0b1001_0110, 0b1100_0000]);
        assert_eq!(OutputDtype::Binary.width(vector.len()), bytes.len());
    }
}
