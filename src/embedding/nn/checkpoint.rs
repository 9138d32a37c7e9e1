//! A model folder that is being loaded.

use std::path::Path;

use super::config::Raw;
use super::description::Description;
use super::family::{Family, family};
use super::part::Part;
use super::sentence::network_folder;
use super::weights::Weights;
use crate::base::error::Result;
use crate::device::Backend;

/// The config and the tensors of a model folder, from which the encoder and a head are made.
pub struct Checkpoint {
    pub raw: Raw,
    pub family: &'static Family,
    pub description: Description,
    pub weights: Weights,
}

impl Checkpoint {
    /// Reads `config.json`, and maps the safetensors of `folder`.
    pub fn open(folder: &Path) -> Result<Self> {
        let folder = &network_folder(folder)?;
        let raw = Raw::read(folder)?;
        let family = family(&raw)?;
        let description = (family.describe)(&raw)?;
        let weights = Weights::open(folder)?;
        Ok(Self { raw, family, description, weights })
    }

    /// The tensors of the encoder, for layers on `on`.
    pub fn encoder<'a, B: Backend>(&'a self, on: &'a B) -> Result<Part<'a, B>> {
        let names = self.description.names;
        let probe = format!("{}.weight", names.word_embeddings);
        Part::find(&self.weights, names.prefixes, &probe, on)
    }
}
