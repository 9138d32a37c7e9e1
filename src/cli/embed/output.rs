//! Where do vectors go? Into lines of JSON, or into a NumPy file.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::input::Item;
use super::numbers::append_bytes;
use crate::base::error::{Error, Result};
use crate::base::vector::Matrix;
use crate::cli::args::{EmbedArgs, OutputDtype};
use crate::cli::lines::JsonLines;
use crate::tools::wire;

pub struct Output {
    to: To,
    dtype: OutputDtype,
}

enum To {
    Jsonl(JsonLines),
    /// `width`: numbers of one vector.
    Npy {
        file: BufWriter<File>,
        path: PathBuf,
        n: usize,
        width: usize,
    },
}

/// Whether vectors for `path` become a NumPy file.
pub fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "npy")
}

impl Output {
    /// For vectors of `d` values.
    pub fn create(args: &EmbedArgs, d: usize) -> Result<Self> {
        let (path, dtype) = (args.output.as_deref(), args.output_dtype);
        let Some(path) = path.filter(|path| is_npy(path)) else {
            return Ok(Self { to: To::Jsonl(JsonLines::create(path)?), dtype });
        };
        let file = File::create(path).map_err(|e| Error::io("create", path, e))?;
        let (mut file, width) = (BufWriter::new(file), dtype.width(d));
        let header = npy_header(dtype.numpy(), 0, width);
        file.write_all(&header).map_err(|e| Error::io("write", path, e))?;
        Ok(Self { to: To::Npy { file, path: path.to_path_buf(), n: 0, width }, dtype })
    }

    /// vectors: `[items, d]`.
    pub fn write(&mut self, items: &[Item], vectors: &Matrix) -> Result<()> {
        let numbers = vectors.rows().map(|vector| self.dtype.code(vector));
        match &mut self.to {
            To::Jsonl(out) => {
                for (item, numbers) in items.iter().zip(numbers) {
                    out.write(&wire::EmbeddedLine::new(item.id.as_ref(), numbers))?;
                }
                out.flush()
            }
            To::Npy { file, path, n, .. } => {
                *n += vectors.n();
                let mut bytes = Vec::new();
                numbers.for_each(|numbers| append_bytes(&numbers, &mut bytes));
                file.write_all(&bytes).map_err(|e| Error::io("write", path, e))
            }
        }
    }

    pub fn finish(self) -> Result<()> {
        let To::Npy { mut file, path, n, width } = self.to else { return Ok(()) };
        let header = npy_header(self.dtype.numpy(), n, width);
        let written = file
            .seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(&header))
            .and_then(|()| file.flush());
        written.map_err(|e| Error::io("write", &path, e))
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
    fn the_numpy_header_has_its_length_whatever_the_shape() {
        for (n, width) in [(0, 384), (123_456_789_012, 16_384)] {
            let header = npy_header("<f4", n, width);
            assert_eq!(header.len(), 128);
            assert_eq!(header.last(), Some(&b'\n'));
        }
    }
}
