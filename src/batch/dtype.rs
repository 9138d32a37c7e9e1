//! The number formats in which a vector is written.

use std::sync::Arc;

use half::f16;
use serde::{Serialize, Serializer};

use super::ranges::Ranges;
use crate::base::error::{Error, Result};

/// The magnitude that the largest value of an `int8` vector without ranges becomes.
const INT8_MAX: f32 = 127.0;

/// In which numbers vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputDtype {
    F32,
    F16,
    /// From -128 to 127, by the range of each value; without ranges, the largest value of a vector,
    /// by magnitude, becomes 127 or -127.
    Int8,
    /// From 0 to 255, by the range of each value.
    Uint8,
    /// One bit a value, 8 a byte: 1 for a value above 0. A byte is stored less 128.
    Binary,
    /// The same bytes as they are.
    Ubinary,
}

/// A vector of `d` values in one of the formats.
pub enum EncodedVector<'a> {
    /// `[d]`
    F32(&'a [f32]),
    /// `[d]`
    F16(Vec<f16>),
    /// `[d]`, or `[d / 8]`, rounded up, for bits.
    Int8(Vec<i8>),
    /// The same, without signs.
    Uint8(Vec<u8>),
    /// values: `[d]`; multiplied by `scale` they approximate the vector.
    Scaled { values: Vec<i8>, scale: f32 },
}

/// How vectors of `dimensions` values are written: the numbers, and what they mean.
pub struct VectorFormat {
    dtype: OutputDtype,
    ranges: Option<Arc<Ranges>>,
}

impl VectorFormat {
    /// ranges: those of vectors of `dimensions` values; only 8-bit numbers need them.
    pub fn new(dtype: OutputDtype, ranges: Option<Arc<Ranges>>, dimensions: usize) -> Result<Self> {
        if !dtype.has_ranges() {
            return Ok(Self { dtype, ranges: None });
        }
        let ranges = ranges.ok_or_else(|| Error::Argument {
            name: "output_dtype",
            value: if dtype == OutputDtype::Int8 { "int8" } else { "uint8" }.to_owned(),
            expected: "another type, because the range of each value is not known: \
                       model.calibration names a NumPy file of vectors to take the ranges from"
                .to_owned(),
        })?;
        ranges.check(dimensions)?;
        Ok(Self { dtype, ranges: Some(ranges) })
    }

    /// `Int8` by the largest value of each vector.
    pub fn scaled() -> Self {
        Self { dtype: OutputDtype::Int8, ranges: None }
    }

    /// Converts a vector. vector: `[dimensions]`.
    pub fn encode<'v>(&self, vector: &'v [f32]) -> EncodedVector<'v> {
        let bits = || vector.chunks(8).map(bits);
        match (self.dtype, &self.ranges) {
            (OutputDtype::F32, _) => EncodedVector::F32(vector),
            (OutputDtype::F16, _) => {
                EncodedVector::F16(vector.iter().map(|v| f16::from_f32(*v)).collect())
            }
            (OutputDtype::Int8, Some(ranges)) => {
                EncodedVector::Int8(ranges.buckets(vector).map(|v| (v - 128.0) as i8).collect())
            }
            (OutputDtype::Int8, None) => scaled(vector),
            (OutputDtype::Uint8, ranges) => {
                let ranges = ranges.as_ref().expect("checked by VectorFormat::new");
                EncodedVector::Uint8(ranges.buckets(vector).map(|v| v as u8).collect())
            }
            (OutputDtype::Binary, _) => {
                EncodedVector::Int8(bits().map(|byte| byte.wrapping_sub(128) as i8).collect())
            }
            (OutputDtype::Ubinary, _) => EncodedVector::Uint8(bits().collect()),
        }
    }

    /// NumPy's name of the type.
    pub(super) fn numpy_descr(&self) -> &'static str {
        match self.dtype {
            OutputDtype::F32 => "<f4",
            OutputDtype::F16 => "<f2",
            OutputDtype::Int8 | OutputDtype::Binary => "|i1",
            OutputDtype::Uint8 | OutputDtype::Ubinary => "|u1",
        }
    }

    /// How many numbers a vector of `d` values becomes.
    pub(super) fn width(&self, d: usize) -> usize {
        match self.dtype {
            OutputDtype::Binary | OutputDtype::Ubinary => d.div_ceil(8),
            _ => d,
        }
    }
}

impl OutputDtype {
    /// Whether the range of each value says what the numbers mean.
    pub fn has_ranges(self) -> bool {
        matches!(self, Self::Int8 | Self::Uint8)
    }
}

/// Symmetric quantisation by the largest magnitude; zero stays zero. vector: `[d]`.
fn scaled(vector: &[f32]) -> EncodedVector<'static> {
    let max = vector.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
    let steps = if max > 0.0 { INT8_MAX / max } else { 0.0 };
    let values = vector.iter().map(|v| (v * steps).round() as i8).collect();
    EncodedVector::Scaled { values, scale: max / INT8_MAX }
}

/// Packs values into bits, the first value in the highest bit. values: `[8]`, fewer at the end of a
/// vector.
fn bits(values: &[f32]) -> u8 {
    let bit = |(i, v): (usize, &f32)| u8::from(*v > 0.0) << (7 - i);
    values.iter().enumerate().map(bit).sum()
}

impl EncodedVector<'_> {
    /// The factor of an `int8` vector without ranges.
    pub(super) fn scale(&self) -> Option<f32> {
        match self {
            Self::Scaled { scale, .. } => Some(*scale),
            _ => None,
        }
    }

    /// Appends the numbers as NumPy lays them out: little-endian, without padding.
    pub fn append_bytes(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::F32(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Self::F16(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Self::Int8(values) | Self::Scaled { values, .. } => {
                bytes.extend(values.iter().map(|v| v.cast_unsigned()))
            }
            Self::Uint8(values) => bytes.extend(values),
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
            Self::Int8(values) | Self::Scaled { values, .. } => values.serialize(serializer),
            Self::Uint8(values) => values.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_keep_the_largest_value_and_zero() {
        let format = VectorFormat::scaled();
        let EncodedVector::Scaled { values, scale } = format.encode(&[0.5, -1.0, 0.0, 0.003])
        else {
            panic!("not int8");
        };
        assert_eq!((values, scale), (vec![64, -127, 0, 0], 1.0 / 127.0));
        let EncodedVector::Scaled { values, scale } = format.encode(&[0.0; 3]) else {
            panic!("not int8");
        };
        assert_eq!((values, scale), (vec![0; 3], 0.0));
    }

    #[test]
    fn one_bit_a_value_is_packed_as_numpy_packs_it() {
        let vector = [1.0, -1.0, 0.0, 0.1, -0.1, 2.0, 3.0, -4.0, 1.0, 1.0];
        let bytes = |dtype| {
            let format = VectorFormat::new(dtype, None, vector.len()).unwrap();
            let mut bytes = Vec::new();
            format.encode(&vector).append_bytes(&mut bytes);
            assert_eq!(format.width(vector.len()), bytes.len());
            bytes
        };
        assert_eq!(bytes(OutputDtype::Ubinary), [0b1001_0110, 0b1100_0000]);
        assert_eq!(bytes(OutputDtype::Binary), [0b0001_0110, 0b0100_0000], "less 128");
    }

    /// `tests/data/quantised.json`: what `quantize_embeddings` of sentence-transformers returns.
    #[derive(serde::Deserialize)]
    struct Reference {
        /// `[n][d]`
        embeddings: Vec<Vec<f32>>,
        /// The bytes of a NumPy file of other vectors, in hexadecimal digits.
        calibration: String,
        /// By the name of the precision: `[n][width]`.
        expected: std::collections::BTreeMap<String, Vec<Vec<i16>>>,
    }

    #[test]
    fn every_byte_equals_that_of_sentence_transformers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/quantised.json");
        let reference: Reference = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("calibration.npy");
        let digits = reference.calibration.as_bytes().chunks(2);
        let byte = |digits: &[u8]| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap();
        std::fs::write(&file, digits.map(byte).collect::<Vec<_>>()).unwrap();
        let ranges = Arc::new(Ranges::read(&file).unwrap());
        let d = reference.embeddings[0].len();
        for (name, dtype) in [
            ("int8", OutputDtype::Int8),
            ("uint8", OutputDtype::Uint8),
            ("binary", OutputDtype::Binary),
            ("ubinary", OutputDtype::Ubinary),
        ] {
            let format = VectorFormat::new(dtype, Some(ranges.clone()), d).unwrap();
            for (vector, expected) in reference.embeddings.iter().zip(&reference.expected[name]) {
                let got = serde_json::to_value(format.encode(vector)).unwrap();
                assert_eq!(got, serde_json::json!(expected), "{name}");
            }
        }
        let other = VectorFormat::new(OutputDtype::Int8, Some(ranges), d - 1).err().unwrap();
        assert!(other.to_string().contains(&format!("{d} values")), "{other}");
        for dtype in [OutputDtype::Int8, OutputDtype::Uint8] {
            let none = VectorFormat::new(dtype, None, d).err().unwrap().to_string();
            assert!(none.contains("int8") && none.contains("model.calibration"), "{none}");
        }
    }
}
