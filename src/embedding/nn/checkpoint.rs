//! A model folder that is being loaded.

use std::path::Path;

use super::architecture::Architecture;
use super::config::{Raw, unsupported};
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
    pub architecture: Architecture,
    pub weights: Weights,
}

impl Checkpoint {
    /// Reads `config.json`, and maps the safetensors of `folder`.
    pub fn open(folder: &Path) -> Result<Self> {
        let folder = &network_folder(folder)?;
        let raw = Raw::read(folder)?;
        let family = family(&raw)?;
        let architecture = (family.architecture)(&raw)?;
        let weights = Weights::open(folder)?;
        Ok(Self { raw, family, architecture, weights })
    }

    /// The description of our layers; an error if candle-transformers computes the network.
    pub fn layers(&self) -> Result<&Description> {
        match &self.architecture {
            Architecture::Layers(description) => Ok(description),
            _ => {
                let model_type = self.raw.text_or("model_type", "")?;
                let found = format!("model type {model_type:?} in this way");
                Err(unsupported(found, "a family that our layers compute"))
            }
        }
    }

    /// The tensors of the encoder, for layers on `on`.
    pub fn encoder<'a, B: Backend>(&'a self, on: &'a B) -> Result<Part<'a, B>> {
        let names = self.layers()?.names;
        let probe = format!("{}.weight", names.word_embeddings);
        Part::find(&self.weights, names.prefixes, &probe, on)
    }
}
