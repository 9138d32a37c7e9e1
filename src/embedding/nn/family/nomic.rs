//! Nomic BERT (Nussbaum et al., 2024): rotary positions, SwiGLU, no biases.

use serde_json::json;

use super::rope::{Layers, rotary, scaled_rotary};
use super::{Family, head_dim as head_dim_of, layers_of, plain_encoder, same_layers};
use crate::base::error::Result;
use crate::device::cpu::ops::{Activation, Rotary};
use crate::embedding::nn::architecture::Architecture;
use crate::embedding::nn::config::{Raw, unsupported};
use crate::embedding::nn::description::{
    Biases, Description, Names, NormConfig, NormNames, Sizes, UpProj,
};

pub const FAMILY: Family = Family {
    model_types: &["nomic_bert"],
    architecture: |raw| describe(raw).map(Architecture::Layers),
    classifier: None,
    masked_lm: None,
};

static NAMES: Names = Names {
    prefixes: &["", "bert.", "model."],
    word_embeddings: "embeddings.word_embeddings",
    token_type_embeddings: Some("embeddings.token_type_embeddings"),
    embedding_norm: Some("emb_ln"),
    layer: "encoder.layers",
    qkv: &["attn.Wqkv"],
    o_proj: "attn.out_proj",
    attention_norms: NormNames::joined("norm1"),
    up_proj: UpProj::Separate { gate: "mlp.fc12", up: "mlp.fc11" },
    down_proj: "mlp.fc2",
    mlp_norms: NormNames::joined("norm2"),
    position_embeddings: None,
    relative_attention_bias: None,
    final_norm: None,
    head_norms: None,
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
    let (up_proj, down_proj) =
        (raw.flag_or("mlp_fc1_bias", false)?, raw.flag_or("mlp_fc2_bias", false)?);
    let sizes = Sizes {
        vocab_size: raw.size("vocab_size")?,
        max_tokens: max_tokens(raw)?,
        hidden_dim,
        intermediate_dim: raw
            .size_or(raw.first(&["n_inner", "intermediate_size"]), 4 * hidden_dim)?,
        heads,
        head_dim,
    };
    let (layers, norm) = (same_layers(n, Some(0)), NormConfig::layer(eps as f32));
    Ok(Description {
        token_types: Some(raw.size_or("type_vocab_size", 2)?),
        rotaries: vec![rotary_of(raw, head_dim)?],
        bias: Biases { qkv, o_proj: qkv, up_proj, down_proj },
        ..Description::new(&NAMES, sizes, layers, norm, activation(raw)?)
    })
}

/// Beyond the positions it was trained on, a checkpoint with a scaling factor rotates by the length
/// of each sequence. That is not supported, so these positions are the limit.
fn max_tokens(raw: &Raw) -> Result<usize> {
    let positions = raw.size(raw.first(&["n_positions", "max_position_embeddings"]))?;
    if !raw.has("rotary_scaling_factor") {
        return Ok(positions);
    }
    Ok(raw.size_or("max_trained_positions", positions)?.min(positions))
}

fn rotary_of(raw: &Raw, head_dim: usize) -> Result<Rotary> {
    if !raw.has("rotary_emb_base") {
        return rotary(raw, Layers::All, "rope_theta", 1000.0, head_dim);
    }
    let theta = raw.positive_or("rotary_emb_base", 1000.0)?;
    scaled_rotary(raw, None, theta, raw.positive_or("rotary_emb_fraction", 1.0)?, head_dim)
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
