//! The input of a request: texts, or pairs of texts.

use std::borrow::Cow;

use super::cache::{Key, VectorCache};
use crate::base::error::Result;
use crate::embedding::nn::Prompts;
use crate::embedding::token::{Ragged, Tokenizer};

/// The items of a request, each with the model's prompt prepended.
#[derive(Debug)]
pub(super) enum Input<'a> {
    /// `[n]`
    Texts(Vec<Cow<'a, str>>),
    /// Texts whose prompt is not pooled: `[n]`.
    Apart { prompt: String, texts: Vec<Cow<'a, str>> },
    /// `[n]`
    Pairs(&'a [(&'a str, &'a str)]),
}

impl<'a> Input<'a> {
    /// `texts` with `prompt` prepended to each. The cache, the tokenizer and the endpoint see them
    /// so. texts: `[n]`.
    pub fn prompted(prompts: &Prompts, prompt: &str, texts: &[&'a str]) -> Self {
        let prompted = |text: &&'a str| match prompt {
            "" => Cow::Borrowed(*text),
            prompt => Cow::Owned([prompt, text].concat()),
        };
        let texts = texts.iter().map(prompted).collect();
        if prompts.left_out && !prompt.is_empty() {
            Self::Apart { prompt: prompt.to_owned(), texts }
        } else {
            Self::Texts(texts)
        }
    }

    /// Texts or pairs.
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(texts) | Self::Apart { texts, .. } => texts.len(),
            Self::Pairs(pairs) => pairs.len(),
        }
    }

    /// The cache key of item `slot`.
    pub fn key(&self, cache: &VectorCache, slot: usize) -> Key {
        match self {
            Self::Texts(texts) => cache.key(&texts[slot]),
            // The same text without a prompt has another vector.
            Self::Apart { prompt, texts } => cache.pair_key((prompt, &texts[slot])),
            Self::Pairs(pairs) => cache.pair_key(pairs[slot]),
        }
    }

    /// Tokenises the items of `slots`, in that order.
    pub fn encode(&self, tokenizer: &Tokenizer, slots: &[usize]) -> Result<Ragged> {
        match self {
            Self::Texts(texts) | Self::Apart { texts, .. } => {
                let texts: Vec<&str> = slots.iter().map(|&slot| &*texts[slot]).collect();
                let mut ragged = tokenizer.encode_batch(&texts)?;
                if let Self::Apart { prompt, .. } = self {
                    ragged.left_out.fill(tokenizer.prompt_tokens(prompt)?);
                }
                Ok(ragged)
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
            Self::Texts(texts) | Self::Apart { texts, .. } => &texts[slot],
            Self::Pairs(_) => panic!("an endpoint is asked for embeddings only"),
        }
    }
}
