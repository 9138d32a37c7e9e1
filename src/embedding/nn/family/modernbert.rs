//! How is a ModernBERT described? (Warner et al., 2024: pre-norm, GeGLU, local and global layers.)

use serde_json::json;

use super::rope::rotary;
use super::{
    ClassifierRule, DenseRule, Family, MaskedLmRule, Pooled, head_dim, layers_of, plain_encoder,
    scale_of, windowed,
};
use crate::base::error::Result;
use crate::device::cpu::ops::Mask;
use crate::embedding::nn::config::{Raw, unsupported};
use crate::embedding::nn::description::{
    BiasRule, Description, LayerRule, Names, NormNames, NormRule, Up,
};

pub const FAMILY: Family = Family {
    model_types: &["modernbert"],
    describe,
    classifier: Some(classifier),
    masked_lm: Some(masked_lm),
};

static NAMES: Names = Names {
    prefixes: &["", "model."],
    words: "embeddings.tok_embeddings",
    embedding_norm: Some("embeddings.norm"),
    final_norm: Some("final_norm"),
    layer: "layers",
    qkv: &["attn.Wqkv"],
    attended: "attn.Wo",
    // What the first layer reads has just been normed.
    attention_norms: NormNames { before_first: false, ..NormNames::before("attn_norm") },
    up: Up::GateFirst("mlp.Wi"),
    down: "mlp.Wo",
    mlp_norms: NormNames::before("mlp_norm"),
    ..Names::NONE
};

fn describe(raw: &Raw) -> Result<Description> {
    plain_encoder(raw)?;
    let (hidden_dim, heads) = (raw.size("hidden_size")?, raw.size("num_attention_heads")?);
    let head_dim = head_dim(raw, hidden_dim, heads)?;
    let n = layers_of(raw, "num_hidden_layers")?;
    let every = raw.size_or("global_attn_every_n_layers", 3)?;
    // The window is as wide as `local_attention`, half of it on each side.
    let half = raw.size_or("local_attention", 128)? / 2;
    let local = Mask { before: half, after: half };
    let rule = |local_layer| match local_layer {
        false => LayerRule { mask: Mask::FULL, rotary: Some(0) },
        true => LayerRule { mask: local, rotary: Some(1) },
    };
    let layers = windowed(raw, n, |i| !i.is_multiple_of(every))?.into_iter().map(rule).collect();
    let bias = raw.flag_or("attention_bias", false)?;
    let mlp_bias = raw.flag_or("mlp_bias", false)?;
    let eps = raw.number_or("norm_eps", 1e-5)? as f32;
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
        types: 0,
        absolute: None,
        relative_buckets: None,
        rotaries: vec![
            rotary(raw, "full_attention", "global_rope_theta", 160_000.0, head_dim)?,
            rotary(raw, "sliding_attention", "local_rope_theta", 10_000.0, head_dim)?,
        ],
        layers,
        norm: NormRule { bias: raw.flag_or("norm_bias", false)?, ..NormRule::layer(eps) },
        activation: raw.activation("hidden_activation", "gelu")?,
        bias: BiasRule { qkv: bias, attended: bias, up: mlp_bias, down: mlp_bias },
    })
}

fn dense(raw: &Raw) -> Result<DenseRule> {
    Ok(DenseRule {
        name: "head.dense",
        bias: raw.flag_or("classifier_bias", false)?,
        activation: raw.activation("classifier_activation", "gelu")?,
    })
}

fn classifier(raw: &Raw) -> Result<ClassifierRule> {
    let pooled = match raw.text_or("classifier_pooling", "cls")? {
        "cls" => Pooled::First,
        "mean" => Pooled::Mean,
        other => return Err(unsupported(format!("classifier_pooling {other}"), "cls, mean")),
    };
    let (dense, norm) = (Some(dense(raw)?), Some("head.norm"));
    Ok(ClassifierRule { pooled, dense, norm, out: "classifier", out_bias: true })
}

fn masked_lm(raw: &Raw) -> Result<MaskedLmRule> {
    raw.only("sparse_prediction", json!(false))?;
    let bias = raw.flag_or("decoder_bias", true)?.then_some("decoder.bias");
    Ok(MaskedLmRule { dense: dense(raw)?, norm: "head.norm", decoder: "decoder", bias })
}
