//! How is a GTE v1.5 described? (Zhang et al., 2024: rotary positions, packed qkv, GeGLU.)

use serde_json::json;

use super::rope::rotary;
use super::{
    DenseRule, Family, MaskedLmRule, first_token_classifier, head_dim, layers_of, same_layers,
    scale_of,
};
use crate::base::error::Result;
use crate::embedding::nn::config::Raw;
use crate::embedding::nn::description::{BiasRule, Description, Names, NormNames, NormRule, Up};

pub const FAMILY: Family = Family {
    // The published checkpoints call themselves "new".
    model_types: &["gte", "new"],
    describe,
    classifier: Some(|_| Ok(first_token_classifier("pooler.dense", "classifier"))),
    masked_lm: Some(masked_lm),
};

static NAMES: Names = Names {
    prefixes: &["", "new.", "model."],
    words: "embeddings.word_embeddings",
    types: "embeddings.token_type_embeddings",
    embedding_norm: Some("embeddings.LayerNorm"),
    layer: "encoder.layer",
    qkv: &["attention.qkv_proj"],
    attended: "attention.o_proj",
    attention_norms: NormNames::joined("attn_ln"),
    up: Up::GateLast("mlp.up_gate_proj"),
    down: "mlp.down_proj",
    mlp_norms: NormNames::joined("mlp_ln"),
    ..Names::NONE
};

fn describe(raw: &Raw) -> Result<Description> {
    refuse_variants(raw)?;
    let (hidden_dim, heads) = (raw.size("hidden_size")?, raw.size("num_attention_heads")?);
    let head_dim = head_dim(raw, hidden_dim, heads)?;
    // Zero means that there is no table; any other value must be a size.
    let types = match raw.number_or("type_vocab_size", 0.0)? {
        0.0 => 0,
        _ => raw.size("type_vocab_size")?,
    };
    Ok(Description {
        names: &NAMES,
        vocab_size: raw.size("vocab_size")?,
        max_tokens: raw.size("max_position_embeddings")?,
        hidden_dim,
        intermediate_dim: raw.size("intermediate_size")?,
        heads,
        heads_kv: heads,
        head_dim,
        attention_scale: scale_of(head_dim),
        embedding_scale: 1.0,
        types,
        absolute: None,
        relative_buckets: None,
        rotaries: vec![rotary(raw, "full_attention", "rope_theta", 10_000.0, head_dim)?],
        layers: same_layers(layers_of(raw, "num_hidden_layers")?, Some(0)),
        norm: NormRule::layer(raw.number_or("layer_norm_eps", 1e-12)? as f32),
        activation: raw.activation("hidden_act", "gelu")?,
        bias: BiasRule { up: false, ..BiasRule::ALL },
    })
}

fn refuse_variants(raw: &Raw) -> Result<()> {
    raw.only("position_embedding_type", json!("rope"))?;
    raw.only("layer_norm_type", json!("layer_norm"))?;
    raw.only("pack_qkv", json!(true))?;
    raw.only("logn_attention_scale", json!(false))?;
    raw.only("is_decoder", json!(false))
}

fn masked_lm(raw: &Raw) -> Result<MaskedLmRule> {
    let activation = raw.activation("hidden_act", "gelu")?;
    Ok(MaskedLmRule {
        dense: DenseRule { name: "lm_head.dense", bias: true, activation },
        norm: "lm_head.norm",
        decoder: "lm_head.decoder",
        bias: Some("lm_head.decoder.bias"),
    })
}
