//! Decoders that became embedders: Llama, Mistral, Qwen 2 and 3.

use super::rope::{Layers, rotary};
use super::{ClassifierConfig, Family, Pooling, layers_of, sizes, windowed};
use crate::base::error::Result;
use crate::device::cpu::ops::Mask;
use crate::embedding::nn::architecture::Architecture;
use crate::embedding::nn::config::Raw;
use crate::embedding::nn::description::{
    Biases, Description, LayerConfig, Names, NormConfig, NormNames, UpProj,
};

pub const FAMILY: Family = Family {
    model_types: &["qwen2", "qwen3", "llama", "mistral"],
    architecture: |raw| describe(raw).map(Architecture::Layers),
    classifier: Some(|_| Ok(classifier())),
    masked_lm: None,
};

static NAMES: Names = Names { head_norms: None, ..NAMES_QWEN3 };

static NAMES_OF_QWEN3: Names = NAMES_QWEN3;

pub const NAMES_QWEN3: Names = Names {
    prefixes: &["", "model."],
    word_embeddings: "embed_tokens",
    final_norm: Some("norm"),
    layer: "layers",
    qkv: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    head_norms: Some(["self_attn.q_norm", "self_attn.k_norm"]),
    o_proj: "self_attn.o_proj",
    attention_norms: NormNames::before("input_layernorm"),
    up_proj: UpProj::Separate { gate: "mlp.gate_proj", up: "mlp.up_proj" },
    down_proj: "mlp.down_proj",
    mlp_norms: NormNames::before("post_attention_layernorm"),
    token_type_embeddings: None,
    position_embeddings: None,
    relative_attention_bias: None,
    embedding_norm: None,
};

fn describe(raw: &Raw) -> Result<Description> {
    let sizes = sizes(raw, raw.size_if("head_dim")?)?;
    let model_type = raw.text_or("model_type", "")?;
    let names = if model_type == "qwen3" { &NAMES_OF_QWEN3 } else { &NAMES };
    let config = |mask| LayerConfig { mask, rotary: Some(0) };
    let layers = masks(raw, model_type)?.into_iter().map(config).collect();
    let norm = NormConfig::rms(raw.number_or("rms_norm_eps", 1e-6)? as f32);
    let activation = raw.activation("hidden_act", "silu")?;
    Ok(Description {
        heads_kv: heads_kv(raw, sizes.heads)?,
        rotaries: vec![rotary(raw, Layers::All, "rope_theta", 10_000.0, sizes.head_dim)?],
        bias: bias(raw, model_type)?,
        ..Description::new(names, sizes, layers, norm, activation)
    })
}

/// Heads of keys and values, which must divide those of the queries.
pub fn heads_kv(raw: &Raw, heads: usize) -> Result<usize> {
    let heads_kv = raw.size_or("num_key_value_heads", heads)?;
    if !heads.is_multiple_of(heads_kv) {
        return Err(raw.broken(format!("{heads} heads do not share {heads_kv} of keys evenly")));
    }
    Ok(heads_kv)
}

/// Whether a token sees those after it: embedders use one key or the other for it.
pub fn bidirectional(raw: &Raw) -> Result<bool> {
    // The code that Stella and gte-Qwen2 bring along sees the whole sequence by default.
    let own_code =
        raw.object("auto_map").map(|map| map.text_or("AutoModel", "").map(str::to_owned));
    let whole =
        own_code.transpose()?.is_some_and(|class| class.ends_with("modeling_qwen.Qwen2Model"));
    Ok(raw.flag_or("use_bidirectional_attention", false)? || !raw.flag_or("is_causal", !whole)?)
}

fn bias(raw: &Raw, model_type: &str) -> Result<Biases> {
    let attention = raw.flag_or("attention_bias", false)?;
    let mlp = raw.flag_or("mlp_bias", false)?;
    // Qwen 2 has one for queries, keys and values, and no key in its config for it.
    let qkv = attention || model_type == "qwen2";
    Ok(Biases { qkv, o_proj: attention, up_proj: mlp, down_proj: mlp })
}

/// The mask of each layer: some see only a window that ends at the token itself.
fn masks(raw: &Raw, model_type: &str) -> Result<Vec<Mask>> {
    let n = layers_of(raw, "num_hidden_layers")?;
    let after = if bidirectional(raw)? { usize::MAX } else { 0 };
    let full = Mask { before: usize::MAX, after };
    let Some(window) = raw.size_if("sliding_window")? else { return Ok(vec![full; n]) };
    let narrow = Mask { before: window - 1, after: after.min(window - 1) };
    let first = match model_type {
        "mistral" => 0,
        "qwen2" | "qwen3" if raw.flag_or("use_sliding_window", false)? => {
            raw.size_or("max_window_layers", 28)?
        }
        _ => n,
    };
    let windowed = windowed(raw, n, |i| i >= first)?;
    Ok(windowed.into_iter().map(|windowed| if windowed { narrow } else { full }).collect())
}

fn classifier() -> ClassifierConfig {
    ClassifierConfig {
        pooling: Pooling::Last,
        dense: None,
        norm: None,
        out: "score",
        out_bias: false,
    }
}
