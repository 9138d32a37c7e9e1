//! SPLADE (Formal et al., 2021): a text becomes weights of words of the vocabulary.

use std::path::Path;

use serde_json::json;

use super::{Dense, part_of, rule};
use crate::base::error::Result;
use crate::base::vector::SparseVec;
use crate::device::cpu::ops::{self, Activation, Linear, Norm, Pooling};
use crate::device::{Backend, Cpu, Device, Rows};
use crate::embedding::nn::Encoder;
use crate::embedding::nn::checkpoint::Checkpoint;
use crate::embedding::nn::config::Raw;
use crate::embedding::nn::family::MaskedLmConfig;
use crate::embedding::nn::part::Part;
use crate::embedding::nn::sentence::Module;
use crate::embedding::token::Ragged;

/// The name in config.json.
const ARCHITECTURE: &str = "ForMaskedLM";

/// Tokens whose logits are held at once: 30 MiB for a vocabulary of 30,000 words.
const TOKENS_PER_BLOCK: usize = 256;

/// An encoder with a masked-language-model head, read as a sparse expansion.
pub struct Splade {
    encoder: Encoder,
    cpu: Cpu,
    dense: Dense,
    norm: Norm,
    decoder: Linear,
}

impl Splade {
    /// Loads `config.json` and the safetensors of `folder`.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        refuse_other_poolings(folder)?;
        let checkpoint = Checkpoint::open(folder)?;
        let cpu = device.host();
        let rule = rule(&checkpoint, ARCHITECTURE, |family| family.masked_lm)?;
        let of = checkpoint.layers()?;
        Ok(Self {
            cpu: cpu.clone(),
            dense: Dense::load(&checkpoint, &rule.dense, cpu)?,
            norm: part_of(&checkpoint, rule.norm, cpu)?.norm(rule.norm, of.hidden_dim, &of.norm)?,
            decoder: decoder(&checkpoint, &rule, cpu)?,
            encoder: Encoder::from_checkpoint(&checkpoint, device)?,
        })
    }

    /// The size of the vocabulary: the ids of an expansion are below it.
    pub fn vocab_size(&self) -> usize {
        self.decoder.outputs()
    }

    /// The network before the head.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Tokens of a batch that keeps all of the device busy once.
    pub fn busy_tokens(&self) -> usize {
        self.encoder.busy_tokens()
    }

    /// Tokens of the longest sequence that the network takes.
    pub fn max_positions(&self) -> usize {
        self.encoder.max_positions()
    }

    /// One expansion for each sequence: for each word the maximum of `log(1 + relu(logit))` over
    /// its tokens.
    pub fn expand(&self, batch: &Ragged) -> Result<Vec<SparseVec>> {
        let groups = self.encoder.forward_then(batch, |group, hidden| {
            let (mut dense, mut normed) = (Rows::default(), Rows::default());
            self.dense.forward(&self.cpu, hidden, &mut dense);
            ops::norm(&self.cpu, &dense, &self.norm, &mut normed);
            let max_logits = self.max_logits(&normed, &group.cu_seqlens);
            max_logits.iter().map(|logits| sparse(logits)).collect::<Vec<_>>()
        })?;
        Ok(groups.into_iter().flatten().collect())
    }

    /// The maximum logit of each word in each sequence, at least 0: `[n][vocab]`.
    ///
    /// x: `[tokens, hidden]`; cu_seqlens: `[n + 1]`.
    fn max_logits(&self, x: &Rows, cu_seqlens: &[u32]) -> Vec<Vec<f32>> {
        let (d, vocab) = (x.d(), self.vocab_size());
        let mut max = vec![vec![0.0_f32; vocab]; cu_seqlens.len() - 1];
        let mut logits = Rows::default();
        for (seq, ends) in cu_seqlens.windows(2).enumerate() {
            let tokens = &x.as_slice()[ends[0] as usize * d..ends[1] as usize * d];
            for block in tokens.chunks(TOKENS_PER_BLOCK * d) {
                let block = Rows::new(block.to_vec(), d);
                ops::linear(&self.cpu, &self.decoder, &block, Activation::None, &mut logits);
                let ends = [0, block.n() as u32];
                let pooled = ops::pool(logits.as_slice(), vocab, &ends, Pooling::Max, false);
                for (max, value) in max[seq].iter_mut().zip(pooled) {
                    if value > *max || value.is_nan() {
                        *max = value;
                    }
                }
            }
        }
        max
    }
}

/// Refuses another pooling, if the files of sentence-transformers ask for one.
fn refuse_other_poolings(folder: &Path) -> Result<()> {
    for module in Module::list(folder)?.unwrap_or_default() {
        if module.class() == "SpladePooling" {
            let raw = Raw::read(&folder.join(&module.path))?;
            raw.only("pooling_strategy", json!("max"))?;
            raw.only("activation_function", json!("relu"))?;
        }
    }
    Ok(())
}

/// The words whose logit is above 0 or NaN. logits: `[vocab]`.
fn sparse(logits: &[f32]) -> SparseVec {
    let words = logits.iter().zip(0..).filter(|(logit, _)| **logit > 0.0 || logit.is_nan());
    let (ids, weights) = words.map(|(logit, id)| (id, logit.ln_1p())).unzip();
    SparseVec { ids, weights }
}

/// The decoder's weight is the embedding's, unless it has its own.
fn decoder(checkpoint: &Checkpoint, rule: &MaskedLmConfig, cpu: &Cpu) -> Result<Linear> {
    let of = checkpoint.layers()?;
    let (d, vocab) = (of.hidden_dim, of.vocab_size);
    let whole = Part::whole(&checkpoint.weights, cpu);
    let own = format!("{}.weight", rule.decoder);
    let weight = if whole.has(&own) {
        whole.take(&own, &[vocab, d])?
    } else {
        let name = format!("{}.weight", of.names.word_embeddings);
        checkpoint.encoder(cpu)?.take(&name, &[vocab, d])?
    };
    let bias = rule.bias.map(|bias| whole.take(bias, &[vocab])).transpose()?;
    cpu.place_linear(weight, bias, d)
}
