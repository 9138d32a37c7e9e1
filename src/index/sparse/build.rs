//! From the expansions of texts to the postings of one part, and back.

use std::collections::BTreeMap;

use super::{BLOCK_ROWS, IMPACT_STEP};
use crate::base::error::{Error, Result};
use crate::base::vector::SparseVec;

/// The impacts of one text: words of the vocabulary, ascending, each with 1 to 255.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Impacts(pub Vec<(u32, u8)>);

impl Impacts {
    /// Rounds the weights of an expansion to impacts.
    ///
    /// Returns an error if a weight is not finite.
    pub fn new(expansion: &SparseVec) -> Result<Self> {
        if expansion.weights.iter().any(|weight| !weight.is_finite()) {
            return Err(Error::NotFinite { what: "sparse vector", row: 0 });
        }
        // `as` ends at 0 and 255.
        let impacts = expansion.weights.iter().map(|weight| (weight / IMPACT_STEP).round() as u8);
        let words = expansion.ids.iter().copied().zip(impacts);
        Ok(Self(words.filter(|(_, impact)| *impact > 0).collect()))
    }
}

/// The postings of one part, by word and block.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Postings {
    /// `[words]`, ascending.
    pub words: Vec<u32>,
    /// `[words + 1]`: the first block of each word.
    pub word_starts: Vec<u32>,
    /// `[blocks]`: the number of the block, ascending within a word.
    pub blocks: Vec<u32>,
    /// `[blocks + 1]`: the first posting of each block.
    pub block_starts: Vec<u32>,
    /// `[blocks]`: the largest impact in it.
    pub maxima: Vec<u8>,
    /// `[postings, 2]`: the place of the row in its block, ascending, and the impact.
    pub postings: Vec<u8>,
}

impl Postings {
    /// rows: `[n]`, numbered from 0.
    pub fn new(rows: &[Impacts]) -> Result<Self> {
        let total: usize = rows.iter().map(|row| row.0.len()).sum();
        if u32::try_from(total).is_err() {
            return Err(Error::Unavailable {
                what: format!("a sparse index of {total} impacts"),
                remedy: "index fewer roots together".to_owned(),
            });
        }
        let mut by_word: BTreeMap<u32, Vec<(u32, u8)>> = BTreeMap::new();
        for (row, impacts) in (0..).zip(rows) {
            for (word, impact) in &impacts.0 {
                by_word.entry(*word).or_default().push((row, *impact));
            }
        }
        let mut built = Self::default();
        built.postings.reserve(2 * total);
        for (word, postings) in by_word {
            built.words.push(word);
            built.word_starts.push(built.blocks.len() as u32);
            for block in postings.chunk_by(|a, b| a.0 / BLOCK_ROWS == b.0 / BLOCK_ROWS) {
                built.blocks.push(block[0].0 / BLOCK_ROWS);
                built.block_starts.push((built.postings.len() / 2) as u32);
                built.maxima.push(block.iter().map(|(_, impact)| *impact).max().unwrap_or(0));
                for (row, impact) in block {
                    built.postings.extend([(row % BLOCK_ROWS) as u8, *impact]);
                }
            }
        }
        built.word_starts.push(built.blocks.len() as u32);
        built.block_starts.push((built.postings.len() / 2) as u32);
        Ok(built)
    }
}
