//! The encoders of T5 (Raffel et al., 2020), such as sentence-t5, gtr-t5 and instructor.

use candle_transformers::models::t5::{Config, T5EncoderModel};

use super::Family;
use crate::base::error::Result;
use crate::device::candle::failed;
use crate::embedding::nn::architecture::{Architecture, SequenceConfig, Shape};
use crate::embedding::nn::config::Raw;

/// Positions are relative, so that only the training has a limit.
const TOKENS_MAX: usize = 512;

pub const FAMILY: Family =
    Family { model_types: &["t5"], architecture, classifier: None, masked_lm: None };

fn architecture(raw: &Raw) -> Result<Architecture> {
    let shape = Shape {
        vocab_size: raw.size("vocab_size")?,
        token_types: None,
        max_tokens: raw.size_or("n_positions", TOKENS_MAX)?,
        hidden_dim: raw.size("d_model")?,
    };
    Ok(Architecture::CandleTransformers(SequenceConfig {
        shape,
        pools: false,
        load: |raw, weights| {
            let config: Config = raw.parse()?;
            let mut network = T5EncoderModel::load(weights, &config).map_err(failed)?;
            Ok(Box::new(move |sequence| network.forward(&sequence.ids)))
        },
    }))
}
