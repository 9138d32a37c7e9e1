//! A model's tokenizer: texts become ids, and long texts are truncated.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tokenizers::normalizers::{Lowercase, NormalizerWrapper, Sequence};
use tokenizers::utils::truncation::{TruncationDirection, TruncationParams};

use super::Ragged;
use super::pair::{Pair, share};
use super::reading::{Reader, Reading, Side};
use super::tables::{Beyond, Tables};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::text::prefix;

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
    max_tokens: usize,
    reader: Reader,
    beyond: Option<Beyond>,
}

/// What the files of a model say about texts, apart from `tokenizer.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextOptions {
    /// Whether texts are converted to lower case first, unless the tokenizer does so itself.
    pub lower_case: bool,
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
        let mut inner =
            tokenizers::Tokenizer::from_file(&path).map_err(|e| broken(e.to_string()))?;
        let is_left = |own: &TruncationParams| own.direction == TruncationDirection::Left;
        let own =
            inner.get_truncation().filter(|own| is_left(own)).map_or(Side::Right, |_| Side::Left);
        let side = options.side.unwrap_or(own);
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| broken(e.to_string()))?;
        if options.lower_case {
            add_lower_case(&mut inner).map_err(broken)?;
        }
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
        let reader = Reader::new(side, max_tokens);
        Ok(Self { inner, path, opening, closing, pair, max_tokens, reader, beyond: None })
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
    /// each. Runs in the caller's rayon pool. pairs: `[n]`.
    pub fn encode_pairs(&self, pairs: &[(&str, &str)]) -> Result<Ragged> {
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
        Ok(([&self.opening, content, &self.closing].concat(), truncated))
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

/// Converts texts to lower case before anything else, unless the tokenizer does so itself.
fn add_lower_case(inner: &mut tokenizers::Tokenizer) -> std::result::Result<(), String> {
    fn lowers(normalizer: &NormalizerWrapper) -> bool {
        match normalizer {
            NormalizerWrapper::Lowercase(_) => true,
            NormalizerWrapper::BertNormalizer(bert) => bert.lowercase,
            NormalizerWrapper::Sequence(all) => all.as_ref().iter().any(lowers),
            _ => false,
        }
    }
    if inner.get_normalizer().is_some_and(lowers) {
        return Ok(());
    }
    let own = inner.get_normalizer().cloned();
    let all = std::iter::once(NormalizerWrapper::Lowercase(Lowercase)).chain(own).collect();
    let all = NormalizerWrapper::Sequence(Sequence::new(all));
    inner.with_normalizer(Some(all)).map(|_| ()).map_err(|e| e.to_string())
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
    use super::super::reading::{READ_BYTES_MAX, RUN_PROBED};
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
    fn of_padding_and_truncation_in_the_file_only_the_side_counts() {
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
        json["truncation"]["direction"] = "Left".into();
        std::fs::write(&path, json.to_string()).unwrap();
        let left = Tokenizer::open(copy.path(), 8).unwrap();
        let got = left.encode_batch(&texts).unwrap();
        let whole = open(64).encode_batch(&texts).unwrap();
        let whole = whole.seq(0);
        assert_eq!(got.seq(0), [&whole[..1], &whole[whole.len() - 7..]].concat());
        let right = TextOptions { side: Some(Side::Right), lower_case: false };
        let right = Tokenizer::open_with(copy.path(), 8, right).unwrap();
        assert_eq!(right.encode_batch(&texts).unwrap(), open(8).encode_batch(&texts).unwrap());
    }

    /// Texts of few tokens for their bytes, in parts that each golden tokenizer reads differently.
    fn odd_texts() -> Vec<String> {
        let mut rng = fastrand::Rng::with_seed(4);
        let units = [
            " ",
            "\n",
            "\t",
            "\r\n",
            "\n    ",
            "0",
            "x",
            "é",
            "\u{301}",
            "\u{200d}",
            "\u{fffd}",
            "日",
            "-",
            "deadbeef",
            "fn main() {} ",
            "Straße ",
            "\u{3000}",
            "e\u{301}",
            "🚀",
            ";",
        ];
        let mut text = || {
            let parts = rng.usize(1..5);
            (0..parts)
                .map(|_| units[rng.usize(0..units.len())].repeat(rng.usize(1..9000)))
                .collect::<Vec<_>>()
                .join(if rng.bool() { " between " } else { "" })
        };
        (0..60).map(|_| text()).collect()
    }

    #[test]
    fn a_text_of_many_bytes_and_few_tokens_has_the_ids_of_the_whole_text() {
        let mut shorter = 0;
        for name in ["bert", "roberta", "xlm_roberta", "llama", "mpnet", "gemma3_text"] {
            for (side, max_tokens) in [(Side::Right, 16), (Side::Left, 16), (Side::Right, 64)] {
                let options = TextOptions { side: Some(side), lower_case: false };
                let golden = folder().parent().unwrap().join(name);
                let tokenizer = Tokenizer::open_with(&golden, max_tokens, options).unwrap();
                for text in odd_texts() {
                    let whole = tokenizer.inner.encode_fast(text.as_str(), false).unwrap();
                    let whole = whole.get_ids();
                    let room = max_tokens - tokenizer.specials();
                    let kept = tokenizer.kept(whole, room);
                    let got = tokenizer.encode_batch(&[&text]).unwrap();
                    let start: String = text.chars().take(20).collect();
                    let opening = tokenizer.opening.len();
                    assert_eq!(
                        &got.ids[opening..opening + kept.len()],
                        kept,
                        "{name} {side:?} {max_tokens}: {} bytes, {start:?}",
                        text.len()
                    );
                    assert_eq!(got.truncated[0], whole.len() > room, "{name}: {start:?}");
                    let relevant = tokenizer.relevant(&text);
                    let again = tokenizer.encode_batch(&[&relevant]).unwrap();
                    assert_eq!(again.ids, got.ids, "{name}: {start:?}");
                    shorter += usize::from(relevant.len() < text.len());
                }
            }
        }
        assert!(shorter > 100, "{shorter}");
    }

    #[test]
    fn what_is_read_of_a_huge_text_is_bounded_by_its_tokens() {
        let tokenizer = open(256);
        for (unit, bytes_max) in [
            // Enough tokens: the first part suffices.
            ("é fn main() {}\n", 10_000),
            // The tokenizer ignores how long a run is, so that the whole text is one of 128 spaces.
            (" ", 1_000),
            ("7", 1_000),
            // No tokens, and no run of one character: it is read to the documented limit.
            ("\n ", READ_BYTES_MAX),
        ] {
            let huge = unit.repeat((16 << 20) / unit.len());
            let read = std::cell::Cell::new(0);
            let reading = tokenizer.reader.read(&huge, |part| {
                read.set(read.get() + part.len());
                let encoding = tokenizer.inner.encode_fast(part, false);
                encoding.map(|encoding| encoding.get_ids().to_vec())
            });
            let reading = reading.unwrap();
            assert!(reading.text.len() <= bytes_max, "{unit:?}: {}", reading.text.len());
            // Every part is at least three times as long as the one before it.
            let probes = 8 * RUN_PROBED * 4;
            assert!(read.get() <= bytes_max * 3 / 2 + probes, "{unit:?}: {}", read.get());
            assert_eq!(reading.more, unit != " " && unit != "7", "{unit:?}");
        }
    }

    #[test]
    fn a_model_that_drops_the_start_of_long_texts_keeps_their_end() {
        let text = "the quick brown fox jumps over the lazy dog";
        let whole = open(64).encode_batch(&[text]).unwrap().ids;
        let options = TextOptions { side: Some(Side::Left), lower_case: false };
        let left = Tokenizer::open_with(folder(), 8, options).unwrap();
        let got = left.encode_batch(&[text]).unwrap();
        assert_eq!(got.ids, [&whole[..1], &whole[whole.len() - 7..]].concat());
        assert_eq!(got.truncated, [true]);
        let pair = left.encode_pairs(&[("fox", text)]).unwrap();
        assert_eq!(pair.ids[pair.ids.len() - 3..], whole[whole.len() - 3..]);
    }

    #[test]
    fn texts_are_lowered_first_if_the_model_asks_for_it() {
        let golden = folder().parent().unwrap().join("roberta");
        let options = TextOptions { lower_case: true, side: None };
        let lower = Tokenizer::open_with(&golden, 64, options).unwrap();
        let plain = Tokenizer::open(&golden, 64).unwrap();
        let ids = |tokenizer: &Tokenizer, text: &str| tokenizer.encode_batch(&[text]).unwrap().ids;
        assert_eq!(ids(&lower, "Straße HEAD"), ids(&plain, "straße head"));
        assert_ne!(ids(&plain, "Straße HEAD"), ids(&plain, "straße head"));
        let own = Tokenizer::open_with(folder(), 64, options).unwrap();
        assert_eq!(ids(&own, "Straße HEAD"), ids(&open(64), "Straße HEAD"));
    }

    #[test]
    fn a_pair_whose_types_have_no_row_is_refused() {
        let tables = |token_types| Tables { vocab_size: 600, token_types };
        let pairs = [("a", "b")];
        assert!(open(64).fit(tables(Some(2))).unwrap().encode_pairs(&pairs).is_ok());
        assert!(open(64).fit(tables(None)).unwrap().encode_pairs(&pairs).is_ok());
        let one = open(64).fit(tables(Some(1))).unwrap();
        let error = one.encode_pairs(&pairs).unwrap_err().to_string();
        assert!(error.contains("template for pairs that fits the model"), "{error}");
        assert!(one.encode_batch(&["a"]).is_ok());
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
