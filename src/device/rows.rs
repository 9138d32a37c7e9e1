//! The activations of a forward pass in host memory.

use crate::base::error::{Error, Result};

/// `[n, d]` values in host memory, row-major, f32. Allocated once and resized from batch to batch,
/// so that a forward pass allocates only when it is the largest so far.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// At least `n * d`: it never shrinks, so that growing again costs nothing.
    data: Vec<f32>,
    n: usize,
    d: usize,
}

impl Rows {
    /// data: `[n * d]`, row-major.
    pub fn new(data: Vec<f32>, d: usize) -> Self {
        assert!(d > 0 && data.len().is_multiple_of(d), "{} values are no rows of {d}", data.len());
        Self { n: data.len() / d, data, d }
    }

    /// Becomes `[n, d]`; the values are undefined.
    pub fn resize(&mut self, n: usize, d: usize) {
        if self.data.len() < n * d {
            self.data.resize(n * d, 0.0);
        }
        (self.n, self.d) = (n, d);
    }

    /// Takes the memory of `[n, d]`; an error if there is not enough. A resize up to this size
    /// allocates nothing, and so cannot abort the process.
    pub fn reserve(&mut self, n: usize, d: usize) -> Result<()> {
        let values = n.saturating_mul(d);
        let more = values.saturating_sub(self.data.len());
        self.data.try_reserve_exact(more).map_err(|_| {
            let bytes =
                values.saturating_sub(self.data.capacity()).saturating_mul(size_of::<f32>());
            Error::OutOfMemory { tokens: n, bytes }
        })
    }

    /// The number of values that fit the memory.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.data.capacity()
    }

    pub fn n(&self) -> usize {
        self.n
    }

    pub fn d(&self) -> usize {
        self.d
    }

    /// Row `i`: `[d]`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.d..(i + 1) * self.d]
    }

    /// All values: `[n * d]`, row-major.
    pub fn as_slice(&self) -> &[f32] {
        &self.data[..self.n * self.d]
    }

    /// All values: `[n * d]`, row-major.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.data[..self.n * self.d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorKind;

    #[test]
    fn memory_that_is_not_there_is_an_error_and_what_was_reserved_is_not_taken_again() {
        let mut rows = Rows::default();
        rows.reserve(8, 4).unwrap();
        let taken = rows.capacity();
        rows.resize(8, 4);
        assert_eq!((rows.n(), rows.d(), rows.capacity()), (8, 4, taken));
        for n in [1 << 60, usize::MAX] {
            let error = rows.reserve(n, 4).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfMemory);
            assert!(error.to_string().contains(&format!("a batch of {n} tokens")), "{error}");
        }
        assert_eq!((rows.n(), rows.d()), (8, 4), "the rows are unchanged");
    }
}
