//! NV-Embed (Lee et al., 2024): a Mistral of 7 B parameters and an attention to latents, which pools
//! by itself.

use candle_transformers::models::nvembed_v2::model::Model;
use serde_json::json;

use super::Family;
use crate::base::error::Result;
use crate::device::candle::failed;
use crate::embedding::nn::architecture::{Architecture, SequenceConfig, Shape};
use crate::embedding::nn::config::Raw;

/// candle-transformers has these numbers in its code, those of the one published size.
const VOCAB_SIZE: usize = 32_000;
const HIDDEN_DIM: usize = 4096;
const TOKENS_MAX: usize = 32_768;

pub const FAMILY: Family =
    Family { model_types: &["nvembed"], architecture, classifier: None, masked_lm: None };

fn architecture(raw: &Raw) -> Result<Architecture> {
    for part in ["text_config", "latent_attention_config"] {
        let part = raw.object(part);
        part.map_or(Ok(()), |part| part.only("hidden_dim", json!(HIDDEN_DIM)))?;
    }
    let shape = Shape {
        vocab_size: VOCAB_SIZE,
        token_types: None,
        max_tokens: TOKENS_MAX,
        hidden_dim: HIDDEN_DIM,
    };
    Ok(Architecture::CandleTransformers(SequenceConfig {
        shape,
        pools: true,
        load: |_, weights| {
            let mut network = Model::new(weights).map_err(failed)?;
            Ok(Box::new(move |sequence| {
                let seen = sequence.pooled.ones_like()?;
                network.forward(&sequence.ids, &seen, &sequence.pooled)
            }))
        },
    }))
}
