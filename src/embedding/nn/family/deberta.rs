//! DeBERTa v2 and v3 (He et al., 2021): rerankers, and some embedders.

use candle_transformers::models::debertav2::{Config, DebertaV2Model};

use super::{ClassifierConfig, DenseConfig, Family, layers_of, sizes, token_types};
use crate::base::error::Result;
use crate::device::candle::failed;
use crate::device::cpu::ops::{Activation, Pooling};
use crate::embedding::nn::architecture::{Architecture, SequenceConfig, Shape};
use crate::embedding::nn::config::Raw;

pub const FAMILY: Family = Family {
    model_types: &["deberta-v2"],
    architecture,
    classifier: Some(|_| Ok(classifier())),
    masked_lm: None,
};

fn architecture(raw: &Raw) -> Result<Architecture> {
    layers_of(raw, "num_hidden_layers")?;
    let sizes = sizes(raw, None)?;
    let shape = Shape {
        vocab_size: sizes.vocab_size,
        token_types: token_types(raw)?,
        max_tokens: sizes.max_tokens,
        hidden_dim: sizes.hidden_dim,
    };
    Ok(Architecture::CandleTransformers(SequenceConfig {
        shape,
        pools: false,
        load: |raw, weights| {
            let config: Config = raw.parse()?;
            let inside = weights.contains_tensor("deberta.embeddings.word_embeddings.weight");
            let weights = if inside { weights.pp("deberta") } else { weights };
            let network = DebertaV2Model::load(weights, &config).map_err(failed)?;
            Ok(Box::new(move |sequence| {
                network.forward(&sequence.ids, Some(sequence.token_type_ids.clone()), None)
            }))
        },
    }))
}

fn classifier() -> ClassifierConfig {
    let dense = DenseConfig { name: "pooler.dense", bias: true, activation: Activation::Gelu };
    ClassifierConfig {
        pooling: Pooling::Cls,
        dense: Some(dense),
        norm: None,
        out: "classifier",
        out_bias: true,
    }
}
