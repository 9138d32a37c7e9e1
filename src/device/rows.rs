//! Where do the activations of a forward pass live?

/// `[n, d]` values on the device, row-major, f32. Made once and resized from batch to batch, so
/// that a forward pass allocates only when it is the largest so far.
#[derive(Debug, Clone, Default)]
pub struct Rows {
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

    /// Becomes `[n, d]`; the values are what they happen to be.
    pub fn resize(&mut self, n: usize, d: usize) {
        self.data.resize(n * d, 0.0);
        (self.n, self.d) = (n, d);
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
        &self.data
    }

    /// All values: `[n * d]`, row-major.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.data
    }
}
