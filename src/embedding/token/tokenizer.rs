//! A model's tokenizer: texts become ids, and long texts are truncated.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;
use tokenizers::utils::truncation::{TruncationDirection, TruncationParams};

use super::Ragged;
use super::normalizer::{BertNormalization, add_lower_case, set_bert};
use super::pair::{Pair, share};
use super::pair_template::PairTemplate;
use super::reading::{Reader, Reading, Side};
use super::tables::{Beyond, Tables};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::text::{prefix, without_byte_order_mark};

/// Bytes of a line in which tokens are counted: 64 KiB are more than any model reads at once.
const COUNTED_BYTES_MAX: usize = 64 << 10;

/// A model's own tokenizer. The padding of `tokenizer.json` is disabled, because batches are
/// packed. Of its truncation only the side is used: the limit belongs to the model.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    path: PathBuf,
    /// Special ids before the text: `[CLS]`.
    opening: Vec<u32>,
    /// Special ids after the text: `[SEP]`.
    closing: Vec<u32>,
    /// `None` if the tokenizer cannot put two texts into one sequence.
    pair: Option<Pair>,
    /// The text that a language model reads of a pair, and the ids of its end.
    template: Option<(PairTemplate, Vec<u32>)>,
    max_tokens: usize,
    reader: Reader,
    beyond: Option<Beyond>,
    /// The token for what has none, if it is left out.
    left_out: Option<u32>,
}

/// What the files of a model say about texts, apart from `tokenizer.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextOptions {
    /// Whether texts are converted to lower case first, unless the tokenizer does so itself.
    pub lower_case: bool,
    pub bert: BertNormalization,
    /// Whether texts get no special tokens.
    pub no_specials: bool,
    /// Whether unknown tokens of a text are left out, after it was truncated.
    pub no_unknown: bool,
    /// Which end of a long text is dropped; `None` if `tokenizer.json` decides.
    pub side: Option<Side>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` in `folder`. `max_tokens` counts special tokens too.
    pub fn open(folder: &Path, max_tokens: usize) -> Result<Self> {
        Self::open_with(folder, max_tokens, TextOptions::default())
    }

    /// Like [`Tokenizer::open`], with what other files of the model say.
    pub fn open_with(folder: &Path, max_tokens: usize, options: TextOptions) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        if !path.is_file() {
            return Err(Error::ModelMissing {
                model: "tokenizer.json".to_owned(),
                looked_in: folder.display().to_string(),
                remedy: "codeintel model pull".to_owned(),
            });
        }
        let broken = |detail: String| Error::ModelBroken { path: path.clone(), detail };
        let json = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        let json = without_byte_order_mark(&json).map_err(broken)?;
        let mut inner =
            tokenizers::Tokenizer::from_bytes(json).map_err(|e| broken(e.to_string()))?;
        let is_left = |own: &TruncationParams| own.direction == TruncationDirection::Left;
        let own =
            inner.get_truncation().filter(|own| is_left(own)).map_or(Side::Right, |_| Side::Left);
        let side = options.side.unwrap_or(own);
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| broken(e.to_string()))?;
        set_bert(&mut inner, options.bert).map_err(broken)?;
        if options.lower_case {
            add_lower_case(&mut inner).map_err(broken)?;
        }
        let (opening, closing) = if options.no_specials {
            (Vec::new(), Vec::new())
        } else {
            specials_of(&inner).map_err(broken)?
        };
        let left_out = options.no_unknown.then(|| unknown_id(&inner, json)).flatten();
        let pair = Pair::new(&inner).map_err(broken)?;
        let specials = opening.len() + closing.len();
        if max_tokens <= specials {
            return Err(Error::Argument {
                name: "max_tokens",
                value: max_tokens.to_string(),
                expected: format!("more than the {specials} special tokens of the model"),
            });
        }
        let reader = Reader::new(side, max_tokens);
        Ok(Self {
            inner,
            path,
            opening,
            closing,
            pair,
            template: None,
            max_tokens,
            reader,
            beyond: None,
            left_out,
        })
    }

    /// Reads pairs as one text by `template`, without special tokens.
    pub fn with_template(mut self, template: PairTemplate) -> Result<Self> {
        let after = self.inner.encode_fast(template.after.as_str(), false);
        let after = after.map_err(Error::library("tokenizers", "tokenise a template"))?;
        let after = after.get_ids().to_vec();
        if self.max_tokens <= after.len() {
            return Err(Error::Argument {
                name: "max_tokens",
                value: self.max_tokens.to_string(),
                expected: format!("more than the {} tokens at the end of a pair", after.len()),
            });
        }
        self.template = Some((template, after));
        Ok(self)
    }

    /// The id of a token of the vocabulary.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The size of the vocabulary, without tokens that were added to it.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(false)
    }

    /// Compares the tokenizer with the tables of the network that reads its ids. Texts with a
    /// token that has no row are refused by name from then on.
    ///
    /// A special token without a row is an error, because every text would be refused.
    pub fn fit(mut self, tables: Tables) -> Result<Self> {
        let specials = self.opening.iter().chain(&self.closing).copied();
        self.beyond = Beyond::find(&self.inner, &self.path, tables, specials)?;
        if let (Some(pair), Some(types)) = (&self.pair, tables.token_types)
            && let Some(kind) = pair.types().into_iter().find(|kind| usize::from(*kind) >= types)
        {
            let detail = format!(
                "its template for pairs has token type {kind}, but the model has embeddings for {types}"
            );
            self.pair = None;
            tracing::warn!(path = %self.path.display(), "{detail}; pairs are refused");
        }
        Ok(self)
    }

    /// The packed ids of `texts`, special tokens included, none longer than `max_tokens`.
    ///
    /// A long text loses one end, the last one for most models, never its special tokens. Runs in
    /// the caller's rayon pool. texts: `[n]`.
    pub fn encode_batch(&self, texts: &[&str]) -> Result<Ragged> {
        let encoded: Vec<(Vec<u32>, bool)> = texts
            .par_iter()
            .enumerate()
            .map(|(i, text)| self.encode(text).map_err(|error| of_input(error, i)))
            .collect::<Result<_>>()?;
        let mut ragged = Ragged::default();
        for (ids, truncated) in &encoded {
            ragged.push(ids, *truncated);
        }
        Ok(ragged)
    }

    /// The packed ids and types of `pairs`, each two texts in one sequence, special tokens
    /// included, none longer than `max_tokens`.
    ///
    /// If two texts are too long together, the longer one is truncated, down to half of the room
    /// each; with a template the end of the document. Runs in the caller's rayon pool. pairs: `[n]`.
    pub fn encode_pairs(&self, pairs: &[(&str, &str)]) -> Result<Ragged> {
        if let Some((template, after)) = &self.template {
            return self.encode_by_template(pairs, template, after);
        }
        let pair = self.pair.as_ref().ok_or_else(|| Error::ModelUnsupported {
            found: "a tokenizer.json without a template for pairs that fits the model".to_owned(),
            supported: "tokenizers of rerankers".to_owned(),
        })?;
        let specials = pair.specials();
        if self.max_tokens <= specials {
            return Err(Error::Argument {
                name: "max_tokens",
                value: self.max_tokens.to_string(),
                expected: format!("more than the {specials} special tokens of a pair"),
            });
        }
        let room = self.max_tokens - specials;
        let encode = |(i, (a, b)): (usize, &(&str, &str))| {
            let read = |text| self.read(text).map_err(|error| of_input(error, i));
            let (a, b) = (read(*a)?, read(*b)?);
            let (a_kept, b_kept) = share(room, a.ids.len(), b.ids.len());
            let truncated = a.more || b.more || a_kept < a.ids.len() || b_kept < b.ids.len();
            Ok((pair.join(self.kept(&a.ids, a_kept), self.kept(&b.ids, b_kept)), truncated))
        };
        let encoded: Vec<_> = pairs.par_iter().enumerate().map(encode).collect::<Result<_>>()?;
        let mut ragged = Ragged::default();
        for ((ids, types), truncated) in &encoded {
            ragged.push_typed(ids, types, *truncated);
        }
        Ok(ragged)
    }

    /// after: the ids at the end of the template.
    fn encode_by_template(
        &self,
        pairs: &[(&str, &str)],
        template: &PairTemplate,
        after: &[u32],
    ) -> Result<Ragged> {
        let room = self.max_tokens - after.len();
        let encode = |(i, (query, document)): (usize, &(&str, &str))| {
            let text = template.head(query, document);
            let head = self.read(&text).map_err(|error| of_input(error, i))?;
            let truncated = head.more || head.ids.len() > room;
            let kept = &head.ids[..head.ids.len().min(room)];
            Ok(([kept, after].concat(), truncated))
        };
        let encoded: Vec<_> = pairs.par_iter().enumerate().map(encode).collect::<Result<_>>()?;
        let mut ragged = Ragged::default();
        for (ids, truncated) in &encoded {
            ragged.push(ids, *truncated);
        }
        Ok(ragged)
    }

    /// The number of tokens of each line, `[n]`, without special tokens. lines: `[n]`.
    ///
    /// A line that cannot be tokenised counts as one token per byte: never too few. Only the head
    /// of a very long line is tokenised, and the count extrapolated: no budget has room for it.
    pub fn count_lines(&self, lines: &[&str]) -> Vec<u32> {
        let count = |line: &&str| {
            let kept = prefix(line, COUNTED_BYTES_MAX);
            match self.inner.encode_fast(kept, false) {
                Ok(encoding) => encoding.len() * line.len() / kept.len().max(1),
                Err(_) => line.len(),
            }
        };
        lines.par_iter().with_min_len(16).map(|line| count(line) as u32).collect()
    }

    /// Every token by its id, added ones included.
    pub fn vocabulary(&self) -> BTreeMap<u32, String> {
        self.inner.get_vocab(true).into_iter().map(|(token, id)| (id, token)).collect()
    }

    /// The sequence of a text with these ids: `[specials + n]`. ids: `[n]`.
    pub fn between_specials(&self, ids: &[u32]) -> Vec<u32> {
        [&self.opening, ids, &self.closing].concat()
    }

    /// The number of special tokens of every sequence.
    pub fn specials(&self) -> usize {
        self.opening.len() + self.closing.len()
    }

    /// The length of the longest sequence, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The part of `text` that decides which ids are kept: of an ordinary text all of it.
    pub fn relevant<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.reader.is_short(text) {
            return Cow::Borrowed(text);
        }
        self.read(text).map_or(Cow::Borrowed(text), |reading| reading.text)
    }

    /// How many tokens of a text with this prompt before it belong to the prompt: the opening
    /// special tokens do, as sentence-transformers counts them.
    pub fn prompt_tokens(&self, prompt: &str) -> Result<u32> {
        let (ids, _) = self.encode(prompt)?;
        Ok((ids.len() - self.closing.len().min(1)) as u32)
    }

    fn encode(&self, text: &str) -> Result<(Vec<u32>, bool)> {
        let reading = self.read(text)?;
        let room = self.max_tokens - self.specials();
        let truncated = reading.more || reading.ids.len() > room;
        let content = self.kept(&reading.ids, room);
        let mut ids = self.between_specials(content);
        if let Some(unknown) = self.left_out {
            ids.retain(|id| *id != unknown);
        }
        Ok((ids, truncated))
    }

    /// Reads as much of `text` as is needed.
    fn read<'t>(&self, text: &'t str) -> Result<Reading<'t>> {
        let reading = self.reader.read(text, |part| {
            let encoding = self.inner.encode_fast(part, false);
            let encoding = encoding.map_err(Error::library("tokenizers", "tokenise a text"))?;
            Ok::<_, Error>(encoding.get_ids().to_vec())
        })?;
        if let Some(beyond) = &self.beyond {
            beyond.check(&self.inner, &reading.ids)?;
        }
        Ok(reading)
    }

    /// At most `n` of `ids`, from the end that is kept: `[at most n]`. ids: `[any]`.
    fn kept<'i>(&self, ids: &'i [u32], n: usize) -> &'i [u32] {
        let n = ids.len().min(n);
        match self.reader.side() {
            Side::Right => &ids[..n],
            Side::Left => &ids[ids.len() - n..],
        }
    }
}

/// The error of input `index`, if the input is wrong and not the tokenizer.
fn of_input(error: Error, index: usize) -> Error {
    match error.kind() {
        ErrorKind::InvalidParameter => Error::Input { index, source: error.into() },
        _ => error,
    }
}

/// The token for what has none. json: `tokenizer.json`.
fn unknown_id(inner: &tokenizers::Tokenizer, json: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct File {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        unk_token: Option<String>,
        unk_id: Option<u32>,
    }
    let File { model } = serde_json::from_slice(json).ok()?;
    model.unk_token.and_then(|token| inner.token_to_id(&token)).or(model.unk_id)
}

/// The special tokens before and after a text, found by encoding one with them and without.
fn specials_of(inner: &tokenizers::Tokenizer) -> std::result::Result<(Vec<u32>, Vec<u32>), String> {
    let ids = |specials: bool| {
        let encoding = inner.encode_fast("a", specials).map_err(|e| e.to_string())?;
        Ok::<_, String>(encoding.get_ids().to_vec())
    };
    let (bare, full) = (ids(false)?, ids(true)?);
    if bare.is_empty() {
        return Err("it has no token for the text \"a\"".to_owned());
    }
    let at = full.windows(bare.len()).position(|window| window == bare);
    let at = at.ok_or("its special tokens change the tokens of the text")?;
    Ok((full[..at].to_vec(), full[at + bare.len()..].to_vec()))
}

#[cfg(test)]
mod tests;
