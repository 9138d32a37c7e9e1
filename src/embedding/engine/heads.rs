//! What do models say that were trained for another thing than a vector? Rerankers and expansions.
//!
//! There is no queue and no cache here: the caller's thread waits while its batches are computed.

use super::PromptKind;
use super::load::on_device;
use super::worker::batch_max;
use crate::base::config::EngineSettings;
use crate::base::error::{Error, Result};
use crate::base::vector::{Matrix, SparseVec};
use crate::device::Device;
use crate::embedding::models::ModelFolder;
use crate::embedding::nn::{Classifier, Prompts, Splade, TextConfig};
use crate::embedding::token::{Ragged, Tokenizer};

/// Scores pairs of texts, or classifies them.
pub struct Reranker {
    feed: Feed,
    classifier: Classifier,
}

/// Gives the words of its vocabulary that a text stands for.
pub struct SparseEncoder {
    feed: Feed,
    splade: Splade,
    prompts: Prompts,
}

/// What each text of a request became.
#[derive(Debug, Clone)]
pub struct Answers<T> {
    /// For a [`Reranker`] `[n, labels]`, for a [`SparseEncoder`] `[n]`, in the order of the texts.
    pub answers: T,
    /// How many texts or pairs were longer than the model reads.
    pub truncated: usize,
}

/// How texts reach the network: tokenised, in batches of bounded size, on the device's threads.
struct Feed {
    device: Device,
    tokenizer: Tokenizer,
    tokens_max: usize,
    seqs_max: usize,
}

impl Feed {
    /// positions: tokens of the longest sequence that the network takes.
    fn open(
        folder: &ModelFolder,
        text: &TextConfig,
        positions: usize,
        device: Device,
        settings: &EngineSettings,
    ) -> Result<Self> {
        let max_tokens = text.max_seq_length.unwrap_or(positions).min(positions);
        let tokenizer = Tokenizer::open(&folder.path, max_tokens)?;
        let (tokens_max, seqs_max) = batch_max(settings, device.is_gpu());
        Ok(Self { device, tokenizer, tokens_max, seqs_max })
    }

    /// Computes `all`, batch by batch.
    fn run(&self, all: &Ragged, mut compute: impl FnMut(&Ragged) -> Result<()>) -> Result<usize> {
        for batch in all.batches(self.tokens_max, self.seqs_max) {
            in_halves(&batch, &mut compute)?;
        }
        Ok(all.truncated.iter().filter(|truncated| **truncated).count())
    }
}

/// Computes a batch, part by part where the memory does not hold the whole.
fn in_halves<F: FnMut(&Ragged) -> Result<()>>(batch: &Ragged, compute: &mut F) -> Result<()> {
    match compute(batch) {
        Err(Error::OutOfMemory { .. }) if batch.n() > 1 => {
            let mut halves = batch.batches(usize::MAX, batch.n().div_ceil(2));
            halves.try_for_each(|half| in_halves(&half, compute))
        }
        outcome => outcome,
    }
}

impl Reranker {
    /// Loads a model with a classification head.
    pub fn load(folder: &ModelFolder, settings: &EngineSettings) -> Result<Self> {
        let load = |device: &Device| Classifier::load(&folder.path, device);
        let (device, classifier) = on_device(settings, load)?;
        let (text, positions) = (TextConfig::read(&folder.path)?, classifier.max_positions());
        let feed = Feed::open(folder, &text, positions, device, settings)?;
        Ok(Self { feed, classifier })
    }

    /// Tokens read of one pair, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.feed.tokenizer.max_tokens()
    }

    /// The raw logits of each pair: `[n, labels]`. pairs: `[n]`.
    pub fn logits(&self, pairs: &[(&str, &str)]) -> Result<Answers<Matrix>> {
        let Feed { device, tokenizer, .. } = &self.feed;
        let all = device.host().install(|| tokenizer.encode_pairs(pairs))?;
        let mut logits = Matrix::with_capacity(all.n(), self.classifier.labels());
        let truncated = self.feed.run(&all, |batch| {
            self.classifier.logits(batch)?.rows().for_each(|row| logits.push_row(row));
            Ok(())
        })?;
        logits.check_finite("logits")?;
        Ok(Answers { answers: logits, truncated })
    }
}

impl SparseEncoder {
    /// Loads a model with a masked-language-model head.
    pub fn load(folder: &ModelFolder, settings: &EngineSettings) -> Result<Self> {
        let load = |device: &Device| Splade::load(&folder.path, device);
        let (device, splade) = on_device(settings, load)?;
        let (text, positions) = (TextConfig::read(&folder.path)?, splade.max_positions());
        let feed = Feed::open(folder, &text, positions, device, settings)?;
        Ok(Self { feed, splade, prompts: text.prompts })
    }

    /// Tokens read of one text, special tokens included.
    pub fn max_tokens(&self) -> usize {
        self.feed.tokenizer.max_tokens()
    }

    /// What the model wants before a text that is of this `kind`; mostly nothing.
    pub fn prompt(&self, kind: PromptKind) -> &str {
        kind.prompt(&self.prompts)
    }

    /// One expansion a text, behind the prompt of `kind`. texts: `[n]`.
    pub fn expand(&self, texts: &[&str], kind: PromptKind) -> Result<Answers<Vec<SparseVec>>> {
        let prompted: Vec<String> =
            texts.iter().map(|text| [self.prompt(kind), text].concat()).collect();
        let prompted: Vec<&str> = prompted.iter().map(String::as_str).collect();
        let Feed { device, tokenizer, .. } = &self.feed;
        let all = device.host().install(|| tokenizer.encode_batch(&prompted))?;
        let mut answers = Vec::with_capacity(all.n());
        let truncated = self.feed.run(&all, |batch| {
            answers.extend(self.splade.expand(batch)?);
            Ok(())
        })?;
        Ok(Answers { answers, truncated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_beyond_the_memory_is_computed_in_parts_and_one_text_alone_is_an_error() {
        let ids = [[1_u32, 1].as_slice(), &[2], &[3, 3], &[4], &[5, 5, 5]];
        let computed = |tokens_max: usize| {
            let mut seen = Vec::new();
            let outcome = in_halves(&Ragged::from_seqs(ids), &mut |batch| {
                let (tokens, bytes) = (batch.tokens(), 1);
                if tokens > tokens_max {
                    return Err(Error::OutOfMemory { tokens, bytes });
                }
                seen.extend((0..batch.n()).map(|i| batch.seq(i)[0]));
                Ok(())
            });
            (seen, outcome)
        };
        for tokens_max in [9, 5, 3] {
            let (seen, outcome) = computed(tokens_max);
            assert!(outcome.is_ok(), "{tokens_max}");
            assert_eq!(seen, [1, 2, 3, 4, 5], "{tokens_max}");
        }
        let (seen, outcome) = computed(2);
        assert!(matches!(outcome, Err(Error::OutOfMemory { tokens: 3, .. })));
        assert_eq!(seen, [1, 2, 3, 4]);
    }
}
