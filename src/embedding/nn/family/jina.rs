//! The BERT of jina-embeddings-v2 (Günther et al., 2023): ALiBi instead of positions, gated
//! perceptrons. Its checkpoints call themselves "bert".

use std::path::Path;

use super::{bert, layers_of, same_layers, sizes};
use crate::base::error::Result;
use crate::device::cpu::ops::Activation;
use crate::embedding::nn::config::{Raw, unsupported};
use crate::embedding::nn::description::{
    Biases, Description, Names, NormConfig, NormNames, UpProj,
};
use crate::embedding::nn::weights::Weights;

/// jina-embeddings-v2-base-en and its like.
static NAMES: Names = NAMES_JINA;

const NAMES_JINA: Names = Names {
    position_embeddings: None,
    up_proj: UpProj::GateUp("mlp.gated_layers"),
    down_proj: "mlp.wo",
    mlp_norms: NormNames::joined("mlp.layernorm"),
    ..bert::NAMES_BERT
};

/// jina-embeddings-v2-base-code, which also norms queries and keys.
static NAMES_OF_CODE: Names = Names {
    head_norms: Some(["attention.self.layer_norm_q", "attention.self.layer_norm_k"]),
    attention_norms: NormNames {
        after_sum: Some("attention.output.LayerNorm"),
        ..NormNames::joined("layer_norm_1")
    },
    up_proj: UpProj::UpGate("mlp.up_gated_layer"),
    down_proj: "mlp.down_layer",
    mlp_norms: NormNames::joined("layer_norm_2"),
    ..NAMES_JINA
};

pub fn describe(raw: &Raw) -> Result<Description> {
    let activation = match raw.text_or("feed_forward_type", "original")? {
        "geglu" => Activation::Gelu,
        "reglu" => Activation::Relu,
        other => return Err(unsupported(format!("feed_forward_type {other}"), "geglu and reglu")),
    };
    let sizes = sizes(raw, None)?;
    let layers = same_layers(layers_of(raw, "num_hidden_layers")?, None);
    let norm = NormConfig::layer(raw.number_or("layer_norm_eps", 1e-12)? as f32);
    let names = if has_head_norms(raw.path()) { &NAMES_OF_CODE } else { &NAMES };
    Ok(Description {
        token_types: Some(raw.size_or("type_vocab_size", 2)?),
        alibi: true,
        head_norm_dim: sizes.hidden_dim,
        bias: Biases { up_proj: false, ..Biases::ALL },
        ..Description::new(names, sizes, layers, norm, activation)
    })
}

/// Whether the checkpoint beside config.json norms queries and keys: no key of the config says it.
fn has_head_norms(config: &Path) -> bool {
    let weights = config.parent().map(Weights::open);
    let name = "encoder.layer.0.attention.self.layer_norm_q.weight";
    weights.and_then(Result::ok).is_some_and(|weights| {
        NAMES.prefixes.iter().any(|prefix| weights.has(&format!("{prefix}{name}")))
    })
}
