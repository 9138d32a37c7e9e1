//! The file factor: other chunks of the file score high, too.
//!
//! A file that is about the query has several chunks that answer it in part, and the best of them is
//! a better answer than a lone chunk of the same score.

use std::collections::HashMap;

use super::learnt::{SUPPORT, SUPPORT_POWER};
use crate::search::fuse::Fused;

/// The factor of each chunk, at least 1. places: the file of each.
pub fn factors(chunks: &[Fused], places: &[usize]) -> Vec<f64> {
    let mut support: HashMap<usize, f64> = HashMap::new();
    for (chunk, place) in chunks.iter().zip(places) {
        *support.entry(*place).or_default() += chunk.score.max(0.0).powf(SUPPORT_POWER);
    }
    let most = support.values().copied().fold(0.0, f64::max);
    let share = |place: &usize| if most > 0.0 { support[place] / most } else { 0.0 };
    places.iter().map(|place| 1.0 + SUPPORT * share(place)).collect()
}
