//! How is a BERT described? (Devlin et al., 2018: post-norm, absolute positions.)

use super::{
    DenseRule, Family, MaskedLmRule, first_token_classifier, head_dim, layers_of, plain_encoder,
    same_layers, scale_of,
};
use crate::base::error::Result;
use crate::embedding::nn::config::Raw;
use crate::embedding::nn::description::{
    Absolute, BiasRule, Description, Names, NormNames, NormRule, Up,
};

pub const FAMILY: Family = Family {
    model_types: &["bert"],
    describe: |raw| describe(raw, &NAMES),
    classifier: Some(|_| Ok(first_token_classifier("pooler.dense", "classifier"))),
    masked_lm: Some(masked_lm),
};

static NAMES: Names = Names { prefixes: &["", "bert."], ..NAMES_BARE };

pub const NAMES_BARE: Names = Names {
    words: "embeddings.word_embeddings",
    types: "embeddings.token_type_embeddings",
    positions: "embeddings.position_embeddings",
    embedding_norm: Some("embeddings.LayerNorm"),
    layer: "encoder.layer",
    qkv: &["attention.self.query", "attention.self.key", "attention.self.value"],
    attended: "attention.output.dense",
    attention_norms: NormNames::joined("attention.output.LayerNorm"),
    up: Up::Plain("intermediate.dense"),
    down: "output.dense",
    mlp_norms: NormNames::joined("output.LayerNorm"),
    ..Names::NONE
};

/// As the config of BERT and of the models made after it says it.
pub fn describe(raw: &Raw, names: &'static Names) -> Result<Description> {
    plain_encoder(raw)?;
    let (hidden_dim, heads) = (raw.size("hidden_size")?, raw.size("num_attention_heads")?);
    let head_dim = head_dim(raw, hidden_dim, heads)?;
    let positions = raw.size("max_position_embeddings")?;
    Ok(Description {
        names,
        vocab_size: raw.size("vocab_size")?,
        max_tokens: positions,
        hidden_dim,
        intermediate_dim: raw.size("intermediate_size")?,
        heads,
        heads_kv: heads,
        head_dim,
        attention_scale: scale_of(head_dim),
        embedding_scale: 1.0,
        types: raw.size_or("type_vocab_size", 2)?,
        absolute: Some(Absolute { rows: positions, first: 0, pad: None }),
        relative_buckets: None,
        rotaries: Vec::new(),
        layers: same_layers(layers_of(raw, "num_hidden_layers")?, None),
        norm: NormRule::layer(raw.number_or("layer_norm_eps", 1e-12)? as f32),
        activation: raw.activation("hidden_act", "gelu")?,
        bias: BiasRule::ALL,
    })
}

fn masked_lm(raw: &Raw) -> Result<MaskedLmRule> {
    let activation = raw.activation("hidden_act", "gelu")?;
    Ok(MaskedLmRule {
        dense: DenseRule { name: "cls.predictions.transform.dense", bias: true, activation },
        norm: "cls.predictions.transform.LayerNorm",
        decoder: "cls.predictions.decoder",
        bias: Some("cls.predictions.bias"),
    })
}
