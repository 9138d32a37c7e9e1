//! Gemma 3 (Gemma Team, 2025): norms on both sides, sliding and full layers.

use serde_json::json;

use super::decoder::{self, bidirectional, heads_kv};
use super::rope::{Layers, rotary};
use super::{Family, layers_of, sizes, windowed};
use crate::base::error::Result;
use crate::device::cpu::ops::Mask;
use crate::embedding::nn::architecture::Architecture;
use crate::embedding::nn::config::Raw;
use crate::embedding::nn::description::{
    Biases, Description, LayerConfig, Names, NormConfig, NormNames,
};

pub const FAMILY: Family = Family {
    model_types: &["gemma3_text"],
    architecture: |raw| describe(raw).map(Architecture::Layers),
    classifier: None,
    masked_lm: None,
};

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

const FULL: Layers = Layers::Kind { name: "full_attention", scaled: true };
const SLIDING: Layers = Layers::Kind { name: "sliding_attention", scaled: false };

fn describe(raw: &Raw) -> Result<Description> {
    raw.only("attn_logit_softcapping", json!(null))?;
    let head_dim = raw.size_or("head_dim", 256)?;
    let sizes = sizes(raw, Some(head_dim))?;
    let bias = raw.flag_or("attention_bias", false)?;
    let eps = raw.number_or("rms_norm_eps", 1e-6)? as f32;
    let norm = NormConfig { weight_offset: 1.0, ..NormConfig::rms(eps) };
    let activation = raw.activation("hidden_activation", "gelu_pytorch_tanh")?;
    Ok(Description {
        heads_kv: heads_kv(raw, sizes.heads)?,
        attention_scale: 1.0 / raw.positive_or("query_pre_attn_scalar", 256.0)?.sqrt() as f32,
        embedding_scale: (sizes.hidden_dim as f64).sqrt() as f32,
        rotaries: vec![
            rotary(raw, FULL, "rope_theta", 1_000_000.0, head_dim)?,
            rotary(raw, SLIDING, "rope_local_base_freq", 10_000.0, head_dim)?,
        ],
        bias: Biases { qkv: bias, o_proj: bias, up_proj: false, down_proj: false },
        ..Description::new(&NAMES, sizes, layers(raw)?, norm, activation)
    })
}

fn layers(raw: &Raw) -> Result<Vec<LayerConfig>> {
    let n = layers_of(raw, "num_hidden_layers")?;
    let every = raw.first(&["_sliding_window_pattern", "sliding_window_pattern"]);
    let every = raw.size_or(every, 6)?;
    let window = raw.size_or("sliding_window", 4096)?;
    let (full, sliding) = if bidirectional(raw)? {
        // A window of the same size, half of it on each side.
        (Mask::FULL, Mask { before: window / 2, after: window / 2 })
    } else {
        (Mask::CAUSAL, Mask { before: window - 1, after: 0 })
    };
    let config = |windowed| {
        if windowed {
            LayerConfig { mask: sliding, rotary: Some(1) }
        } else {
            LayerConfig { mask: full, rotary: Some(0) }
        }
    };
    let windowed = windowed(raw, n, |i| !(i + 1).is_multiple_of(every))?;
    Ok(windowed.into_iter().map(config).collect())
}
