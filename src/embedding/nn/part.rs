//! The tensors under one name, and the layers made of them.

use super::description::NormConfig;
use super::weights::Weights;
use crate::base::error::Result;
use crate::device::cpu::ops::Norm;
use crate::device::{Backend, Rows};

/// The tensors of a checkpoint whose names have a common prefix, and the device for the layers made
/// of them. Each tensor is on the host only until its layer is made.
pub struct Part<'a, B> {
    weights: &'a Weights,
    prefix: String,
    pub on: &'a B,
}

impl<'a, B: Backend> Part<'a, B> {
    /// All tensors.
    pub fn whole(weights: &'a Weights, on: &'a B) -> Self {
        Self { weights, prefix: String::new(), on }
    }

    /// The tensors under the first of `prefixes` that has the tensor `probe`: a checkpoint with a
    /// head puts its encoder under a name, one without does not.
    pub fn find(weights: &'a Weights, prefixes: &[&str], probe: &str, on: &'a B) -> Result<Self> {
        let has_probe = |prefix: &&&str| weights.has(&format!("{prefix}{probe}"));
        match prefixes.iter().find(has_probe) {
            Some(prefix) => Ok(Self { weights, prefix: (*prefix).to_owned(), on }),
            None => Err(weights.broken(probe, "is missing")),
        }
    }

    /// The tensors under `name.`.
    pub fn at(&self, name: &str) -> Self {
        Self { weights: self.weights, prefix: format!("{}{name}.", self.prefix), on: self.on }
    }

    pub fn has(&self, name: &str) -> bool {
        self.weights.has(&format!("{}{name}", self.prefix))
    }

    /// The tensor `name` of `shape`, row-major.
    pub fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.weights.take(&format!("{}{name}", self.prefix), shape)
    }

    /// `name.weight`: `[n, d]`.
    pub fn table(&self, name: &str, n: usize, d: usize) -> Result<Rows> {
        Ok(Rows::new(self.take(&format!("{name}.weight"), &[n, d])?, d))
    }

    /// `name.weight`, `[outputs, inputs]`, and `name.bias`, `[outputs]`, if the layer has one.
    pub fn linear(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Result<B::Linear> {
        self.joined(&[(name, outputs)], inputs, bias)
    }

    /// Several linear layers on the same inputs as one. parts: the name and the outputs of each.
    pub fn joined(&self, parts: &[(&str, usize)], inputs: usize, bias: bool) -> Result<B::Linear> {
        let (mut weight, mut added) = (Vec::new(), Vec::new());
        for &(name, outputs) in parts {
            weight.extend(self.take(&format!("{name}.weight"), &[outputs, inputs])?);
            if bias {
                added.extend(self.take(&format!("{name}.bias"), &[outputs])?);
            }
        }
        self.on.place_linear(weight, bias.then_some(added), inputs)
    }

    /// One linear layer with the two halves of its outputs swapped.
    pub fn swapped(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Result<B::Linear> {
        let mut weight = self.take(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = bias.then(|| self.take(&format!("{name}.bias"), &[outputs])).transpose()?;
        weight.rotate_left(outputs / 2 * inputs);
        let bias = bias.map(|mut bias| {
            bias.rotate_left(outputs / 2);
            bias
        });
        self.on.place_linear(weight, bias, inputs)
    }

    /// A norm of `d` values; checkpoints converted from TensorFlow call its tensors gamma and beta.
    pub fn norm(&self, name: &str, d: usize, config: &NormConfig) -> Result<B::Norm> {
        let part = self.at(name);
        let (weight, bias) = if part.has("gamma") { ("gamma", "beta") } else { ("weight", "bias") };
        let mut weight = part.take(weight, &[d])?;
        weight.iter_mut().for_each(|weight| *weight += config.weight_offset);
        let bias = if config.bias { Some(part.take(bias, &[d])?) } else { None };
        self.on.place_norm(Norm { kind: config.kind, weight, bias, eps: config.eps })
    }
}
