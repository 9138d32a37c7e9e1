//! Tokens without a row in the tables of the network.

use std::path::Path;

use crate::base::error::{Error, Result};

/// The sizes of the network's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tables {
    /// Rows of the word embeddings.
    pub vocab_size: usize,
    /// Rows of the token type embeddings; `None` if the network ignores types.
    pub token_types: Option<usize>,
}

/// A tokenizer that has ids beyond the rows of the word embeddings.
pub struct Beyond {
    rows: usize,
}

impl Beyond {
    /// `None` if every token of `inner` has a row. specials: the ids that every text gets.
    pub fn find(
        inner: &tokenizers::Tokenizer,
        path: &Path,
        tables: Tables,
        mut specials: impl Iterator<Item = u32>,
    ) -> Result<Option<Self>> {
        let rows = tables.vocab_size;
        let vocab = inner.get_vocab(true);
        let beyond = vocab.iter().filter(|(_, id)| **id as usize >= rows);
        let Some((token, id)) = beyond.clone().max_by_key(|(_, id)| **id) else {
            return Ok(None);
        };
        let beyond = beyond.count();
        let tokens = if beyond == 1 { "1 token" } else { &format!("{beyond} tokens") };
        let detail = format!(
            "{tokens} of its vocabulary have no row in the model's embeddings: the greatest id is \
             {id} ({token:?}), but the table has {rows} rows (vocab_size in config.json)"
        );
        if let Some(id) = specials.find(|id| *id as usize >= rows) {
            let token = inner.id_to_token(id).unwrap_or_default();
            let detail = format!(
                "{detail}; every text gets the special token {token:?} ({id}), one of them"
            );
            return Err(Error::ModelBroken { path: path.to_path_buf(), detail });
        }
        tracing::warn!(path = %path.display(), "{detail}; texts with such a token are refused");
        Ok(Some(Self { rows }))
    }

    /// Refuses ids without a row. ids: `[n]`.
    pub fn check(&self, inner: &tokenizers::Tokenizer, ids: &[u32]) -> Result<()> {
        let Some(id) = ids.iter().find(|id| **id as usize >= self.rows) else { return Ok(()) };
        let token = inner.id_to_token(*id).unwrap_or_default();
        Err(Error::Argument {
            name: "token",
            value: format!("{token:?} (id {id})"),
            expected: format!(
                "an id below {}, for which the model has embeddings; leave the token out of the \
                 text, or use the tokenizer.json that belongs to the model's weights",
                self.rows
            ),
        })
    }
}
