//! In which numbers is a vector written?

use half::f16;

use crate::cli::args::OutputDtype;
use crate::tools::wire::Numbers;

/// The greatest value of an 8-bit number, and of minus the least that is used.
const INT8_MAX: f32 = 127.0;

impl OutputDtype {
    /// A vector in these numbers. vector: `[d]`.
    pub fn code(self, vector: &[f32]) -> Numbers<'_> {
        match self {
            Self::F32 => Numbers::F32(vector),
            Self::F16 => Numbers::F16(vector.iter().map(|v| f16::from_f32(*v).to_f32()).collect()),
            Self::Int8 => int8(vector),
            Self::Binary => Numbers::Binary(vector.chunks(8).map(bits).collect()),
        }
    }

    /// How NumPy calls such a number.
    pub fn numpy(self) -> &'static str {
        match self {
            Self::F32 => "<f4",
            Self::F16 => "<f2",
            Self::Int8 => "|i1",
            Self::Binary => "|u1",
        }
    }

    /// How many numbers a vector of `d` values becomes.
    pub fn width(self, d: usize) -> usize {
        if self == Self::Binary { d.div_ceil(8) } else { d }
    }
}

/// The greatest value of the vector becomes 127 or -127, zero stays zero. vector: `[d]`.
fn int8(vector: &[f32]) -> Numbers<'static> {
    let greatest = vector.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    let steps = if greatest > 0.0 { INT8_MAX / greatest } else { 0.0 };
    let values = vector.iter().map(|v| (v * steps).round() as i8).collect();
    Numbers::Int8 { values, scale: greatest / INT8_MAX }
}

/// One bit a value, 1 for a value above 0, the first value in the highest bit. values: `[8]`, fewer
/// at the end of a vector.
fn bits(values: &[f32]) -> u8 {
    let bit = |(i, v): (usize, &f32)| u8::from(*v > 0.0) << (7 - i);
    values.iter().enumerate().map(bit).sum()
}

/// Appends the numbers as NumPy lays them out.
pub fn append_bytes(numbers: &Numbers<'_>, bytes: &mut Vec<u8>) {
    match numbers {
        Numbers::F32(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        Numbers::F16(values) => {
            bytes.extend(values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()));
        }
        Numbers::Int8 { values, .. } => bytes.extend(values.iter().map(|v| v.to_le_bytes()[0])),
        Numbers::Binary(values) => bytes.extend(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_keep_the_greatest_value_and_zero() {
        let Numbers::Int8 { values, scale } = OutputDtype::Int8.code(&[0.5, -1.0, 0.0, 0.003])
        else {
            panic!("not int8");
        };
        assert_eq!((values, scale), (vec![64, -127, 0, 0], 1.0 / 127.0));
        let Numbers::Int8 { values, scale } = OutputDtype::Int8.code(&[0.0; 3]) else {
            panic!("not int8");
        };
        assert_eq!((values, scale), (vec![0; 3], 0.0));
    }

    #[test]
    fn one_bit_a_value_is_packed_as_numpy_packs_it() {
        let vector = [1.0, -1.0, 0.0, 0.1, -0.1, 2.0, 3.0, -4.0, 1.0, 1.0];
        let Numbers::Binary(bytes) = OutputDtype::Binary.code(&vector) else {
            panic!("not binary");
        };
        assert_eq!(bytes, [0b1001_0110, 0b1100_0000]);
        assert_eq!(OutputDtype::Binary.width(vector.len()), bytes.len());
    }
}
