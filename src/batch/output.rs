//! Vectors to lines of JSON or to a NumPy file.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::dtype::{EncodedVector, OutputDtype};
use super::input::Item;
use super::lines::JsonLines;
use crate::base::error::{Error, Result};
use crate::base::vector::{Matrix, SparseVec};

/// Where dense vectors are written.
pub struct Output {
    sink: Sink,
    dtype: OutputDtype,
    dimensions: usize,
}

enum Sink {
    Jsonl(JsonLines),
    Npy(NpyFile),
}

/// A NumPy array `[n, width]` that is written row by row.
struct NpyFile {
    file: BufWriter<File>,
    path: PathBuf,
    n: usize,
    width: usize,
}

/// One dense vector.
#[derive(Serialize)]
struct VectorLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    embedding: EncodedVector<'a>,
    /// Only of `int8`: the values times it approximate the vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
}

/// One sparse vector.
#[derive(Serialize)]
struct SparseLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    /// `[k]`, ascending: ids of the vocabulary.
    indices: &'a [u32],
    /// `[k]`
    values: &'a [f32],
}

/// Whether vectors for `path` become a NumPy file.
pub fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "npy")
}

impl Output {
    /// For vectors of `dimensions` values, to a file or, without a path, to standard output.
    pub fn create(path: Option<&Path>, dtype: OutputDtype, dimensions: usize) -> Result<Self> {
        let sink = match path.filter(|path| is_npy(path)) {
            Some(path) => Sink::Npy(NpyFile::create(path, dtype, dtype.width(dimensions))?),
            None => Sink::Jsonl(JsonLines::create(path)?),
        };
        Ok(Self { sink, dtype, dimensions })
    }

    /// The dimension of the vectors.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// vectors: `[items, dimensions]`.
    pub(super) fn write(&mut self, items: &[Item], vectors: &Matrix) -> Result<()> {
        let encoded = vectors.rows().map(|vector| self.dtype.encode(vector));
        match &mut self.sink {
            Sink::Jsonl(lines) => {
                for (item, embedding) in items.iter().zip(encoded) {
                    let scale = embedding.scale();
                    lines.write(&VectorLine { id: item.id.as_ref(), embedding, scale })?;
                }
                lines.flush()
            }
            Sink::Npy(npy) => {
                let mut bytes = Vec::new();
                encoded.for_each(|vector| vector.append_bytes(&mut bytes));
                npy.append(vectors.n(), &bytes)
            }
        }
    }

    /// Completes the file: the header of a NumPy file holds the number of rows.
    pub fn finish(self) -> Result<()> {
        match self.sink {
            Sink::Jsonl(_) => Ok(()),
            Sink::Npy(npy) => npy.finish(self.dtype),
        }
    }
}

impl NpyFile {
    fn create(path: &Path, dtype: OutputDtype, width: usize) -> Result<Self> {
        let mut file =
            BufWriter::new(File::create(path).map_err(|e| Error::io("create", path, e))?);
        let header = npy_header(dtype.numpy_descr(), 0, width);
        file.write_all(&header).map_err(|e| Error::io("write", path, e))?;
        Ok(Self { file, path: path.to_path_buf(), n: 0, width })
    }

    fn append(&mut self, n: usize, bytes: &[u8]) -> Result<()> {
        self.n += n;
        self.file.write_all(bytes).map_err(|e| Error::io("write", &self.path, e))
    }

    fn finish(mut self, dtype: OutputDtype) -> Result<()> {
        let header = npy_header(dtype.numpy_descr(), self.n, self.width);
        let written = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(&header))
            .and_then(|()| self.file.flush());
        written.map_err(|e| Error::io("write", &self.path, e))
    }
}

/// Where sparse vectors are written: lines of JSON only.
pub struct SparseOutput(JsonLines);

impl SparseOutput {
    /// A file, or standard output without a path.
    pub fn create(path: Option<&Path>) -> Result<Self> {
        JsonLines::create(path).map(Self)
    }

    pub(super) fn write(&mut self, items: &[Item], vectors: &[SparseVec]) -> Result<()> {
        for (item, vector) in items.iter().zip(vectors) {
            let (id, indices, values) = (item.id.as_ref(), &*vector.ids, &*vector.weights);
            self.0.write(&SparseLine { id, indices, values })?;
        }
        self.0.flush()
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
