//! The multiplications and the memory of a forward pass.

use std::path::Path;

use super::architecture::{Architecture, Shape};
use super::cpu_network::GROUP_TOKENS;
use super::description::{Description, Widths};
use super::sentence::network_folder;
use super::weights::Weights;
use crate::base::error::Result;
use crate::device::Dtype;
use crate::device::cpu::ops::Mask;

/// The multiplications of a forward pass in its linear layers and in attention, and the memory of
/// its activations; the rest is small.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// Multiply-adds of a token in all linear layers.
    linear: f64,
    /// Multiply-adds of one query and one key that it sees, in one layer.
    pair: f64,
    /// `[layers]`: which keys a query sees.
    masks: Vec<Mask>,
    /// Values of the word embeddings.
    word_embeddings: usize,
    /// Activations of a token that are held at the same time.
    activations: usize,
    /// Tokens of the longest sequence.
    tokens_max: usize,
}

impl Cost {
    /// The cost of the network that `config.json` of `folder` describes; of the weights only
    /// the sizes are read.
    pub fn read(folder: &Path) -> Result<Self> {
        match Architecture::read(folder)? {
            Architecture::Layers(description) => Ok(Self::new(&description)),
            Architecture::CandleTransformers(config) => {
                let weights = Weights::open(&network_folder(folder)?)?;
                Ok(Self::by_parameters(&config.shape, weights.parameters()))
            }
            Architecture::Static(_, shape) => {
                Ok(Self::by_parameters(&shape, shape.vocab_size * shape.hidden_dim))
            }
        }
    }

    /// The cost of a network of which only the size is known: a multiply-add for each parameter
    /// that is no word embedding. Attention is left out.
    fn by_parameters(shape: &Shape, parameters: usize) -> Self {
        let Shape { vocab_size, hidden_dim, max_tokens, .. } = *shape;
        let word_embeddings = vocab_size * hidden_dim;
        Self {
            linear: parameters.saturating_sub(word_embeddings) as f64,
            pair: 0.0,
            masks: Vec::new(),
            word_embeddings,
            // Three of the hidden size, its keys and values, and a perceptron of four times the width.
            activations: 10 * hidden_dim,
            tokens_max: max_tokens,
        }
    }

    fn new(network: &Description) -> Self {
        let widths = network.widths();
        let Widths { hidden, qkv, context, gate_up, intermediate } = widths;
        let up_outputs = if network.is_gated() { gate_up } else { intermediate };
        let layer = hidden * (qkv + context + up_outputs + intermediate);
        Self {
            linear: (layer * network.layers.len()) as f64,
            // A score, and its part of the sum of the values.
            pair: 2.0 * context as f64,
            masks: network.layers.iter().map(|layer| layer.mask).collect(),
            word_embeddings: network.vocab_size * hidden,
            // With the packed words of the widest input.
            activations: widths.sum() + intermediate.max(context).max(hidden),
            tokens_max: network.max_tokens,
        }
    }

    /// Bytes of the weights in memory, where linear layers multiply in `dtype`.
    pub fn weight_bytes(&self, dtype: Dtype) -> u64 {
        self.linear as u64 * dtype.bytes() as u64 + (self.word_embeddings * size_of::<f32>()) as u64
    }

    /// Bytes of the activations of a batch of `tokens` on a GPU, of which a value has 2.
    pub fn gpu_batch_bytes(&self, tokens: usize) -> u64 {
        2 * (tokens.max(self.tokens_max) * self.activations) as u64
    }

    /// Bytes of the activations that one thread ever holds, however many texts there are.
    pub fn scratch_bytes(&self) -> u64 {
        let tokens = GROUP_TOKENS.max(self.tokens_max);
        (tokens * self.activations * size_of::<f32>()) as u64
    }

    /// Operations of a sequence of `tokens`, a multiply-add counted as two.
    pub fn flops(&self, tokens: usize) -> f64 {
        let pairs = |mask: &Mask| -> usize {
            (0..tokens).map(|query| mask.keys(&(query..query + 1), 0, tokens).len()).sum()
        };
        let pairs: usize = self.masks.iter().map(pairs).sum();
        2.0 * (self.linear * tokens as f64 + self.pair * pairs as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::ops::Activation;
    use crate::embedding::nn::description::{LayerConfig, Names, NormConfig, Sizes, UpProj};
    use crate::embedding::nn::family::NAMES_BERT;

    /// A network of six layers of 12 heads of 32.
    fn minilm(mask: Mask) -> Description {
        static NAMES: Names = NAMES_BERT;
        let sizes = Sizes {
            vocab_size: 30_522,
            max_tokens: 512,
            hidden_dim: 384,
            intermediate_dim: 1536,
            heads: 12,
            head_dim: 32,
        };
        let layers = vec![LayerConfig { mask, rotary: None }; 6];
        Description::new(&NAMES, sizes, layers, NormConfig::layer(1e-12), Activation::Gelu)
    }

    #[test]
    fn the_cost_of_minilm_is_what_a_hand_counts() {
        let cost = Cost::new(&minilm(Mask::FULL));
        // Four square matrices and two of four times the width: 12 * 384^2, in six layers.
        assert_eq!(2.0 * cost.linear, 21_233_664.0);
        // Each of 256 keys twice 384 multiply-adds, in six layers: 2.36 MFLOP a token.
        let a_token = cost.flops(256) / 256.0;
        assert_eq!(a_token, 21_233_664.0 + 2.0 * 6.0 * 2.0 * 384.0 * 256.0);
        assert_eq!((a_token / 1e5).round() / 10.0, 23.6);
        assert_eq!(cost.flops(0), 0.0);
    }

    #[test]
    fn gates_shared_keys_and_masks_are_counted() {
        static GATED: Names = Names { up_proj: UpProj::GateUp("up"), ..NAMES_BERT };
        let of = Description { names: &GATED, heads_kv: 3, ..minilm(Mask::CAUSAL) };
        let layer = 384 * (384 + 2 * 96) + 384 * 384 + 3 * 384 * 1536;
        let pairs = 10 * 11 / 2;
        let want = 2 * 6 * (10 * layer + pairs * 2 * 384);
        assert_eq!(Cost::new(&of).flops(10), want as f64);
        let window = Cost::new(&minilm(Mask { before: 1, after: 1 }));
        let attention = window.flops(10) - 2.0 * window.linear * 10.0;
        assert_eq!(attention, f64::from(2 * 6 * (8 * 3 + 2 * 2) * 2 * 384));
    }
}
