//! The input of a request: texts, or pairs of texts.

use std::borrow::Cow;

use super::cache::{Key, VectorCache};
use crate::base::error::Result;
use crate::embedding::token::{Ragged, Tokenizer};

/// The items of a request, each with the model's prompt prepended.
#[derive(Debug)]
pub(super) enum Input<'a> {
    /// `[n]`
    Texts(Vec<Cow<'a, str>>),
    /// `[n]`
    Pairs(&'a [(&'a str, &'a str)]),
}

impl<'a> Input<'a> {
    /// `texts` with `prompt` prepended to each. The cache, the tokenizer and the endpoint see them
    /// so. texts: `[n]`.
    pub fn prompted(prompt: &str, texts: &[&'a str]) -> Self {
        let prompted = |text: &&'a str| match prompt {
            "" => Cow::Borrowed(*text),
            prompt => Cow::Owned([prompt, text].concat()),
        };
        Self::Texts(texts.iter().map(prompted).collect())
    }

    /// Texts or pairs.
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Pairs(pairs) => pairs.len(),
        }
    }

    /// The cache key of item `slot`.
    pub fn key(&self, cache: &VectorCache, slot: usize) -> Key {
        match self {
            Self::Texts(texts) => cache.key(&texts[slot]),
            Self::Pairs(pairs) => cache.pair_key(pairs[slot]),
        }
    }

    /// Tokenises the items of `slots`, in that order.
    pub fn encode(&self, tokenizer: &Tokenizer, slots: &[usize]) -> Result<Ragged> {
        match self {
            Self::Texts(texts) => {
                let texts: Vec<&str> = slots.iter().map(|&slot| &*texts[slot]).collect();
                tokenizer.encode_batch(&texts)
            }
            Self::Pairs(pairs) => {
                let pairs: Vec<(&str, &str)> = slots.iter().map(|&slot| pairs[slot]).collect();
                tokenizer.encode_pairs(&pairs)
            }
        }
    }

    /// The text of item `slot`, for an endpoint, which accepts only single texts.
    pub fn text(&self, slot: usize) -> &str {
        match self {
            Self::Texts(texts) => &texts[slot],
            Self::Pairs(_) => panic!("an endpoint is asked for embeddings only"),
        }
    }
}
