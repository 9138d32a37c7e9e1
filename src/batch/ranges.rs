//! The range of each value of some vectors, from which 8-bit numbers are made.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use half::f16;

use crate::base::error::{Error, Result};

/// Numbers into which a range is divided.
const STEPS: f32 = 255.0;
/// The longest header of a NumPy file, in bytes, and the most values of a vector in it.
const HEADER_MAX: usize = 1 << 16;
const DIMENSIONS_MAX: usize = 1 << 20;

/// The smallest and the largest of each value: `[d]` each.
#[derive(Debug)]
pub struct Ranges {
    path: PathBuf,
    starts: Vec<f32>,
    steps: Vec<f32>,
}

/// What the header of a NumPy file says.
struct Header {
    /// Bytes of a number: 2, 4 or 8.
    size: usize,
    n: usize,
    d: usize,
}

impl Ranges {
    /// Reads a NumPy file `[n, d]` of floating-point numbers: vectors, or their ranges in two rows.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |detail: &str| Error::Argument {
            name: "model.calibration",
            value: path.display().to_string(),
            expected: format!(
                "a NumPy file [n, d] of f32, f16 or f64 in C order, such as `codeintel embed \
                 --output vectors.npy` writes: {detail}"
            ),
        };
        let unreadable = |source| Error::PathUnreadable { path: path.to_path_buf(), source };
        let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
        let Header { size, n, d } = header(&mut reader).map_err(|detail| wrong(&detail))?;
        let (mut low, mut high) = (vec![f32::INFINITY; d], vec![f32::NEG_INFINITY; d]);
        let mut row = vec![0; size * d];
        for i in 0..n {
            reader.read_exact(&mut row).map_err(|e| wrong(&format!("row {i} of {n}: {e}")))?;
            for (j, bytes) in row.chunks_exact(size).enumerate() {
                let value = number(bytes);
                if !value.is_finite() {
                    return Err(wrong(&format!("row {i} has {value} at index {j}")));
                }
                low[j] = low[j].min(value);
                high[j] = high[j].max(value);
            }
        }
        let step = |(low, high): (&f32, &f32)| match (high - low) / STEPS {
            0.0 => 1.0,
            step => step,
        };
        let steps = low.iter().zip(&high).map(step).collect();
        Ok(Self { path: path.to_path_buf(), starts: low, steps })
    }

    /// An error unless the ranges are those of vectors of `dimensions` values.
    pub fn check(&self, dimensions: usize) -> Result<()> {
        let d = self.starts.len();
        if d == dimensions {
            return Ok(());
        }
        Err(Error::Argument {
            name: "model.calibration",
            value: self.path.display().to_string(),
            expected: format!(
                "vectors of {dimensions} values, as they are asked for here; those of the file have \
                 {d} values"
            ),
        })
    }

    /// Which of the 256 parts of its range each value falls into, as `quantize_embeddings` of
    /// sentence-transformers computes it: `[d]`. vector: `[d]`.
    pub(super) fn buckets(&self, vector: &[f32]) -> impl Iterator<Item = f32> {
        let ranges = self.starts.iter().zip(&self.steps);
        let bucket = |(value, (start, step)): (&f32, (&f32, &f32))| {
            ((value - start) / step).floor().clamp(0.0, STEPS)
        };
        vector.iter().zip(ranges).map(bucket)
    }
}

/// Reads the header of a NumPy file.
fn header(reader: &mut impl Read) -> Result<Header, String> {
    let mut read = |n: usize| {
        let mut bytes = vec![0; n];
        reader.read_exact(&mut bytes).map(|()| bytes).map_err(|e| format!("its header: {e}"))
    };
    let head = read(8)?;
    if !head.starts_with(b"\x93NUMPY") {
        return Err("it is no NumPy file".to_owned());
    }
    let length = read(if head[6] == 1 { 2 } else { 4 })?;
    let length = length.iter().rev().fold(0, |sum, byte| sum * 256 + usize::from(*byte));
    if length > HEADER_MAX {
        return Err(format!("its header has {length} bytes"));
    }
    let text = String::from_utf8_lossy(&read(length)?).into_owned();
    let value = |key: &str, end: char| {
        let (_, rest) = text.split_once(&format!("'{key}':"))?;
        rest.split(end).next().map(|value| value.trim().trim_matches(['\'', '(']).to_owned())
    };
    let size = match value("descr", ',').as_deref() {
        Some("<f2") => 2,
        Some("<f4") => 4,
        Some("<f8") => 8,
        other => return Err(format!("its type is {}", other.unwrap_or("missing"))),
    };
    if value("fortran_order", ',').as_deref() != Some("False") {
        return Err("it is in Fortran order".to_owned());
    }
    let shape = value("shape", ')').unwrap_or_default();
    let sizes: Vec<&str> = shape.split(',').map(str::trim).collect();
    let sizes: Option<Vec<usize>> = sizes.iter().map(|size| size.parse().ok()).collect();
    match sizes.as_deref() {
        Some(&[n, d]) if n > 0 && (1..=DIMENSIONS_MAX).contains(&d) => Ok(Header { size, n, d }),
        _ => Err(format!("its shape is ({shape})")),
    }
}

/// bytes: `[2]`, `[4]` or `[8]`, little-endian.
fn number(bytes: &[u8]) -> f32 {
    match *bytes {
        [a, b] => f16::from_le_bytes([a, b]).to_f32(),
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
        [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32,
        _ => unreachable!("the header was checked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_of_vectors_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let file = |dict: &str, data: &[u8]| {
            let length = u16::try_from(dict.len()).unwrap().to_le_bytes();
            [&b"\x93NUMPY\x01\x00"[..], &length, dict.as_bytes(), data].concat()
        };
        let dict = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({shape}), }}")
        };
        let nan = f32::NAN.to_le_bytes();
        for (bytes, part) in [
            (b"PK".to_vec(), "its header"),
            (b"\x89PNG\r\n\x1a\n".to_vec(), "no NumPy file"),
            (file(&dict("|u1", "False", "1, 1"), &[0]), "its type is |u1"),
            (file(&dict("<f4", "True", "1, 1"), &[0; 4]), "Fortran order"),
            (file(&dict("<f4", "False", "1,"), &[0; 4]), "its shape is (1,)"),
            (file(&dict("<f4", "False", "0, 4"), &[]), "its shape is (0, 4)"),
            (file(&dict("<f4", "False", "2, 1"), &[0; 4]), "row 1 of 2"),
            (file(&dict("<f4", "False", "1, 1"), &nan), "row 0 has NaN at index 0"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = Ranges::read(&path).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("x.npy"), "{error}");
        }
        for (descr, number) in [
            ("<f2", f16::from_f32(0.5).to_le_bytes().to_vec()),
            ("<f8", 0.5_f64.to_le_bytes().to_vec()),
        ] {
            let bytes = file(&dict(descr, "False", "1, 1"), &number);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Ranges::read(&path).unwrap().starts, [0.5]);
        }
    }
}
