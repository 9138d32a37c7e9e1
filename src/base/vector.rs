//! Dense matrices and sparse vectors.

use crate::base::error::{Error, Result};

/// `[n, d]` values, row-major, f32.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    data: Vec<f32>,
    d: usize,
}

impl Matrix {
    /// data: `[n * d]`, row-major.
    pub fn new(data: Vec<f32>, d: usize) -> Result<Self> {
        if d == 0 || !data.len().is_multiple_of(d) {
            return Err(Error::Dimension { what: "matrix", expected: d, found: data.len() });
        }
        Ok(Self { data, d })
    }

    /// No rows of `d` values, with room for `n`.
    pub fn with_capacity(n: usize, d: usize) -> Self {
        assert!(d > 0);
        Self { data: Vec::with_capacity(n * d), d }
    }

    pub fn n(&self) -> usize {
        self.data.len() / self.d
    }

    pub fn d(&self) -> usize {
        self.d
    }

    /// Row `i`: `[d]`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.d..(i + 1) * self.d]
    }

    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.data.chunks_exact(self.d)
    }

    /// All values: `[n * d]`, row-major.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// row: `[d]`.
    pub fn push_row(&mut self, row: &[f32]) {
        assert_eq!(row.len(), self.d);
        self.data.extend_from_slice(row);
    }

    /// Refuses NaN and infinities, naming the first row that holds one.
    pub fn check_finite(&self, what: &'static str) -> Result<()> {
        match self.rows().position(|row| row.iter().any(|v| !v.is_finite())) {
            Some(row) => Err(Error::NotFinite { what, row }),
            None => Ok(()),
        }
    }
}

/// A vector that is mostly zeros.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SparseVec {
    /// `[k]`, ascending.
    pub ids: Vec<u32>,
    /// `[k]`: the value at each id; all others are 0.
    pub weights: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_refuses_ragged_and_non_finite_rows() {
        assert!(Matrix::new(vec![1.0; 7], 3).is_err());
        let m = Matrix::new(vec![0.0, 1.0, f32::NAN, 2.0], 2).unwrap();
        let error = m.check_finite("vectors").unwrap_err();
        assert!(error.to_string().contains("row 1"), "{error}");
    }
}
