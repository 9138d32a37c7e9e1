//! How are the decoders described that became embedders? (Llama, Mistral, Qwen 2 and 3.)

use super::rope::rotary;
use super::{
    ClassifierRule, Family, Pooled, head_dim as head_dim_of, layers_of, scale_of, windowed,
};
use crate::base::error::Result;
use crate::device::cpu::ops::Mask;
use crate::embedding::nn::config::Raw;
use crate::embedding::nn::description::{
    BiasRule, Description, LayerRule, Names, NormNames, NormRule, Up,
};

pub const FAMILY: Family = Family {
    model_types: &["qwen2", "qwen3", "llama", "mistral"],
    describe,
    classifier: Some(|_| Ok(classifier())),
    masked_lm: None,
};

static NAMES: Names = Names { head_norms: None, ..NAMES_QWEN3 };

static NAMES_OF_QWEN3: Names = NAMES_QWEN3;

pub const NAMES_QWEN3: Names = Names {
    prefixes: &["", "model."],
    words: "embed_tokens",
    final_norm: Some("norm"),
    layer: "layers",
    qkv: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    head_norms: Some(["self_attn.q_norm", "self_attn.k_norm"]),
    attended: "self_attn.o_proj",
    attention_norms: NormNames::before("input_layernorm"),
    up: Up::Gated { gate: "mlp.gate_proj", up: "mlp.up_proj" },
    down: "mlp.down_proj",
    mlp_norms: NormNames::before("post_attention_layernorm"),
    ..Names::NONE
};

fn describe(raw: &Raw) -> Result<Description> {
    let (hidden_dim, heads) = (raw.size("hidden_size")?, raw.size("num_attention_heads")?);
    let head_dim = match raw.size_if("head_dim")? {
        Some(head_dim) => head_dim,
        None => head_dim_of(raw, hidden_dim, heads)?,
    };
    let model_type = raw.text_or("model_type", "")?;
    let names = if model_type == "qwen3" { &NAMES_OF_QWEN3 } else { &NAMES };
    let rule = |mask| LayerRule { mask, rotary: Some(0) };
    Ok(Description {
        names,
        vocab_size: raw.size("vocab_size")?,
        max_tokens: raw.size("max_position_embeddings")?,
        hidden_dim,
        intermediate_dim: raw.size("intermediate_size")?,
        heads,
        heads_kv: heads_kv(raw, heads)?,
        head_dim,
        attention_scale: scale_of(head_dim),
        embedding_scale: 1.0,
        types: 0,
        absolute: None,
        relative_buckets: None,
        rotaries: vec![rotary(raw, "full_attention", "rope_theta", 10_000.0, head_dim)?],
        layers: masks(raw, model_type)?.into_iter().map(rule).collect(),
        norm: NormRule::rms(raw.number_or("rms_norm_eps", 1e-6)? as f32),
        activation: raw.activation("hidden_act", "silu")?,
        bias: bias(raw, model_type)?,
    })
}

/// Heads of keys and values, which must divide those of the queries.
pub fn heads_kv(raw: &Raw, heads: usize) -> Result<usize> {
    let heads_kv = raw.size_or("num_key_value_heads", heads)?;
    match heads.is_multiple_of(heads_kv) {
        true => Ok(heads_kv),
        false => Err(raw.broken(format!("{heads} heads do not share {heads_kv} of keys evenly"))),
    }
}

/// Whether a token sees those behind it: embedders say so by one key or the other.
pub fn bidirectional(raw: &Raw) -> Result<bool> {
    Ok(raw.flag_or("use_bidirectional_attention", false)? || !raw.flag_or("is_causal", true)?)
}

fn bias(raw: &Raw, model_type: &str) -> Result<BiasRule> {
    let attention = raw.flag_or("attention_bias", false)?;
    let mlp = raw.flag_or("mlp_bias", false)?;
    // Qwen 2 has one on queries, keys and values, and no key for it.
    let qkv = attention || model_type == "qwen2";
    Ok(BiasRule { qkv, attended: attention, up: mlp, down: mlp })
}

/// What each layer sees: some see only a window that ends at the token itself.
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

fn classifier() -> ClassifierRule {
    ClassifierRule { pooled: Pooled::Last, dense: None, norm: None, out: "score", out_bias: false }
}
