//! To which lengths the vectors of a model may be cut.

use std::path::Path;

use super::config::Raw;
use super::sentence::network_folder;
use crate::base::error::Result;

/// The lengths that a model was trained for (Matryoshka representations, Kusupati et al., 2022).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cuts {
    /// Only whole vectors.
    None,
    /// These lengths.
    Listed(Vec<usize>),
    Any,
}

impl Cuts {
    /// Reads `is_matryoshka` and `matryoshka_dimensions` of config.json in `folder`, as vLLM does.
    /// A folder of which only the tokenizer is here says nothing.
    pub fn read(folder: &Path) -> Result<Self> {
        let folder = network_folder(folder)?;
        if !folder.join("config.json").is_file() {
            return Ok(Self::None);
        }
        let raw = Raw::read(&folder)?;
        match raw.sizes("matryoshka_dimensions")? {
            Some(listed) => Ok(Self::Listed(listed)),
            None if raw.flag_or("is_matryoshka", false)? => Ok(Self::Any),
            None => Ok(Self::None),
        }
    }
}
