//! Random vectors of a fixed seed, the same in every run.

use codeintel::base::vector::Matrix;

/// About normal, of mean 0 and variance 1: four uniform numbers added up.
fn normal(rng: &mut fastrand::Rng) -> f32 {
    let sum: f32 = (0..4).map(|_| rng.f32()).sum();
    (sum - 2.0) * 3.0_f32.sqrt()
}

/// Rows around each centre of [`clustered`].
const ROWS_PER_CENTRE: usize = 100;

/// `[n, d]` unit vectors in clusters of about 100, as those of real text are: random directions
/// alone would make every approximate index look worse than it is.
pub fn clustered(n: usize, d: usize, seed: u64) -> Matrix {
    let mut rng = fastrand::Rng::with_seed(seed);
    let centres: Vec<f32> =
        (0..n.div_ceil(ROWS_PER_CENTRE) * d).map(|_| normal(&mut rng)).collect();
    let mut rows = Matrix::with_capacity(n, d);
    for _ in 0..n {
        let centre = rng.usize(0..centres.len() / d);
        let centre = &centres[centre * d..(centre + 1) * d];
        let row: Vec<f32> = centre.iter().map(|value| value + 0.7 * normal(&mut rng)).collect();
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        rows.push_row(&row.iter().map(|value| value / length).collect::<Vec<_>>());
    }
    rows
}
