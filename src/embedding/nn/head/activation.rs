//! What a reranker's logits become.

use std::path::Path;

use super::super::config::{Raw, read_json, unsupported};
use super::super::sentence::network_folder;
use crate::base::error::Result;

/// The function that makes scores of logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScoreActivation {
    Identity,
    /// The logistic function, the default for a single label.
    #[default]
    Sigmoid,
    /// Over the labels of a pair.
    Softmax,
    Tanh,
    Relu,
    Silu,
}

impl ScoreActivation {
    /// Reads the files of `folder` as `CrossEncoder` of sentence-transformers does: that of its own
    /// file, then the two keys of config.json, then a sigmoid for a single label and the logits of
    /// several.
    pub fn read(folder: &Path, labels: usize) -> Result<Self> {
        let own =
            read_json::<serde_json::Value>(&folder.join("config_sentence_transformers.json"))?;
        let own = own.as_ref().and_then(|own| own.get("activation_fn")?.as_str());
        let raw = Raw::read(&network_folder(folder)?)?;
        let new = raw.object("sentence_transformers").filter(|new| new.names("activation_fn"));
        let path = match (own, &new) {
            (Some(own), _) => own,
            (None, Some(new)) => new.text_or("activation_fn", "")?,
            (None, None) => raw.text_or("sbert_ce_default_activation_function", "")?,
        };
        match path.strip_prefix("torch.").map(|path| path.rsplit('.').next().unwrap_or_default()) {
            _ if path.is_empty() && labels == 1 => Ok(Self::Sigmoid),
            _ if path.is_empty() => Ok(Self::Identity),
            Some("Identity") => Ok(Self::Identity),
            Some("Sigmoid") => Ok(Self::Sigmoid),
            Some("Softmax") => Ok(Self::Softmax),
            Some("Tanh") => Ok(Self::Tanh),
            Some("ReLU") => Ok(Self::Relu),
            Some("SiLU") => Ok(Self::Silu),
            _ => Err(unsupported(
                format!("the activation {path} of a reranker"),
                "Identity, Sigmoid, Softmax, Tanh, ReLU and SiLU of torch.nn",
            )),
        }
    }

    /// The scores of a pair: `[labels]`. logits: `[labels]`.
    pub fn apply(self, logits: &[f32]) -> Vec<f32> {
        match self {
            Self::Identity => logits.to_vec(),
            Self::Sigmoid => logits.iter().map(|logit| sigmoid(*logit)).collect(),
            Self::Softmax => softmax(logits),
            Self::Tanh => logits.iter().map(|logit| logit.tanh()).collect(),
            Self::Relu => logits.iter().map(|logit| logit.max(0.0)).collect(),
            Self::Silu => logits.iter().map(|logit| logit * sigmoid(*logit)).collect(),
        }
    }
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// logits: `[labels]`.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - max).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_logit_becomes_a_probability_and_several_sum_to_one() {
        assert_eq!(ScoreActivation::Sigmoid.apply(&[0.0, -200.0, 200.0]), [0.5, 0.0, 1.0]);
        let several = ScoreActivation::Softmax.apply(&[1000.0, 1001.0, 999.0]);
        assert!((several.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((several[1] / several[0] - 1.0_f32.exp()).abs() < 1e-4);
    }
}
