//! What do networks compute that were trained for something else than a vector?

mod activation;
mod answer;
mod classifier;
mod splade;

pub use activation::ScoreActivation;
pub use answer::has_answer_module;
pub use classifier::Classifier;
pub use splade::Splade;

use super::architecture::Architecture;
use super::checkpoint::Checkpoint;
use super::config::unsupported;
use super::family::{DenseConfig, Family, Reader, model_types};
use super::part::Part;
use crate::base::error::Result;
use crate::device::cpu::ops::{self, Activation, Linear};
use crate::device::{Cpu, Rows};

/// A dense layer as wide as the hidden state, and its activation.
struct Dense {
    linear: Linear,
    activation: Activation,
}

impl Dense {
    fn load(checkpoint: &Checkpoint, rule: &DenseConfig, cpu: &Cpu) -> Result<Self> {
        let d = checkpoint.architecture.shape().hidden_dim;
        let linear = part_of(checkpoint, rule.name, cpu)?.linear(rule.name, d, d, rule.bias)?;
        Ok(Self { linear, activation: rule.activation })
    }

    /// out becomes `[n, d]`. x: `[n, d]`.
    fn forward(&self, cpu: &Cpu, x: &Rows, out: &mut Rows) {
        ops::linear(cpu, &self.linear, x, self.activation, out);
    }
}

/// The tensors that include `name`: a head is beside the encoder, parts of some are inside it.
/// Heads are on the CPU, wherever the encoder is.
fn part_of<'a>(checkpoint: &'a Checkpoint, name: &str, cpu: &'a Cpu) -> Result<Part<'a, Cpu>> {
    let whole = Part::whole(&checkpoint.weights, cpu);
    match checkpoint.architecture {
        Architecture::CandleTransformers(_) | Architecture::Static(..) => Ok(whole),
        Architecture::Layers(_) => {
            let inside = checkpoint.encoder(cpu)?;
            let is_inside = inside.has(&format!("{name}.weight"));
            Ok(if is_inside { inside } else { whole })
        }
    }
}

/// The config of a head of the checkpoint's family, if config.json names an architecture that ends
/// in `wanted`.
fn rule<T>(
    checkpoint: &Checkpoint,
    wanted: &str,
    of: fn(&Family) -> Option<Reader<T>>,
) -> Result<T> {
    let architectures = checkpoint.raw.texts("architectures")?.unwrap_or_default();
    let there = architectures.iter().any(|name| name.ends_with(wanted));
    match of(checkpoint.family).filter(|_| there) {
        Some(read) => read(&checkpoint.raw),
        None => {
            let model_type = checkpoint.raw.text_or("model_type", "")?;
            let found = format!("{model_type} as {}", architectures.join(", "));
            let supported = model_types(|family| of(family).is_some());
            Err(unsupported(found, &format!("{wanted} of {supported}")))
        }
    }
}
