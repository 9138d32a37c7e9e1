//! MPNet (Song et al., 2020): a RoBERTa with a bias for the distance of two tokens.

use super::{Family, bert, first_token_classifier, roberta};
use crate::base::error::Result;
use crate::embedding::nn::architecture::Architecture;
use crate::embedding::nn::config::Raw;
use crate::embedding::nn::description::{Description, Names, NormNames};

pub const FAMILY: Family = Family {
    model_types: &["mpnet"],
    architecture: |raw| describe(raw).map(Architecture::Layers),
    classifier: Some(|_| Ok(first_token_classifier("classifier.dense", "classifier.out_proj"))),
    masked_lm: Some(|_| Ok(roberta::lm_head())),
};

static NAMES: Names = Names {
    prefixes: &["", "mpnet."],
    relative_attention_bias: Some("encoder.relative_attention_bias"),
    qkv: &["attention.attn.q", "attention.attn.k", "attention.attn.v"],
    o_proj: "attention.attn.o",
    attention_norms: NormNames::joined("attention.LayerNorm"),
    ..bert::NAMES_BERT
};

fn describe(raw: &Raw) -> Result<Description> {
    let buckets = raw.size_or("relative_attention_num_buckets", 32)?;
    // A quarter of them hold one distance each, and the last distance is 128.
    if !buckets.is_multiple_of(4) || buckets >= 512 {
        let detail = format!("relative_attention_num_buckets is {buckets}, expected 4 to 508 by 4");
        return Err(raw.broken(detail));
    }
    let of = roberta::positions_behind_pad(raw, bert::describe(raw, &NAMES)?)?;
    Ok(Description { token_types: None, relative_buckets: Some(buckets), ..of })
}
