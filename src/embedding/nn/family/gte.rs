//! GTE v1.5 (Zhang et al., 2024): rotary positions, packed qkv, GeGLU.

use serde_json::json;

use super::rope::{Layers, rotary};
use super::{
    DenseConfig, Family, MaskedLmConfig, first_token_classifier, layers_of, same_layers, sizes,
    token_types,
};
use crate::base::error::Result;
use crate::embedding::nn::architecture::Architecture;
use crate::embedding::nn::config::Raw;
use crate::embedding::nn::description::{
    Biases, Description, Names, NormConfig, NormNames, UpProj,
};

pub const FAMILY: Family = Family {
    // The published checkpoints call themselves "new".
    model_types: &["gte", "new"],
    architecture: |raw| describe(raw).map(Architecture::Layers),
    classifier: Some(|_| Ok(first_token_classifier("pooler.dense", "classifier"))),
    masked_lm: Some(masked_lm),
};

static NAMES: Names = Names {
    prefixes: &["", "new.", "model."],
    word_embeddings: "embeddings.word_embeddings",
    token_type_embeddings: Some("embeddings.token_type_embeddings"),
    embedding_norm: Some("embeddings.LayerNorm"),
    layer: "encoder.layer",
    qkv: &["attention.qkv_proj"],
    o_proj: "attention.o_proj",
    attention_norms: NormNames::joined("attn_ln"),
    up_proj: UpProj::UpGate("mlp.up_gate_proj"),
    down_proj: "mlp.down_proj",
    mlp_norms: NormNames::joined("mlp_ln"),
    position_embeddings: None,
    relative_attention_bias: None,
    final_norm: None,
    head_norms: None,
};

fn describe(raw: &Raw) -> Result<Description> {
    refuse_variants(raw)?;
    let sizes = sizes(raw, None)?;
    let layers = same_layers(layers_of(raw, "num_hidden_layers")?, Some(0));
    let norm = NormConfig::layer(raw.number_or("layer_norm_eps", 1e-12)? as f32);
    let activation = raw.activation("hidden_act", "gelu")?;
    Ok(Description {
        token_types: token_types(raw)?,
        rotaries: vec![rotary(raw, Layers::All, "rope_theta", 10_000.0, sizes.head_dim)?],
        bias: Biases { up_proj: false, ..Biases::ALL },
        ..Description::new(&NAMES, sizes, layers, norm, activation)
    })
}

fn refuse_variants(raw: &Raw) -> Result<()> {
    raw.only("position_embedding_type", json!("rope"))?;
    raw.only("layer_norm_type", json!("layer_norm"))?;
    raw.only("pack_qkv", json!(true))?;
    raw.only("logn_attention_scale", json!(false))?;
    raw.only("is_decoder", json!(false))
}

fn masked_lm(raw: &Raw) -> Result<MaskedLmConfig> {
    let activation = raw.activation("hidden_act", "gelu")?;
    Ok(MaskedLmConfig {
        dense: DenseConfig { name: "lm_head.dense", bias: true, activation },
        norm: "lm_head.norm",
        decoder: "lm_head.decoder",
        bias: Some("lm_head.decoder.bias"),
    })
}
