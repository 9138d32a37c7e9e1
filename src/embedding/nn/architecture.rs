//! What computes the network of a model folder.

use std::path::Path;

use super::candle_transformers_network::Loader;
use super::config::Raw;
use super::description::Description;
use super::family::family;
use super::sentence::network_folder;
use super::static_table::StaticConfig;
use crate::base::error::Result;

/// The network that config.json describes, without its weights.
pub enum Architecture {
    /// Our layers, on any device.
    Layers(Description),
    /// A network of candle-transformers, on a device of candle.
    CandleTransformers(SequenceConfig),
    /// A table of token vectors, in the memory of the CPU.
    Static(StaticConfig, Shape),
}

/// A network of candle-transformers.
pub struct SequenceConfig {
    pub shape: Shape,
    /// Whether it pools by itself.
    pub pools: bool,
    pub load: Loader,
}

/// What the users of a network must know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub vocab_size: usize,
    /// Rows of the token type embeddings, if there are any.
    pub token_types: Option<usize>,
    /// Tokens of the longest sequence.
    pub max_tokens: usize,
    /// Values of a hidden state.
    pub hidden_dim: usize,
}

/// What computes a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkKind {
    Layers,
    CandleTransformers,
    Static,
}

impl NetworkKind {
    /// The kind of the network in `folder`, by its config.json.
    pub fn read(folder: &Path) -> Result<Self> {
        Ok(match Architecture::read(folder)? {
            Architecture::Layers(_) => Self::Layers,
            Architecture::CandleTransformers(_) => Self::CandleTransformers,
            Architecture::Static(..) => Self::Static,
        })
    }

    /// A few words for a list of models.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Layers => "native",
            Self::CandleTransformers => "candle-transformers",
            Self::Static => "static table",
        }
    }
}

impl Architecture {
    /// Reads `config.json` of the model in `folder`; no weights are read.
    pub fn read(folder: &Path) -> Result<Self> {
        if let Some(config) = StaticConfig::find(folder)? {
            let shape = config.shape()?;
            return Ok(Self::Static(config, shape));
        }
        let raw = Raw::read(&network_folder(folder)?)?;
        (family(&raw)?.architecture)(&raw)
    }

    pub fn shape(&self) -> Shape {
        match self {
            Self::CandleTransformers(config) => config.shape,
            Self::Static(_, shape) => *shape,
            Self::Layers(of) => Shape {
                vocab_size: of.vocab_size,
                token_types: of.token_types,
                max_tokens: of.max_tokens,
                hidden_dim: of.hidden_dim,
            },
        }
    }
}
