//! The repetition factor: of several chunks of one file, each counts less than the one before it, so
//! that an answer shows more than one file.

use std::collections::HashMap;

/// The least power of the decay, so that the scores of a file's last chunks stay apart from 0.
const POWER_MAX: i32 = 6;

/// The chunks of each file so far.
pub struct Seen {
    decay: f64,
    chunks: HashMap<usize, i32>,
}

impl Seen {
    /// decay: the factor of the second chunk of a file.
    pub fn new(decay: f64) -> Self {
        Self { decay, chunks: HashMap::new() }
    }

    /// The factor of the next chunk of the file at `place`.
    pub fn factor(&mut self, place: usize) -> f64 {
        let before = self.chunks.entry(place).or_default();
        let factor = self.decay.powi((*before).min(POWER_MAX));
        *before += 1;
        factor
    }
}
