//! ModernBERT (Warner et al., 2024): pre-norm, GeGLU, local and global layers.

use serde_json::json;

use super::rope::{Layers, rotary};
use super::{
    ClassifierConfig, DenseConfig, Family, MaskedLmConfig, Pooling, layers_of, plain_encoder,
    sizes, windowed,
};
use crate::base::error::Result;
use crate::device::cpu::ops::Mask;
use crate::embedding::nn::architecture::Architecture;
use crate::embedding::nn::config::{Raw, unsupported};
use crate::embedding::nn::description::{
    Biases, Description, LayerConfig, Names, NormConfig, NormNames, UpProj,
};

pub const FAMILY: Family = Family {
    model_types: &["modernbert"],
    architecture: |raw| describe(raw).map(Architecture::Layers),
    classifier: Some(classifier),
    masked_lm: Some(masked_lm),
};

static NAMES: Names = Names {
    prefixes: &["", "model."],
    word_embeddings: "embeddings.tok_embeddings",
    embedding_norm: Some("embeddings.norm"),
    final_norm: Some("final_norm"),
    layer: "layers",
    qkv: &["attn.Wqkv"],
    o_proj: "attn.Wo",
    // The input of the first layer has just been normed.
    attention_norms: NormNames { before_first: false, ..NormNames::before("attn_norm") },
    up_proj: UpProj::GateUp("mlp.Wi"),
    down_proj: "mlp.Wo",
    mlp_norms: NormNames::before("mlp_norm"),
    token_type_embeddings: None,
    position_embeddings: None,
    relative_attention_bias: None,
    head_norms: None,
};

const FULL: Layers = Layers::Kind { name: "full_attention", scaled: true };
const SLIDING: Layers = Layers::Kind { name: "sliding_attention", scaled: true };

fn describe(raw: &Raw) -> Result<Description> {
    plain_encoder(raw)?;
    let sizes = sizes(raw, None)?;
    let n = layers_of(raw, "num_hidden_layers")?;
    let every = raw.size_or("global_attn_every_n_layers", 3)?;
    // The window is as wide as `local_attention`, half of it on each side.
    let half = raw.size_or("local_attention", 128)? / 2;
    let local = Mask { before: half, after: half };
    let config = |windowed| {
        if windowed {
            LayerConfig { mask: local, rotary: Some(1) }
        } else {
            LayerConfig { mask: Mask::FULL, rotary: Some(0) }
        }
    };
    let layers = windowed(raw, n, |i| !i.is_multiple_of(every))?.into_iter().map(config).collect();
    let bias = raw.flag_or("attention_bias", false)?;
    let mlp_bias = raw.flag_or("mlp_bias", false)?;
    let eps = raw.number_or("norm_eps", 1e-5)? as f32;
    let norm = NormConfig { bias: raw.flag_or("norm_bias", false)?, ..NormConfig::layer(eps) };
    let activation = raw.activation("hidden_activation", "gelu")?;
    Ok(Description {
        rotaries: vec![
            rotary(raw, FULL, "global_rope_theta", 160_000.0, sizes.head_dim)?,
            rotary(raw, SLIDING, "local_rope_theta", 10_000.0, sizes.head_dim)?,
        ],
        bias: Biases { qkv: bias, o_proj: bias, up_proj: mlp_bias, down_proj: mlp_bias },
        ..Description::new(&NAMES, sizes, layers, norm, activation)
    })
}

fn dense(raw: &Raw) -> Result<DenseConfig> {
    Ok(DenseConfig {
        name: "head.dense",
        bias: raw.flag_or("classifier_bias", false)?,
        activation: raw.activation("classifier_activation", "gelu")?,
    })
}

fn classifier(raw: &Raw) -> Result<ClassifierConfig> {
    let pooling = match raw.text_or("classifier_pooling", "cls")? {
        "cls" => Pooling::Cls,
        "mean" => Pooling::Mean,
        other => return Err(unsupported(format!("classifier_pooling {other}"), "cls, mean")),
    };
    let (dense, norm) = (Some(dense(raw)?), Some("head.norm"));
    Ok(ClassifierConfig { pooling, dense, norm, out: "classifier", out_bias: true })
}

fn masked_lm(raw: &Raw) -> Result<MaskedLmConfig> {
    raw.only("sparse_prediction", json!(false))?;
    let bias = raw.flag_or("decoder_bias", true)?.then_some("decoder.bias");
    Ok(MaskedLmConfig { dense: dense(raw)?, norm: "head.norm", decoder: "decoder", bias })
}
