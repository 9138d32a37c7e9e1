//! What do the networks give that are trained for another thing than a vector?

mod classifier;
mod splade;

pub use classifier::Classifier;
pub use splade::Splade;

use super::config::unsupported;
use super::encoder::Opened;
use super::family::{DenseRule, Family, Reader, model_types};
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
    fn load(opened: &Opened, rule: &DenseRule, cpu: &Cpu) -> Result<Self> {
        let d = opened.description.hidden_dim;
        let linear = part_of(opened, rule.name, cpu)?.linear(rule.name, d, d, rule.bias)?;
        Ok(Self { linear, activation: rule.activation })
    }

    /// out becomes `[n, d]`. x: `[n, d]`.
    fn forward(&self, cpu: &Cpu, x: &Rows, out: &mut Rows) {
        ops::linear(cpu, &self.linear, x, self.activation, out);
    }
}

/// The tensors among which `name` is: a head lies beside the encoder, parts of some inside it. Heads
/// are on the CPU, wherever the encoder is.
fn part_of<'a>(opened: &'a Opened, name: &str, cpu: &'a Cpu) -> Result<Part<'a, Cpu>> {
    let inside = opened.encoder(cpu)?;
    let there = inside.has(&format!("{name}.weight"));
    Ok(if there { inside } else { Part::whole(&opened.weights, cpu) })
}

/// How the checkpoint's family makes a head, if config.json names an architecture that ends in
/// `wanted`.
fn rule<T>(opened: &Opened, wanted: &str, of: fn(&Family) -> Option<Reader<T>>) -> Result<T> {
    let architectures = opened.raw.texts("architectures")?.unwrap_or_default();
    let there = architectures.iter().any(|name| name.ends_with(wanted));
    match of(opened.family).filter(|_| there) {
        Some(read) => read(&opened.raw),
        None => {
            let model_type = opened.raw.text_or("model_type", "")?;
            let found = format!("{model_type} as {}", architectures.join(", "));
            let supported = model_types(|family| of(family).is_some());
            Err(unsupported(found, &format!("{wanted} of {supported}")))
        }
    }
}
