//! Which families of transformers are supported, and how is each described?
//!
//! A family is a table of names and a reader of its config.json. Those that our layers do not
//! describe also say which network of candle-transformers computes them.

mod bert;
mod deberta;
mod decoder;
mod distilbert;
mod gemma;
mod gte;
mod jina;
mod modernbert;
mod mpnet;
mod nomic;
mod nvembed;
mod roberta;
mod rope;
mod t5;

use serde_json::json;

#[cfg(test)]
pub use bert::NAMES_BERT;

use super::architecture::Architecture;
use super::config::{Raw, unsupported};
use super::description::{LayerConfig, Sizes};
use crate::base::error::Result;
use crate::device::cpu::ops::{Activation, Mask, Pooling};

/// A layer count beyond this is a damaged file.
const LAYERS_MAX: usize = 1024;

/// Reads a part of config.json.
pub type Reader<T> = fn(&Raw) -> Result<T>;

/// Checkpoints with the same names and the same keys in config.json.
pub struct Family {
    /// The values of `model_type` in config.json.
    pub model_types: &'static [&'static str],
    pub architecture: Reader<Architecture>,
    pub classifier: Option<Reader<ClassifierConfig>>,
    pub masked_lm: Option<Reader<MaskedLmConfig>>,
}

/// Every family, in the order in which an error lists them.
const FAMILIES: [Family; 12] = [
    bert::FAMILY,
    roberta::FAMILY,
    distilbert::FAMILY,
    mpnet::FAMILY,
    modernbert::FAMILY,
    nomic::FAMILY,
    gte::FAMILY,
    decoder::FAMILY,
    gemma::FAMILY,
    t5::FAMILY,
    deberta::FAMILY,
    nvembed::FAMILY,
];

/// A classification head: pooling, a dense layer, a norm, then the logits of the labels.
pub struct ClassifierConfig {
    pub pooling: Pooling,
    pub dense: Option<DenseConfig>,
    pub norm: Option<&'static str>,
    pub out: &'static str,
    pub out_bias: bool,
}

/// A dense layer as wide as the hidden state, and its activation.
pub struct DenseConfig {
    pub name: &'static str,
    pub bias: bool,
    pub activation: Activation,
}

/// A masked-language-model head, which computes logits over the vocabulary for each hidden state.
pub struct MaskedLmConfig {
    pub dense: DenseConfig,
    pub norm: &'static str,
    /// The name of the weight, unless it is that of the word embeddings.
    pub decoder: &'static str,
    /// The whole name of the bias of the decoder; `None` if it has none.
    pub bias: Option<&'static str>,
}

/// The family that `raw` belongs to.
pub fn family(raw: &Raw) -> Result<&'static Family> {
    let model_type = raw.text_or("model_type", "")?;
    let known = |family: &&Family| family.model_types.contains(&model_type);
    FAMILIES.iter().find(known).ok_or_else(|| {
        let found = if model_type.is_empty() {
            format!("{} without a model_type", raw.path().display())
        } else {
            format!("model type {model_type:?}")
        };
        unsupported(found, &model_types(|_| true))
    })
}

/// The values of `model_type` of the families that are `wanted`, as an error lists them.
pub fn model_types(wanted: impl Fn(&Family) -> bool) -> String {
    let wanted = FAMILIES.iter().filter(|family| wanted(family));
    wanted.flat_map(|family| family.model_types).copied().collect::<Vec<_>>().join(", ")
}

/// The number of layers under `key`.
fn layers_of(raw: &Raw, key: &str) -> Result<usize> {
    let layers = raw.size(key)?;
    if layers > LAYERS_MAX {
        return Err(raw.broken(format!("{key} is {layers}, expected at most {LAYERS_MAX}")));
    }
    Ok(layers)
}

/// The sizes under the keys that most families use. own_head_dim: that of the config, if it has
/// one.
fn sizes(raw: &Raw, own_head_dim: Option<usize>) -> Result<Sizes> {
    let (hidden_dim, heads) = (raw.size("hidden_size")?, raw.size("num_attention_heads")?);
    let head_dim = match own_head_dim {
        Some(head_dim) => head_dim,
        None => head_dim(raw, hidden_dim, heads)?,
    };
    Ok(Sizes {
        vocab_size: raw.size("vocab_size")?,
        max_tokens: raw.size("max_position_embeddings")?,
        hidden_dim,
        intermediate_dim: raw.size("intermediate_size")?,
        heads,
        head_dim,
    })
}

/// `hidden` over `heads`, which must divide it.
fn head_dim(raw: &Raw, hidden: usize, heads: usize) -> Result<usize> {
    if !hidden.is_multiple_of(heads) {
        return Err(raw.broken(format!("hidden size {hidden} is not a multiple of {heads} heads")));
    }
    Ok(hidden / heads)
}

/// Rows of the token type embeddings; zero means that there is no table.
fn token_types(raw: &Raw) -> Result<Option<usize>> {
    match raw.number_or("type_vocab_size", 0.0)? {
        0.0 => Ok(None),
        _ => raw.size("type_vocab_size").map(Some),
    }
}

/// Equal layers, each of which sees the whole sequence.
fn same_layers(n: usize, rotary: Option<usize>) -> Vec<LayerConfig> {
    vec![LayerConfig { mask: Mask::FULL, rotary }; n]
}

/// Which of `n` layers see only a window: by `layer_types`, else by `rule`.
fn windowed(raw: &Raw, n: usize, rule: impl Fn(usize) -> bool) -> Result<Vec<bool>> {
    let Some(kinds) = raw.texts("layer_types")? else { return Ok((0..n).map(rule).collect()) };
    if kinds.len() != n {
        return Err(raw.broken(format!("layer_types has {} entries for {n} layers", kinds.len())));
    }
    let windowed = |kind: &&str| match *kind {
        "full_attention" => Ok(false),
        "sliding_attention" => Ok(true),
        other => {
            Err(unsupported(format!("layer type {other}"), "full_attention, sliding_attention"))
        }
    };
    kinds.iter().map(windowed).collect()
}

/// Refuses decoders and other kinds of positions.
fn plain_encoder(raw: &Raw) -> Result<()> {
    raw.only("is_decoder", json!(false))?;
    raw.only("add_cross_attention", json!(false))?;
    raw.only("position_embedding_type", json!("absolute"))
}

/// A classifier that reads the first token through a dense layer and tanh.
fn first_token_classifier(dense: &'static str, out: &'static str) -> ClassifierConfig {
    let dense = DenseConfig { name: dense, bias: true, activation: Activation::Tanh };
    ClassifierConfig { pooling: Pooling::Cls, dense: Some(dense), norm: None, out, out_bias: true }
}
