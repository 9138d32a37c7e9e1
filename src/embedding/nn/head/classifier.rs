//! How well does each sequence fit each label? Rerankers have one label: how relevant it is.

use std::path::Path;

use super::{Dense, part_of, rule};
use crate::base::error::Result;
use crate::base::vector::Matrix;
use crate::device::cpu::ops::{self, Activation, Linear, Norm, Segment};
use crate::device::{Cpu, Device, Rows};
use crate::embedding::nn::Encoder;
use crate::embedding::nn::encoder::Opened;
use crate::embedding::nn::family::Pooled;
use crate::embedding::token::Ragged;

/// How config.json calls it.
const ARCHITECTURE: &str = "ForSequenceClassification";

/// The labels of a classifier whose config.json does not list them.
const LABELS: usize = 2;

/// An encoder with a classification head.
pub struct Classifier {
    encoder: Encoder,
    cpu: Cpu,
    pooled: Pooled,
    dense: Option<Dense>,
    norm: Option<Norm>,
    out: Linear,
}

impl Classifier {
    /// Loads `config.json` and the safetensors of `folder`.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        let opened = Opened::read(folder)?;
        let cpu = device.host();
        let rule = rule(&opened, ARCHITECTURE, |family| family.classifier)?;
        let (raw, of) = (&opened.raw, &opened.description);
        let labels = raw.size_or("num_labels", raw.entries("id2label").unwrap_or(LABELS))?;
        let norm = |name| part_of(&opened, name, cpu)?.norm(name, of.hidden_dim, &of.norm);
        let out = part_of(&opened, rule.out, cpu)?;
        Ok(Self {
            cpu: cpu.clone(),
            pooled: rule.pooled,
            dense: rule.dense.as_ref().map(|dense| Dense::load(&opened, dense, cpu)).transpose()?,
            norm: rule.norm.map(norm).transpose()?,
            out: out.linear(rule.out, of.hidden_dim, labels, rule.out_bias)?,
            encoder: Encoder::load_opened(&opened, device)?,
        })
    }

    /// Values of a sequence's logits.
    pub fn labels(&self) -> usize {
        self.out.outputs()
    }

    /// Tokens of the longest sequence that the network takes.
    pub fn max_positions(&self) -> usize {
        self.encoder.max_positions()
    }

    /// The raw logits of each sequence: `[n, labels]`.
    pub fn logits(&self, batch: &Ragged) -> Result<Matrix> {
        let segment = match self.pooled {
            Pooled::First => Segment::First,
            Pooled::Last => Segment::Last,
            Pooled::Mean => Segment::Mean,
        };
        let pooled = self.encoder.pooled(batch, segment, false)?;
        let pooled = Rows::new(pooled, self.encoder.hidden_dim());
        let logits = self.cpu.install(|| self.head(pooled));
        Matrix::new(logits.as_slice().to_vec(), self.labels())
    }

    /// x: `[n, hidden]`; gives `[n, labels]`.
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
