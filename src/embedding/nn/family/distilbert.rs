//! DistilBERT (Sanh et al., 2019): a BERT of fewer layers under other names.

use super::{
    ClassifierConfig, DenseConfig, Family, MaskedLmConfig, Pooling, head_dim, layers_of,
    same_layers,
};
use crate::base::error::Result;
use crate::device::cpu::ops::Activation;
use crate::embedding::nn::architecture::Architecture;
use crate::embedding::nn::config::Raw;
use crate::embedding::nn::description::{
    Absolute, Description, Names, NormConfig, NormNames, Sizes, UpProj,
};

pub const FAMILY: Family = Family {
    model_types: &["distilbert"],
    architecture: |raw| describe(raw).map(Architecture::Layers),
    classifier: Some(|_| Ok(classifier())),
    masked_lm: Some(masked_lm),
};

/// The family's own constant: its config has no key for it.
const NORM_EPS: f32 = 1e-12;

static NAMES: Names = Names {
    prefixes: &["", "distilbert."],
    word_embeddings: "embeddings.word_embeddings",
    position_embeddings: Some("embeddings.position_embeddings"),
    embedding_norm: Some("embeddings.LayerNorm"),
    layer: "transformer.layer",
    qkv: &["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    o_proj: "attention.out_lin",
    attention_norms: NormNames::joined("sa_layer_norm"),
    up_proj: UpProj::Plain("ffn.lin1"),
    down_proj: "ffn.lin2",
    mlp_norms: NormNames::joined("output_layer_norm"),
    token_type_embeddings: None,
    relative_attention_bias: None,
    final_norm: None,
    head_norms: None,
};

fn describe(raw: &Raw) -> Result<Description> {
    let (hidden_dim, heads) = (raw.size("dim")?, raw.size("n_heads")?);
    let sizes = Sizes {
        vocab_size: raw.size("vocab_size")?,
        max_tokens: raw.size("max_position_embeddings")?,
        hidden_dim,
        intermediate_dim: raw.size("hidden_dim")?,
        heads,
        head_dim: head_dim(raw, hidden_dim, heads)?,
    };
    let layers = same_layers(layers_of(raw, "n_layers")?, None);
    let activation = raw.activation("activation", "gelu")?;
    Ok(Description {
        // Sinusoidal positions, if the config asks for them, are in the table too.
        absolute: Some(Absolute { rows: sizes.max_tokens, first: 0, pad: None }),
        ..Description::new(&NAMES, sizes, layers, NormConfig::layer(NORM_EPS), activation)
    })
}

fn classifier() -> ClassifierConfig {
    let dense = DenseConfig { name: "pre_classifier", bias: true, activation: Activation::Relu };
    ClassifierConfig {
        pooling: Pooling::Cls,
        dense: Some(dense),
        norm: None,
        out: "classifier",
        out_bias: true,
    }
}

fn masked_lm(raw: &Raw) -> Result<MaskedLmConfig> {
    let activation = raw.activation("activation", "gelu")?;
    Ok(MaskedLmConfig {
        dense: DenseConfig { name: "vocab_transform", bias: true, activation },
        norm: "vocab_layer_norm",
        decoder: "vocab_projector",
        bias: Some("vocab_projector.bias"),
    })
}
