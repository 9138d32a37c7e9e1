//! Seeded random numbers and vectors, the same in every run.

use codeintel::base::vector::Matrix;

/// xorshift64.
pub struct Seeded(u64);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 11) % n as u64) as usize
    }

    /// About normal, of mean 0 and variance 1: four uniform numbers added up.
    fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum();
        (sum as f32 / 65536.0 - 2.0) * 3.0_f32.sqrt()
    }
}

/// Rows around each centre of [`clustered`].
const ROWS_PER_CENTRE: usize = 100;

/// `[n, d]` unit vectors in clusters of about 100, as those of real text are: random directions
/// alone would make every approximate index look worse than it is.
pub fn clustered(n: usize, d: usize, seed: u64) -> Matrix {
    let mut random = Seeded::new(seed);
    let centres: Vec<f32> = (0..n.div_ceil(ROWS_PER_CENTRE) * d).map(|_| random.normal()).collect();
    let mut rows = Matrix::with_capacity(n, d);
    for _ in 0..n {
        let centre = random.below(centres.len() / d);
        let centre = &centres[centre * d..(centre + 1) * d];
        let row: Vec<f32> = centre.iter().map(|value| value + 0.7 * random.normal()).collect();
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        rows.push_row(&row.iter().map(|value| value / length).collect::<Vec<_>>());
    }
    rows
}
