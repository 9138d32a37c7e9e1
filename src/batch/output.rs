//! Vectors to lines of JSON or to a NumPy file.

use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;

use super::dtype::{EncodedVector, VectorFormat};
use super::job::{RowError, Writer};
use super::lines::JsonLines;
use crate::base::error::{Error, Result};
use crate::base::output::OutputFile;
use crate::base::vector::{Matrix, SparseVec};

/// Where dense vectors are written.
pub struct Output {
    sink: Sink,
    format: VectorFormat,
    dimensions: usize,
}

enum Sink {
    Jsonl(JsonLines),
    Npy(NpyFile),
}

/// A NumPy array `[n, width]` that is written row by row.
struct NpyFile {
    file: OutputFile,
    n: usize,
    width: usize,
}

/// One dense vector.
#[derive(Serialize)]
struct VectorLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    embedding: EncodedVector<'a>,
    /// Only of `int8` without ranges: the values times it approximate the vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
}

/// One sparse vector.
#[derive(Serialize)]
struct SparseLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    /// `[k]`, ascending: ids of the vocabulary.
    indices: &'a [u32],
    /// `[k]`
    values: &'a [f32],
}

/// A row without a result.
#[derive(Serialize)]
pub(super) struct FailureLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a RawValue>,
    pub error: RowError<'a>,
}

/// Whether vectors for `path` become a NumPy file.
pub fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "npy")
}

impl Output {
    /// For vectors of `dimensions` values: lines of JSON, or a NumPy file if `numpy`.
    pub fn new(
        file: OutputFile,
        numpy: bool,
        format: VectorFormat,
        dimensions: usize,
    ) -> Result<Self> {
        let sink = if numpy {
            Sink::Npy(NpyFile::new(file, &format, format.width(dimensions))?)
        } else {
            Sink::Jsonl(JsonLines::new(file))
        };
        Ok(Self { sink, format, dimensions })
    }

    /// The dimension of the vectors.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }
}

impl Writer for Output {
    /// `[n, dimensions]`
    type Results = Matrix;

    fn write(&mut self, id: Option<&RawValue>, vectors: &Matrix, i: usize) -> Result<()> {
        let embedding = self.format.encode(vectors.row(i));
        match &mut self.sink {
            Sink::Jsonl(lines) => {
                let scale = embedding.scale();
                lines.write(&VectorLine { id, embedding, scale })
            }
            Sink::Npy(npy) => npy.append(&embedding),
        }
    }

    fn write_failure(&mut self, id: Option<&RawValue>, error: RowError<'_>) -> Result<()> {
        match &mut self.sink {
            Sink::Jsonl(lines) => lines.write(&FailureLine { id, error }),
            // Row i is that of text i whatever happens: NaN, or 0 in formats without it.
            Sink::Npy(npy) => npy.append(&self.format.encode(&vec![f32::NAN; self.dimensions])),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match &mut self.sink {
            Sink::Jsonl(lines) => lines.flush(),
            Sink::Npy(_) => Ok(()),
        }
    }

    /// The header of a NumPy file holds the number of rows.
    fn finish(self) -> Result<()> {
        match self.sink {
            Sink::Jsonl(lines) => lines.finish(),
            Sink::Npy(npy) => npy.finish(&self.format),
        }
    }
}

impl NpyFile {
    fn new(mut file: OutputFile, format: &VectorFormat, width: usize) -> Result<Self> {
        if !file.is_rewritable() {
            return Err(Error::Argument {
                name: "output",
                value: "a pipe or a device".to_owned(),
                expected: "a file, because the header of a NumPy file is written last".to_owned(),
            });
        }
        file.append(&npy_header(format.numpy_descr(), 0, width))?;
        Ok(Self { file, n: 0, width })
    }

    fn append(&mut self, vector: &EncodedVector<'_>) -> Result<()> {
        let mut bytes = Vec::new();
        vector.append_bytes(&mut bytes);
        self.n += 1;
        self.file.append(&bytes)
    }

    fn finish(mut self, format: &VectorFormat) -> Result<()> {
        self.file.overwrite_head(&npy_header(format.numpy_descr(), self.n, self.width))?;
        self.file.finish()
    }
}

/// Where sparse vectors are written: lines of JSON only.
pub struct SparseOutput(JsonLines);

impl SparseOutput {
    pub fn new(file: OutputFile) -> Self {
        Self(JsonLines::new(file))
    }
}

impl Writer for SparseOutput {
    /// `[n]`
    type Results = Vec<SparseVec>;

    fn write(&mut self, id: Option<&RawValue>, vectors: &Vec<SparseVec>, i: usize) -> Result<()> {
        let SparseVec { ids, weights } = &vectors[i];
        self.0.write(&SparseLine { id, indices: ids, values: weights })
    }

    fn write_failure(&mut self, id: Option<&RawValue>, error: RowError<'_>) -> Result<()> {
        self.0.write(&FailureLine { id, error })
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }

    fn finish(self) -> Result<()> {
        self.0.finish()
    }
}

/// The header of a NumPy file of `[n, width]`, version 1.0; its length does not depend on `n`.
fn npy_header(dtype: &str, n: usize, width: usize) -> Vec<u8> {
    let shape = format!("({n}, {width}), }}");
    let dict = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}");
    let mut header = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    header.extend(format!("{dict:<117}\n").into_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numpy_header_has_the_same_length_for_any_shape() {
        for (n, width) in [(0, 384), (123_456_789_012, 16_384)] {
            let header = npy_header("<f4", n, width);
            assert_eq!(header.len(), 128);
            assert_eq!(header.last(), Some(&b'\n'));
        }
    }
}
