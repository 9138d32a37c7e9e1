//! BERT (Devlin et al., 2018): post-norm, absolute positions.

use super::{
    DenseConfig, Family, MaskedLmConfig, first_token_classifier, jina, layers_of, plain_encoder,
    same_layers, sizes,
};
use crate::base::error::Result;
use crate::embedding::nn::architecture::Architecture;
use crate::embedding::nn::config::Raw;
use crate::embedding::nn::description::{
    Absolute, Description, Names, NormConfig, NormNames, UpProj,
};

pub const FAMILY: Family = Family {
    model_types: &["bert"],
    architecture: |raw| {
        let is_jina = raw.text_or("position_embedding_type", "absolute")? == "alibi";
        let description = if is_jina { jina::describe(raw)? } else { describe(raw, &NAMES)? };
        Ok(Architecture::Layers(description))
    },
    classifier: Some(|_| Ok(first_token_classifier("pooler.dense", "classifier"))),
    masked_lm: Some(masked_lm),
};

static NAMES: Names = NAMES_BERT;

pub const NAMES_BERT: Names = Names {
    prefixes: &["", "bert."],
    word_embeddings: "embeddings.word_embeddings",
    token_type_embeddings: Some("embeddings.token_type_embeddings"),
    position_embeddings: Some("embeddings.position_embeddings"),
    embedding_norm: Some("embeddings.LayerNorm"),
    layer: "encoder.layer",
    qkv: &["attention.self.query", "attention.self.key", "attention.self.value"],
    o_proj: "attention.output.dense",
    attention_norms: NormNames::joined("attention.output.LayerNorm"),
    up_proj: UpProj::Plain("intermediate.dense"),
    down_proj: "output.dense",
    mlp_norms: NormNames::joined("output.LayerNorm"),
    relative_attention_bias: None,
    final_norm: None,
    head_norms: None,
};

/// Reads the config of BERT, whose keys many later models share.
pub fn describe(raw: &Raw, names: &'static Names) -> Result<Description> {
    plain_encoder(raw)?;
    let sizes = sizes(raw, None)?;
    let layers = same_layers(layers_of(raw, "num_hidden_layers")?, None);
    let norm = NormConfig::layer(raw.number_or("layer_norm_eps", 1e-12)? as f32);
    let activation = raw.activation("hidden_act", "gelu")?;
    Ok(Description {
        token_types: Some(raw.size_or("type_vocab_size", 2)?),
        absolute: Some(Absolute { rows: sizes.max_tokens, first: 0, pad: None }),
        ..Description::new(names, sizes, layers, norm, activation)
    })
}

fn masked_lm(raw: &Raw) -> Result<MaskedLmConfig> {
    let activation = raw.activation("hidden_act", "gelu")?;
    Ok(MaskedLmConfig {
        dense: DenseConfig { name: "cls.predictions.transform.dense", bias: true, activation },
        norm: "cls.predictions.transform.LayerNorm",
        decoder: "cls.predictions.decoder",
        bias: Some("cls.predictions.bias"),
    })
}
