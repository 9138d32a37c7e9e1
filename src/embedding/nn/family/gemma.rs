//! How is a Gemma 3 described? (Gemma Team, 2025: norms on both sides, sliding and full layers.)

use serde_json::json;

use super::decoder::{self, bidirectional, heads_kv};
use super::rope::rotary;
use super::{Family, layers_of, windowed};
use crate::base::error::Result;
use crate::device::cpu::ops::Mask;
use crate::embedding::nn::config::Raw;
use crate::embedding::nn::description::{
    BiasRule, Description, LayerRule, Names, NormNames, NormRule,
};

pub const FAMILY: Family =
    Family { model_types: &["gemma3_text"], describe, classifier: None, masked_lm: None };

static NAMES: Names = Names {
    attention_norms: NormNames {
        after: Some("post_attention_layernorm"),
        ..NormNames::before("input_layernorm")
    },
    mlp_norms: NormNames {
        after: Some("post_feedforward_layernorm"),
        ..NormNames::before("pre_feedforward_layernorm")
    },
    ..decoder::NAMES_QWEN3
};

fn describe(raw: &Raw) -> Result<Description> {
    raw.only("attn_logit_softcapping", json!(null))?;
    let (hidden_dim, heads) = (raw.size("hidden_size")?, raw.size("num_attention_heads")?);
    let head_dim = raw.size_or("head_dim", 256)?;
    let bias = raw.flag_or("attention_bias", false)?;
    let eps = raw.number_or("rms_norm_eps", 1e-6)? as f32;
    Ok(Description {
        names: &NAMES,
        vocab_size: raw.size("vocab_size")?,
        max_tokens: raw.size("max_position_embeddings")?,
        hidden_dim,
        intermediate_dim: raw.size("intermediate_size")?,
        heads,
        heads_kv: heads_kv(raw, heads)?,
        head_dim,
        attention_scale: 1.0 / raw.positive_or("query_pre_attn_scalar", 256.0)?.sqrt() as f32,
        embedding_scale: (hidden_dim as f64).sqrt() as f32,
        types: 0,
        absolute: None,
        relative_buckets: None,
        rotaries: vec![
            rotary(raw, "full_attention", "rope_theta", 1_000_000.0, head_dim)?,
            rotary(raw, "sliding_attention", "rope_local_base_freq", 10_000.0, head_dim)?,
        ],
        layers: layers(raw)?,
        norm: NormRule { weight_offset: 1.0, ..NormRule::rms(eps) },
        activation: raw.activation("hidden_activation", "gelu_pytorch_tanh")?,
        bias: BiasRule { qkv: bias, attended: bias, up: false, down: false },
    })
}

fn layers(raw: &Raw) -> Result<Vec<LayerRule>> {
    let n = layers_of(raw, "num_hidden_layers")?;
    let every = raw.first(&["_sliding_window_pattern", "sliding_window_pattern"]);
    let every = raw.size_or(every, 6)?;
    let window = raw.size_or("sliding_window", 4096)?;
    let (full, sliding) = match bidirectional(raw)? {
        // Then the window is as wide in all, half of it on each side.
        true => (Mask::FULL, Mask { before: window / 2, after: window / 2 }),
        false => (Mask::CAUSAL, Mask { before: window - 1, after: 0 }),
    };
    let rule = |windowed| match windowed {
        false => LayerRule { mask: full, rotary: Some(0) },
        true => LayerRule { mask: sliding, rotary: Some(1) },
    };
    let windowed = windowed(raw, n, |i| !(i + 1).is_multiple_of(every))?;
    Ok(windowed.into_iter().map(rule).collect())
}
