//! The texts that are measured: real ones, and cuts of them with an exact number of tokens.

use std::collections::HashSet;
use std::path::Path;

use rayon::prelude::*;

use super::plan::{Length, Plan};
use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;
use crate::batch::Input;
use crate::corpus::chunk::Chunker;
use crate::corpus::source::SourceFile;
use crate::embedding::token::Tokenizer;
use crate::index::catalog::{Catalog, ChunkRow};
use crate::index::versions::DataFolder;
use crate::ingest::ModelTokens;

/// Real texts that are kept: 64 times the largest default request.
const TEXTS_MAX: usize = 16_384;
/// Chunks taken from an index, spread over it.
const CHUNKS_MAX: usize = 2048;
/// Tokens of a chunk of the built-in sources: the default of `chunk.tokens_max`.
const CHUNK_TOKENS_MAX: usize = 256;
/// Starting words that are tried for one text of an exact length.
const TRIES_MAX: usize = 8;
/// Texts made in excess, beyond a quarter more than wanted, since some turn out equal.
const SPARE: usize = 8;
/// A word that adds exactly one token at the end of any text.
const FILLER: &str = " a";

/// The texts of one length.
pub struct Corpus {
    pub length: Length,
    /// `[n]`
    pub texts: Vec<String>,
    /// `[n]`: tokens of each, as the model reads it.
    pub tokens: Vec<usize>,
}

impl Corpus {
    fn new(length: Length, texts: Vec<String>, tokenizer: &Tokenizer) -> Result<Self> {
        let ragged = tokenizer.encode_batch(&borrowed(&texts))?;
        let tokens = (0..texts.len()).map(|i| ragged.seq(i).len()).collect();
        Ok(Self { length, texts, tokens })
    }

    pub fn distinct(&self) -> usize {
        self.texts.iter().collect::<HashSet<_>>().len()
    }

    /// `batch` texts starting at index `first`, and their tokens; the last is followed by the first.
    pub fn take(&self, first: usize, batch: usize) -> (Vec<&str>, Vec<usize>) {
        let indices = (first..first + batch).map(|i| i % self.texts.len());
        indices.map(|i| (self.texts[i].as_str(), self.tokens[i])).unzip()
    }
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// Real texts, and in words where they come from.
pub struct RealTexts {
    pub texts: Vec<String>,
    pub source: &'static str,
}

/// The texts of the plan's file; without one, chunks of the index, or of codeintel's own sources where
/// there is no index.
pub fn real(plan: &Plan, data: &DataFolder, tokenizer: &Tokenizer) -> Result<RealTexts> {
    if let Some(path) = &plan.texts {
        let texts = of_file(path, tokenizer)?;
        return Ok(RealTexts { texts, source: "a file of texts" });
    }
    match data.current() {
        Ok(version) => {
            let texts = indexed(&Catalog::open(&version.folder.catalog())?)?;
            if !texts.is_empty() {
                return Ok(RealTexts { texts, source: "chunks of the index" });
            }
        }
        Err(Error::IndexMissing { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(RealTexts { texts: own(tokenizer), source: "chunks of codeintel's own sources" })
}

/// The first texts of a file that are not blank, each as far as the model reads it.
fn of_file(path: &Path, tokenizer: &Tokenizer) -> Result<Vec<String>> {
    let mut input = Input::open(Some(path), None)?;
    let mut texts = Vec::new();
    while texts.len() < TEXTS_MAX {
        let rows = input.next_block()?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let text = row.content?;
            if !text.trim().is_empty() {
                texts.push(tokenizer.relevant(&text).into_owned());
            }
        }
    }
    if texts.is_empty() {
        let (value, expected) = (path.display().to_string(), "a file with texts".to_owned());
        return Err(Error::Argument { name: "--texts", value, expected });
    }
    texts.truncate(TEXTS_MAX);
    Ok(texts)
}

/// At most [`CHUNKS_MAX`] chunks of an index as they were embedded, evenly spaced.
fn indexed(catalog: &Catalog) -> Result<Vec<String>> {
    let ids: Vec<ChunkId> = catalog.live()?.iter().collect();
    let step = ids.len().div_ceil(CHUNKS_MAX).max(1);
    let mut texts = Vec::new();
    for id in ids.into_iter().step_by(step) {
        let rows = catalog.rows_in(id.0..id.0 + 1)?;
        texts.extend(rows.iter().map(ChunkRow::embedded_text));
    }
    texts.retain(|text| !text.trim().is_empty());
    Ok(texts)
}

macro_rules! sources {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../", $path)))),+]
    };
}

/// Some of this program's sources: path and text.
const SOURCES: &[(&str, &str)] = sources![
    "index/catalog/reader.rs",
    "index/versions/data_folder.rs",
    "index/catalog/writer.rs",
    "corpus/chunk/chunker.rs",
    "corpus/chunk/outline.rs",
    "base/config/settings.rs",
    "device/cpu/ops/linear.rs",
    "device/cpu/ops/flash_attention.rs",
    "embedding/engine/cache/mod.rs",
    "embedding/engine/call.rs",
    "embedding/engine/queue/queue.rs",
    "embedding/engine/endpoint/client.rs",
    "embedding/engine/worker/worker.rs",
    "index/dense/store.rs",
    "index/lexical/search.rs",
    "index/symbols/store.rs",
    "ingest/pipeline.rs",
    "ingest/version_writer.rs",
    "embedding/nn/network.rs",
    "search/searcher.rs",
    "search/plan/shape.rs",
    "http/middleware.rs",
    "corpus/git/file_commits.rs",
    "corpus/source/listing.rs",
    "base/telemetry/context.rs",
    "base/telemetry/telemetry.rs",
    "embedding/token/tokenizer.rs",
];

/// The built-in sources, cut into chunks as for an index.
fn own(tokenizer: &Tokenizer) -> Vec<String> {
    let tokens_max = CHUNK_TOKENS_MAX.min(tokenizer.max_tokens());
    let chunker = Chunker::new(tokens_max, tokenizer.specials());
    let cut = |(path, text): &(&str, &str)| {
        let file = SourceFile::from_text(path, *text);
        chunker.chunk(&file, &ModelTokens(tokenizer)).chunks
    };
    SOURCES.iter().flat_map(cut).map(|chunk| chunk.embedded_text()).collect()
}

/// `n` texts of `length`, made from the `real` ones; the inner error says why there are none.
pub fn corpus(
    length: Length,
    n: usize,
    real: &[String],
    tokenizer: &Tokenizer,
) -> Result<std::result::Result<Corpus, String>> {
    let Length::Tokens(tokens) = length else {
        return Ok(Ok(Corpus::new(length, real.to_vec(), tokenizer)?));
    };
    let (least, most) = (tokenizer.specials() + 1, tokenizer.max_tokens());
    if !(least..=most).contains(&tokens) {
        let why = format!("{tokens} tokens are left out: the model reads {least} to {most}");
        return Ok(Err(why));
    }
    match exact(tokens, n, real, tokenizer)? {
        Some(texts) => Ok(Ok(Corpus::new(length, texts, tokenizer)?)),
        None => Ok(Err(format!(
            "{tokens} tokens are left out: no cut of the texts has exactly this number of tokens"
        ))),
    }
}

/// `n` texts of exactly `tokens` tokens, each from another part of `real`, and different if `real` has
/// enough words.
fn exact(
    tokens: usize,
    n: usize,
    real: &[String],
    tokenizer: &Tokenizer,
) -> Result<Option<Vec<String>>> {
    let words: Vec<&str> = real.iter().flat_map(|text| words(text)).collect();
    let spare = n / 4 + SPARE;
    let stride = (words.len() / (n + spare)).max(1);
    let text = |i: usize| {
        for first in (i * stride..).take(TRIES_MAX) {
            let from = words.iter().copied().cycle().skip(first % words.len());
            if let Some(text) = cut(tokens, from.take(tokens), tokenizer)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    };
    let made: Option<Vec<String>> =
        (0..n + spare).into_par_iter().map(text).collect::<Result<_>>()?;
    Ok(made.map(|made| {
        let mut seen = HashSet::new();
        let (mut texts, again): (Vec<String>, Vec<String>) =
            made.into_iter().partition(|text| seen.insert(text.clone()));
        texts.extend(again);
        texts.truncate(n);
        texts
    }))
}

/// The words of a text, each with the white space before it.
fn words(text: &str) -> Vec<&str> {
    let (mut words, mut rest) = (Vec::new(), text);
    while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
        let end = rest[start..].find(char::is_whitespace).map_or(rest.len(), |n| start + n);
        let (word, after) = rest.split_at(end);
        words.push(word);
        rest = after;
    }
    words
}

/// The longest prefix of `words` with at most `tokens` tokens, padded with fillers to exactly that
/// many; `None` if that fails.
fn cut<'a>(
    tokens: usize,
    words: impl Iterator<Item = &'a str>,
    tokenizer: &Tokenizer,
) -> Result<Option<String>> {
    let words: Vec<&str> = words.collect();
    let joined = |n: usize| words[..n].join(" ").trim().to_owned();
    // `None` if the model would not read the whole text.
    let count = |text: &str| -> Result<Option<usize>> {
        let ragged = tokenizer.encode_batch(&[text])?;
        Ok((!ragged.truncated[0]).then(|| ragged.tokens()))
    };
    let (mut fits, mut over) = (0, words.len() + 1);
    while over - fits > 1 {
        let middle = fits.midpoint(over);
        match count(&joined(middle))? {
            Some(found) if found <= tokens => fits = middle,
            _ => over = middle,
        }
    }
    let mut text = joined(fits);
    let missing = tokens.saturating_sub(count(&text)?.unwrap_or(tokens));
    text.extend(std::iter::repeat_n(FILLER, missing));
    Ok((count(&text)? == Some(tokens)).then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokenizers of tests/golden differ in how they split words and in their special tokens.
    fn tokenizer(model: &str) -> Tokenizer {
        let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
        Tokenizer::open(&golden.join(model), 128).unwrap()
    }

    #[test]
    fn texts_of_a_length_are_read_as_exactly_that_many_tokens() {
        for model in ["bert", "roberta", "qwen3", "gemma3_text", "modernbert"] {
            let tokenizer = tokenizer(model);
            let real = own(&tokenizer);
            for tokens in [16, 64, 128] {
                let corpus = corpus(Length::Tokens(tokens), 40, &real, &tokenizer).unwrap();
                let corpus = corpus.unwrap_or_else(|why| panic!("{model}: {why}"));
                assert_eq!(corpus.tokens, [tokens; 40], "{model}");
                let distinct: HashSet<_> = corpus.texts.iter().collect();
                assert_eq!(distinct.len(), 40, "{model}");
            }
        }
    }

    #[test]
    fn lengths_that_the_model_does_not_read_are_left_out_with_a_reason() {
        let tokenizer = tokenizer("bert");
        for tokens in [2, 129] {
            let refused = corpus(Length::Tokens(tokens), 1, &["a b".to_owned()], &tokenizer);
            let why = refused.unwrap().err().unwrap();
            assert!(why.contains(&format!("{tokens} tokens")) && why.contains("3 to 128"), "{why}");
        }
    }

    #[test]
    fn the_built_in_texts_fill_the_largest_default_request() {
        let texts = own(&tokenizer("bert"));
        let distinct: HashSet<_> = texts.iter().collect();
        assert!(distinct.len() >= 256, "{}", distinct.len());
    }

    #[test]
    fn the_last_text_is_followed_by_the_first() {
        let texts: Vec<String> = ["a", "b b", "c"].map(str::to_owned).into();
        let corpus = corpus(Length::Mixed, 9, &texts, &tokenizer("bert")).unwrap().ok().unwrap();
        assert_eq!(corpus.take(2, 5).0, ["c", "a", "b b", "c", "a"]);
        assert_eq!(corpus.take(0, 2).1[0] + 1, corpus.take(0, 2).1[1]);
    }
}
