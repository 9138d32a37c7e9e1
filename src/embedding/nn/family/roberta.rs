//! RoBERTa (Liu et al., 2019): a BERT whose positions begin after the padding id.

use super::{DenseConfig, Family, MaskedLmConfig, bert, first_token_classifier};
use crate::base::error::Result;
use crate::device::cpu::ops::Activation;
use crate::embedding::nn::architecture::Architecture;
use crate::embedding::nn::config::Raw;
use crate::embedding::nn::description::{Absolute, Description, Names};

pub const FAMILY: Family = Family {
    model_types: &["roberta", "xlm-roberta", "camembert"],
    architecture: |raw| describe(raw).map(Architecture::Layers),
    classifier: Some(|_| Ok(first_token_classifier("classifier.dense", "classifier.out_proj"))),
    masked_lm: Some(|_| Ok(lm_head())),
};

static NAMES: Names = Names { prefixes: &["", "roberta."], ..bert::NAMES_BERT };

fn describe(raw: &Raw) -> Result<Description> {
    positions_behind_pad(raw, bert::describe(raw, &NAMES)?)
}

/// The first token's position is the one after the padding id.
pub fn positions_behind_pad(raw: &Raw, of: Description) -> Result<Description> {
    // The padding token may be 0, which `size` refuses.
    let pad = raw.number_or("pad_token_id", 1.0)? as usize;
    let (rows, first) = (of.max_tokens, pad + 1);
    if first >= rows {
        return Err(raw.broken(format!("pad_token_id {pad} leaves none of {rows} positions")));
    }
    let absolute = Some(Absolute { rows, first, pad: Some(pad as u32) });
    Ok(Description { absolute, max_tokens: rows - first, ..of })
}

/// The head of RoBERTa and its successors. Its activation is gelu whatever the config says.
pub fn lm_head() -> MaskedLmConfig {
    MaskedLmConfig {
        dense: DenseConfig { name: "lm_head.dense", bias: true, activation: Activation::Gelu },
        norm: "lm_head.layer_norm",
        decoder: "lm_head.decoder",
        bias: Some("lm_head.bias"),
    }
}
