//! What a model computes for three fixed texts: a recorded value that changes if the files, the
//! build or the device compute something else.

use serde::{Deserialize, Serialize};

/// Values kept of each vector.
const VALUES: usize = 16;
/// Greatest difference of two values in f32, as a part of the larger one where that exceeds 1.
const DIFFERENCE_MAX: f32 = 1e-4;
/// Least cosine of what other number types compute.
const COSINE_MIN: f64 = 0.999;

/// The first values of the result of each of [`PROBES`](crate::embedding::nn::PROBES): a vector, the logits of a pair, or the
/// weights of an expansion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reference(Vec<Vec<f32>>);

/// How near a computed reference is to the recorded one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearness {
    pub difference: f32,
    pub cosine: f64,
}

impl Reference {
    /// results: `[probes][values]`; they are rounded to 6 decimal places.
    pub fn new(results: Vec<Vec<f32>>) -> Self {
        let round = |value: f32| ((f64::from(value) * 1e6).round() / 1e6) as f32;
        let rows = results.into_iter();
        Self(rows.map(|row| row.into_iter().take(VALUES).map(round).collect()).collect())
    }

    /// `None` if the two have different shapes.
    pub fn nearness(&self, found: &Self) -> Option<Nearness> {
        let shape = |of: &Self| of.0.iter().map(Vec::len).collect::<Vec<_>>();
        if shape(self) != shape(found) {
            return None;
        }
        let pairs = || self.0.iter().flatten().zip(found.0.iter().flatten());
        let relative = |(a, b): (&f32, &f32)| (a - b).abs() / a.abs().max(b.abs()).max(1.0);
        let difference = pairs().map(relative).fold(0.0, f32::max);
        let dot = |pairs: &mut dyn Iterator<Item = (&f32, &f32)>| -> f64 {
            pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let norm = |of: &Self| dot(&mut of.0.iter().flatten().zip(of.0.iter().flatten())).sqrt();
        let cosine = dot(&mut pairs()) / (norm(self) * norm(found)).max(f64::MIN_POSITIVE);
        Some(Nearness { difference, cosine })
    }
}

impl Nearness {
    /// exact: whether both were computed in f32.
    pub fn is_ok(self, exact: bool) -> bool {
        if exact { self.difference <= DIFFERENCE_MAX } else { self.cosine >= COSINE_MIN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_difference_is_one_of_numbers_and_a_large_one_is_another_model() {
        let recorded = Reference::new(vec![vec![0.6, 0.8], vec![-0.8, 0.6], vec![20.0, 0.0]]);
        let found = |by: f32| {
            let rows = recorded.0.iter().map(|row| row.iter().map(|v| v + by).collect());
            recorded.nearness(&Reference::new(rows.collect())).unwrap()
        };
        assert!(found(0.0).is_ok(true) && found(0.0).is_ok(false));
        assert!(found(5e-5).is_ok(true));
        assert!(!found(1e-2).is_ok(true) && found(1e-2).is_ok(false));
        assert!(!found(5.0).is_ok(false));
        let other = Reference::new(vec![vec![0.6]]);
        assert_eq!(recorded.nearness(&other), None);
    }
}
