//! How is a Nomic BERT described? (Nussbaum et al., 2024: rotary positions, SwiGLU, no biases.)

use serde_json::json;

use super::rope::{rotary, turning};
use super::{Family, head_dim as head_dim_of, layers_of, plain_encoder, same_layers, scale_of};
use crate::base::error::Result;
use crate::device::cpu::ops::{Activation, Rotary};
use crate::embedding::nn::config::{Raw, unsupported};
use crate::embedding::nn::description::{BiasRule, Description, Names, NormNames, NormRule, Up};

pub const FAMILY: Family =
    Family { model_types: &["nomic_bert"], describe, classifier: None, masked_lm: None };

static NAMES: Names = Names {
    prefixes: &["", "bert.", "model."],
    words: "embeddings.word_embeddings",
    types: "embeddings.token_type_embeddings",
    embedding_norm: Some("emb_ln"),
    layer: "encoder.layers",
    qkv: &["attn.Wqkv"],
    attended: "attn.out_proj",
    attention_norms: NormNames::joined("norm1"),
    up: Up::Gated { gate: "mlp.fc12", up: "mlp.fc11" },
    down: "mlp.fc2",
    mlp_norms: NormNames::joined("norm2"),
    ..Names::NONE
};

/// Published checkpoints name their sizes after GPT-2, newer files after BERT.
fn describe(raw: &Raw) -> Result<Description> {
    refuse_variants(raw)?;
    let hidden_dim = raw.size(raw.first(&["n_embd", "hidden_size"]))?;
    let heads = raw.size(raw.first(&["n_head", "num_attention_heads"]))?;
    let head_dim = match raw.size_if("head_dim")? {
        Some(head_dim) => head_dim,
        None => head_dim_of(raw, hidden_dim, heads)?,
    };
    let n = layers_of(raw, raw.first(&["n_layer", "num_hidden_layers"]))?;
    let eps = raw.number_or(raw.first(&["layer_norm_epsilon", "layer_norm_eps"]), 1e-12)?;
    let qkv = raw.flag_or("qkv_proj_bias", false)?;
    let (up, down) = (raw.flag_or("mlp_fc1_bias", false)?, raw.flag_or("mlp_fc2_bias", false)?);
    Ok(Description {
        names: &NAMES,
        vocab_size: raw.size("vocab_size")?,
        max_tokens: max_tokens(raw)?,
        hidden_dim,
        intermediate_dim: raw
            .size_or(raw.first(&["n_inner", "intermediate_size"]), 4 * hidden_dim)?,
        heads,
        heads_kv: heads,
        head_dim,
        attention_scale: scale_of(head_dim),
        embedding_scale: 1.0,
        types: raw.size_or("type_vocab_size", 2)?,
        absolute: None,
        relative_buckets: None,
        rotaries: vec![turned(raw, head_dim)?],
        layers: same_layers(n, Some(0)),
        norm: NormRule::layer(eps as f32),
        activation: activation(raw)?,
        bias: BiasRule { qkv, attended: qkv, up, down },
    })
}

/// Beyond the positions it was trained on, a checkpoint with a scaling factor turns by the length
/// of each sequence; that is not computed, so they are its limit.
fn max_tokens(raw: &Raw) -> Result<usize> {
    let positions = raw.size(raw.first(&["n_positions", "max_position_embeddings"]))?;
    if !raw.has("rotary_scaling_factor") {
        return Ok(positions);
    }
    Ok(raw.size_or("max_trained_positions", positions)?.min(positions))
}

fn turned(raw: &Raw, head_dim: usize) -> Result<Rotary> {
    if !raw.has("rotary_emb_base") {
        return rotary(raw, "full_attention", "rope_theta", 1000.0, head_dim);
    }
    let theta = raw.positive_or("rotary_emb_base", 1000.0)?;
    turning(raw, None, theta, raw.positive_or("rotary_emb_fraction", 1.0)?, head_dim)
}

fn activation(raw: &Raw) -> Result<Activation> {
    if !raw.has("activation_function") {
        return raw.activation("hidden_act", "silu");
    }
    match raw.text_or("activation_function", "swiglu")? {
        "swiglu" => Ok(Activation::Silu),
        "geglu" => Ok(Activation::Gelu),
        other => Err(unsupported(format!("activation_function {other}"), "swiglu and geglu")),
    }
}

fn refuse_variants(raw: &Raw) -> Result<()> {
    plain_encoder(raw)?;
    let off = ["prenorm", "use_rms_norm", "rotary_emb_interleaved", "parallel_block", "causal"];
    off.iter().try_for_each(|key| raw.only(key, json!(false)))?;
    raw.only("scale_attn_by_inverse_layer_idx", json!(false))?;
    raw.only("rotary_emb_scale_base", json!(null))?;
    raw.only("moe_every_n_layers", json!(0))
}
