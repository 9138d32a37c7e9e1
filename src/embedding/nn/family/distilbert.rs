//! How is a DistilBERT described? (Sanh et al., 2019: a BERT of fewer layers under other names.)

use super::{
    ClassifierRule, DenseRule, Family, MaskedLmRule, Pooled, head_dim, layers_of, same_layers,
    scale_of,
};
use crate::base::error::Result;
use crate::device::cpu::ops::Activation;
use crate::embedding::nn::config::Raw;
use crate::embedding::nn::description::{
    Absolute, BiasRule, Description, Names, NormNames, NormRule, Up,
};

pub const FAMILY: Family = Family {
    model_types: &["distilbert"],
    describe,
    classifier: Some(|_| Ok(classifier())),
    masked_lm: Some(masked_lm),
};

/// The family's own constant: its config has no key for it.
const NORM_EPS: f32 = 1e-12;

static NAMES: Names = Names {
    prefixes: &["", "distilbert."],
    words: "embeddings.word_embeddings",
    positions: "embeddings.position_embeddings",
    embedding_norm: Some("embeddings.LayerNorm"),
    layer: "transformer.layer",
    qkv: &["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    attended: "attention.out_lin",
    attention_norms: NormNames::joined("sa_layer_norm"),
    up: Up::Plain("ffn.lin1"),
    down: "ffn.lin2",
    mlp_norms: NormNames::joined("output_layer_norm"),
    ..Names::NONE
};

fn describe(raw: &Raw) -> Result<Description> {
    let (hidden_dim, heads) = (raw.size("dim")?, raw.size("n_heads")?);
    let head_dim = head_dim(raw, hidden_dim, heads)?;
    let positions = raw.size("max_position_embeddings")?;
    Ok(Description {
        names: &NAMES,
        vocab_size: raw.size("vocab_size")?,
        max_tokens: positions,
        hidden_dim,
        intermediate_dim: raw.size("hidden_dim")?,
        heads,
        heads_kv: heads,
        head_dim,
        attention_scale: scale_of(head_dim),
        embedding_scale: 1.0,
        types: 0,
        // Sinusoidal positions, where the config asks for them, are in the table too.
        absolute: Some(Absolute { rows: positions, first: 0, pad: None }),
        relative_buckets: None,
        rotaries: Vec::new(),
        layers: same_layers(layers_of(raw, "n_layers")?, None),
        norm: NormRule::layer(NORM_EPS),
        activation: raw.activation("activation", "gelu")?,
        bias: BiasRule::ALL,
    })
}

fn classifier() -> ClassifierRule {
    let dense = DenseRule { name: "pre_classifier", bias: true, activation: Activation::Relu };
    ClassifierRule {
        pooled: Pooled::First,
        dense: Some(dense),
        norm: None,
        out: "classifier",
        out_bias: true,
    }
}

fn masked_lm(raw: &Raw) -> Result<MaskedLmRule> {
    let activation = raw.activation("activation", "gelu")?;
    Ok(MaskedLmRule {
        dense: DenseRule { name: "vocab_transform", bias: true, activation },
        norm: "vocab_layer_norm",
        decoder: "vocab_projector",
        bias: Some("vocab_projector.bias"),
    })
}
