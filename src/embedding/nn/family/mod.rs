//! Which families of transformers are known, and how is each described?
//!
//! A family is a table of names and a reader of its config.json; it computes nothing.

mod bert;
mod decoder;
mod distilbert;
mod gemma;
mod gte;
mod modernbert;
mod mpnet;
mod nomic;
mod roberta;
mod rope;

use serde_json::json;

use super::config::{Raw, unsupported};
use super::description::{Description, LayerRule};
use crate::base::error::Result;
use crate::device::cpu::ops::{Activation, Mask};

/// A layer count beyond this is a damaged file.
const LAYERS_MAX: usize = 1024;

/// What a family makes of config.json.
pub type Reader<T> = fn(&Raw) -> Result<T>;

/// Checkpoints that are described alike.
pub struct Family {
    /// The values of `model_type` in config.json.
    pub model_types: &'static [&'static str],
    pub describe: Reader<Description>,
    pub classifier: Option<Reader<ClassifierRule>>,
    pub masked_lm: Option<Reader<MaskedLmRule>>,
}

/// Every family, in the order in which an error lists them.
const FAMILIES: [Family; 9] = [
    bert::FAMILY,
    roberta::FAMILY,
    distilbert::FAMILY,
    mpnet::FAMILY,
    modernbert::FAMILY,
    nomic::FAMILY,
    gte::FAMILY,
    decoder::FAMILY,
    gemma::FAMILY,
];

/// How a classifier makes logits of hidden states: one state, a dense layer, a norm, the labels.
pub struct ClassifierRule {
    pub pooled: Pooled,
    pub dense: Option<DenseRule>,
    pub norm: Option<&'static str>,
    pub out: &'static str,
    pub out_bias: bool,
}

/// Which hidden states of a sequence a classifier reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooled {
    First,
    Last,
    Mean,
}

/// A dense layer as wide as the hidden state, and what follows it.
pub struct DenseRule {
    pub name: &'static str,
    pub bias: bool,
    pub activation: Activation,
}

/// How a masked-language-model head makes logits over the vocabulary of each hidden state.
pub struct MaskedLmRule {
    pub dense: DenseRule,
    pub norm: &'static str,
    /// Where the weight is, unless it is that of the embedding.
    pub decoder: &'static str,
    /// The whole name of the bias of the decoder; `None` if it has none.
    pub bias: Option<&'static str>,
}

/// The family that `raw` belongs to.
pub fn family(raw: &Raw) -> Result<&'static Family> {
    let model_type = raw.text_or("model_type", "")?;
    let known = |family: &&Family| family.model_types.contains(&model_type);
    FAMILIES.iter().find(known).ok_or_else(|| {
        let found = format!("model type {model_type:?}");
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
    match layers <= LAYERS_MAX {
        true => Ok(layers),
        false => Err(raw.broken(format!("{key} is {layers}, expected at most {LAYERS_MAX}"))),
    }
}

/// `hidden` over `heads`, which must divide it.
fn head_dim(raw: &Raw, hidden: usize, heads: usize) -> Result<usize> {
    match hidden.is_multiple_of(heads) {
        true => Ok(hidden / heads),
        false => {
            Err(raw.broken(format!("hidden size {hidden} is not a multiple of {heads} heads")))
        }
    }
}

/// Layers that are all alike: each sees the whole sequence.
fn same_layers(n: usize, rotary: Option<usize>) -> Vec<LayerRule> {
    vec![LayerRule { mask: Mask::FULL, rotary }; n]
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

/// Refuses what makes a decoder of an encoder, and other kinds of positions.
fn plain_encoder(raw: &Raw) -> Result<()> {
    raw.only("is_decoder", json!(false))?;
    raw.only("add_cross_attention", json!(false))?;
    raw.only("position_embedding_type", json!("absolute"))
}

fn scale_of(head_dim: usize) -> f32 {
    (1.0 / (head_dim as f64).sqrt()) as f32
}

/// A classifier that reads the first token through a dense layer and tanh.
fn first_token_classifier(dense: &'static str, out: &'static str) -> ClassifierRule {
    let dense = DenseRule { name: dense, bias: true, activation: Activation::Tanh };
    ClassifierRule { pooled: Pooled::First, dense: Some(dense), norm: None, out, out_bias: true }
}
