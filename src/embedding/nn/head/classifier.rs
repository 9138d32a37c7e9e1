//! A classifier of sequences. A reranker is one with a single label, the relevance; a language model
//! is one by its answer.

use std::path::Path;

use super::answer::{answer_layer, answers};
use super::{Dense, part_of, rule};
use crate::base::error::Result;
use crate::base::vector::Matrix;
use crate::device::cpu::ops::{self, Activation, Linear, Norm, Pooling};
use crate::device::{Cpu, Device, Rows};
use crate::embedding::nn::Encoder;
use crate::embedding::nn::checkpoint::Checkpoint;
use crate::embedding::token::Ragged;

/// The name in config.json.
const ARCHITECTURE: &str = "ForSequenceClassification";

/// The labels of a classifier whose config.json does not list them.
const LABELS: usize = 2;

/// An encoder with a classification head.
pub struct Classifier {
    encoder: Encoder,
    cpu: Cpu,
    pooling: Pooling,
    dense: Option<Dense>,
    norm: Option<Norm>,
    out: Linear,
}

impl Classifier {
    /// Loads `config.json` and the safetensors of `folder`.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        let checkpoint = Checkpoint::open(folder)?;
        let cpu = device.host();
        if answers(&checkpoint.raw)? {
            return Ok(Self {
                cpu: cpu.clone(),
                pooling: Pooling::Last,
                dense: None,
                norm: None,
                out: answer_layer(folder, &checkpoint, cpu)?,
                encoder: Encoder::from_checkpoint(&checkpoint, device)?,
            });
        }
        let rule = rule(&checkpoint, ARCHITECTURE, |family| family.classifier)?;
        let raw = &checkpoint.raw;
        let hidden_dim = checkpoint.architecture.shape().hidden_dim;
        let labels = raw.size_or("num_labels", raw.entries("id2label").unwrap_or(LABELS))?;
        let norm = |name| {
            let config = &checkpoint.layers()?.norm;
            part_of(&checkpoint, name, cpu)?.norm(name, hidden_dim, config)
        };
        let out = part_of(&checkpoint, rule.out, cpu)?;
        Ok(Self {
            cpu: cpu.clone(),
            pooling: rule.pooling,
            dense: rule
                .dense
                .as_ref()
                .map(|dense| Dense::load(&checkpoint, dense, cpu))
                .transpose()?,
            norm: rule.norm.map(norm).transpose()?,
            out: out.linear(rule.out, hidden_dim, labels, rule.out_bias)?,
            encoder: Encoder::from_checkpoint(&checkpoint, device)?,
        })
    }

    /// The number of logits of a sequence.
    pub fn labels(&self) -> usize {
        self.out.outputs()
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

    /// The raw logits of each sequence: `[n, labels]`.
    pub fn logits(&self, batch: &Ragged) -> Result<Matrix> {
        let pooled = self.encoder.pooled(batch, &[self.pooling], false)?;
        let pooled = Rows::new(pooled, self.encoder.hidden_dim());
        let logits = self.cpu.install(|| self.head(pooled));
        Matrix::new(logits.as_slice().to_vec(), self.labels())
    }

    /// `[n, labels]`. x: `[n, hidden]`.
    fn head(&self, mut x: Rows) -> Rows {
        let mut out = Rows::default();
        if let Some(dense) = &self.dense {
            dense.forward(&self.cpu, &x, &mut out);
            std::mem::swap(&mut x, &mut out);
        }
        if let Some(norm) = &self.norm {
            ops::norm(&self.cpu, &x, norm, &mut out);
            std::mem::swap(&mut x, &mut out);
        }
        ops::linear(&self.cpu, &self.out, &x, Activation::None, &mut out);
        out
    }
}
