//! A model's tokenizer: texts become ids, and long texts are truncated.

use std::path::Path;

use rayon::prelude::*;

use super::Ragged;
use super::pair::{Pair, share};
use crate::base::error::{Error, Result};
use crate::base::text::prefix;

/// Bytes kept of a text for each token that the model takes. Source code has about 3 bytes per
/// token and its deepest indentation about 12, so the rest would have been truncated anyway, and a
/// text of 100 MB costs no more than one that just fits.
const BYTES_PER_TOKEN_MAX: usize = 16;

/// More bytes that are kept, so that a short limit still sees past leading spaces.
const BYTES_MARGIN: usize = 4096;

/// Bytes of a line in which tokens are counted: 64 KiB are more than any model reads at once.
const COUNTED_BYTES_MAX: usize = 64 << 10;

/// A model's own tokenizer. The truncation and padding of `tokenizer.json` are disabled, because
/// batches are packed and the limit belongs to the model.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Special ids before the text: `[CLS]`.
    opening: Vec<u32>,
    /// Special ids after the text: `[SEP]`.
    closing: Vec<u32>,
    /// `None` if the tokenizer cannot put two texts into one sequence.
    pair: Option<Pair>,
    max_tokens: usize,
}

impl Tokenizer {
    /// Reads `tokenizer.json` in `folder`. `max_tokens` counts special tokens too.
    pub fn open(folder: &Path, max_tokens: usize) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        if !path.is_file() {
            return Err(Error::ModelMissing {
                model: "tokenizer.json".to_owned(),
                looked_in: folder.display().to_string(),
                remedy: "codeintel model pull".to_owned(),
            });
        }
        let broken = |detail: String| Error::ModelBroken { path: path.clone(), detail };
        let mut inner =
            tokenizers::Tokenizer::from_file(&path).map_err(|e| broken(e.to_string()))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| broken(e.to_string()))?;
        let (opening, closing) = specials_of(&inner).map_err(broken)?;
        let pair = Pair::new(&inner).map_err(broken)?;
        let specials = opening.len() + closing.len();
        if max_tokens <= specials {
            return Err(Error::Argument {
                name: "max_tokens",
                value: max_tokens.to_string(),
                expected: format!("more than the {specials} special tokens of the model"),
            });
        }
        Ok(Self { inner, opening, closing, pair, max_tokens })
    }

    /// The packed ids of `texts`, special tokens included, none longer than `max_tokens`.
    ///
    /// A long text loses its end, never its closing special tokens. Runs in the caller's rayon
    /// pool. texts: `[n]`.
    pub fn encode_batch(&self, texts: &[&str]) -> Result<Ragged> {
        let encoded: Vec<(Vec<u32>, bool)> =
            texts.par_iter().map(|text| self.encode(text)).collect::<Result<_>>()?;
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
    /// each. Runs in the caller's rayon pool. pairs: `[n]`.
    pub fn encode_pairs(&self, pairs: &[(&str, &str)]) -> Result<Ragged> {
        let pair = self.pair.as_ref().ok_or_else(|| Error::ModelUnsupported {
            found: "a tokenizer.json without a template for pairs".to_owned(),
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
        let encode = |(a, b): &(&str, &str)| {
            let ((a, a_cut), (b, b_cut)) = (self.content(a)?, self.content(b)?);
            let (a_kept, b_kept) = share(room, a.len(), b.len());
            let truncated = a_cut || b_cut || a_kept < a.len() || b_kept < b.len();
            Ok((pair.join(&a[..a_kept], &b[..b_kept]), truncated))
        };
        let encoded: Vec<_> = pairs.par_iter().map(encode).collect::<Result<_>>()?;
        let mut ragged = Ragged::default();
        for ((ids, types), truncated) in &encoded {
            ragged.push_typed(ids, types, *truncated);
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

    /// The number of special tokens of every sequence.
    pub fn specials(&self) -> usize {
        self.opening.len() + self.closing.len()
    }

    /// The length of the longest sequence, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    fn encode(&self, text: &str) -> Result<(Vec<u32>, bool)> {
        let (content, cut) = self.content(text)?;
        let room = self.max_tokens - self.specials();
        let truncated = cut || content.len() > room;
        let content = &content[..content.len().min(room)];
        Ok(([&self.opening, content, &self.closing].concat(), truncated))
    }

    /// The part of `text` that is read; the rest would not fit anyway.
    pub fn head<'t>(&self, text: &'t str) -> &'t str {
        prefix(text, self.max_tokens * BYTES_PER_TOKEN_MAX + BYTES_MARGIN)
    }

    /// The ids of a text without special tokens, and whether its end was cut off before tokenising.
    fn content(&self, text: &str) -> Result<(Vec<u32>, bool)> {
        let kept = self.head(text);
        let encoding = self
            .inner
            .encode_fast(kept, false)
            .map_err(Error::library("tokenizers", "tokenise a text"))?;
        Ok((encoding.get_ids().to_vec(), kept.len() < text.len()))
    }
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
mod tests {
    use super::*;

    fn folder() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/bert"))
    }

    fn open(max_tokens: usize) -> Tokenizer {
        Tokenizer::open(folder(), max_tokens).unwrap()
    }

    #[test]
    fn a_long_text_loses_its_end_and_keeps_its_closing_token() {
        let text = "the quick brown fox jumps over the lazy dog";
        let whole = open(64).encode_batch(&[text]).unwrap();
        let (cls, sep) = (whole.ids[0], *whole.ids.last().unwrap());
        assert!(!whole.truncated[0] && whole.tokens() > 8);
        let cut = open(8).encode_batch(&[text, "", text]).unwrap();
        assert_eq!(cut.truncated, [true, false, true]);
        assert_eq!(cut.seq(1), [cls, sep]);
        assert_eq!(cut.seq(0), [&whole.ids[..7], &[sep]].concat());
        assert_eq!(cut.seq(2), cut.seq(0));
        let exact = open(whole.tokens()).encode_batch(&[text]).unwrap();
        assert_eq!(exact, whole);
    }

    #[test]
    fn a_pair_is_one_sequence_whose_longer_text_gives_way() {
        let (query, text) = ("one two", "the quick brown fox jumps over the lazy dog");
        let single = |text| open(64).encode_batch(&[text]).unwrap().ids;
        let (query_ids, text_ids) = (single(query), single(text));
        let whole = open(64).encode_pairs(&[(query, text), ("", text)]).unwrap();
        // [CLS] query [SEP] text [SEP]: the second sequence without its [CLS].
        assert_eq!(whole.seq(0), [&query_ids[..], &text_ids[1..]].concat());
        let second = whole.seq_types(0).iter().position(|&kind| kind == 1).unwrap();
        assert_eq!(second, query_ids.len());
        assert!(whole.seq_types(0)[second..].iter().all(|&kind| kind == 1));
        let tokens = whole.seq(0).len();
        let cut = open(tokens - 3).encode_pairs(&[(query, text), (text, query)]).unwrap();
        assert_eq!((cut.truncated.clone(), cut.max_len()), (vec![true, true], tokens - 3));
        assert_eq!(cut.cu_seqlens, [0, tokens as u32 - 3, 2 * (tokens as u32 - 3)]);
        let kept = [&whole.seq(0)[..tokens - 4], &whole.seq(0)[tokens - 1..]].concat();
        assert_eq!(cut.seq(0), kept);
        assert_eq!(cut.seq(1)[tokens - 4 - query_ids.len() + 2..], query_ids[1..]);
        let error = open(3).encode_pairs(&[(query, text)]).unwrap_err().to_string();
        assert!(error.contains("3 special tokens of a pair"), "{error}");
    }

    #[test]
    fn what_the_file_says_of_padding_and_truncation_is_switched_off() {
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("tokenizer.json");
        let mut json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder().join("tokenizer.json")).unwrap())
                .unwrap();
        json["truncation"] = serde_json::json!({ "max_length": 6, "stride": 0,
            "strategy": "LongestFirst", "direction": "Right" });
        json["padding"] = serde_json::json!({ "strategy": { "Fixed": 128 }, "direction": "Right",
            "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]" });
        std::fs::write(&path, json.to_string()).unwrap();
        let texts = ["one two three four five six seven eight", "x"];
        let got = Tokenizer::open(copy.path(), 64).unwrap().encode_batch(&texts).unwrap();
        assert_eq!(got, open(64).encode_batch(&texts).unwrap());
    }

    #[test]
    fn a_huge_text_is_cut_before_it_is_tokenised() {
        let huge = "é fn main() {}\n".repeat(7 << 20);
        let started = std::time::Instant::now();
        let batch = open(256).encode_batch(&[&huge]).unwrap();
        assert!(started.elapsed().as_millis() < 1000, "{:?}", started.elapsed());
        assert_eq!((batch.tokens(), batch.truncated[0]), (256, true));
        assert_eq!(batch, open(256).encode_batch(&[&huge[..20_000]]).unwrap());
    }

    #[test]
    fn lines_count_what_they_add_to_a_text() {
        let tokenizer = open(512);
        let lines = ["fn main() {", "", "    let naïve = 日本;", "}"];
        let counts = tokenizer.count_lines(&lines);
        assert_eq!(counts[1], 0);
        let whole = tokenizer.encode_batch(&[&lines.join("\n")]).unwrap();
        let sum = counts.iter().sum::<u32>() as usize + tokenizer.specials();
        assert_eq!((whole.tokens(), tokenizer.specials()), (sum, 2));
    }

    #[test]
    fn a_tokenizer_that_cannot_serve_says_why() {
        let error = Tokenizer::open(folder(), 2).err().unwrap().to_string();
        assert!(error.contains("2 special tokens"), "{error}");
        let empty = tempfile::tempdir().unwrap();
        let missing = Tokenizer::open(empty.path(), 64).err().unwrap();
        assert!(matches!(missing, Error::ModelMissing { .. }), "{missing}");
        std::fs::write(empty.path().join("tokenizer.json"), "{}").unwrap();
        let broken = Tokenizer::open(empty.path(), 64).err().unwrap();
        assert!(matches!(broken, Error::ModelBroken { .. }), "{broken}");
    }
}
