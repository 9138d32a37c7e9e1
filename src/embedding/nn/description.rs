//! The description of a transformer, by which one program computes every family.
//!
//! Numbers come from a checkpoint's config.json, names of tensors from its family.

use crate::device::cpu::ops::{Activation, Mask, NormKind, Rotary};

/// A transformer, without its weights.
#[derive(Debug, Clone)]
pub struct Description {
    pub names: &'static Names,
    pub vocab_size: usize,
    /// Tokens of the longest sequence.
    pub max_tokens: usize,
    pub hidden_dim: usize,
    pub intermediate_dim: usize,
    pub heads: usize,
    /// Heads of keys and values.
    pub heads_kv: usize,
    pub head_dim: usize,
    /// The factor of each product of a query and a key.
    pub attention_scale: f32,
    /// The factor of the word embeddings.
    pub embedding_scale: f32,
    /// Rows of the token type embeddings, if there are any.
    pub token_types: Option<usize>,
    pub absolute: Option<Absolute>,
    /// Rows of the table of biases by the distance between key and query.
    pub relative_buckets: Option<usize>,
    /// Whether each head adds a bias in proportion to the distance (ALiBi).
    pub alibi: bool,
    /// Values that each norm of queries and of keys covers.
    pub head_norm_dim: usize,
    /// The rotary embeddings of the layers, each of which names one.
    pub rotaries: Vec<Rotary>,
    pub layers: Vec<LayerConfig>,
    pub norm: NormConfig,
    pub activation: Activation,
    pub bias: Biases,
}

/// The sizes that every family has.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub vocab_size: usize,
    /// Tokens of the longest sequence.
    pub max_tokens: usize,
    pub hidden_dim: usize,
    pub intermediate_dim: usize,
    pub heads: usize,
    pub head_dim: usize,
}

impl Description {
    /// What most families have in common: each head has its own keys and values, scaled by the
    /// length of a head; every linear layer has a bias; there are no token types and no positions.
    pub fn new(
        names: &'static Names,
        sizes: Sizes,
        layers: Vec<LayerConfig>,
        norm: NormConfig,
        activation: Activation,
    ) -> Self {
        let Sizes { vocab_size, max_tokens, hidden_dim, intermediate_dim, heads, head_dim } = sizes;
        Self {
            names,
            vocab_size,
            max_tokens,
            hidden_dim,
            intermediate_dim,
            heads,
            heads_kv: heads,
            head_dim,
            attention_scale: (1.0 / (head_dim as f64).sqrt()) as f32,
            embedding_scale: 1.0,
            token_types: None,
            absolute: None,
            relative_buckets: None,
            alibi: false,
            head_norm_dim: head_dim,
            rotaries: Vec::new(),
            layers,
            norm,
            activation,
            bias: Biases::ALL,
        }
    }

    /// The width of a token's row in each buffer of a pass.
    pub fn widths(&self) -> Widths {
        let (q, kv) = (self.heads * self.head_dim, self.heads_kv * self.head_dim);
        Widths {
            hidden: self.hidden_dim,
            qkv: q + 2 * kv,
            context: q,
            gate_up: if self.is_gated() { 2 * self.intermediate_dim } else { 0 },
            intermediate: self.intermediate_dim,
        }
    }

    /// Whether the perceptrons have gates.
    pub fn is_gated(&self) -> bool {
        !matches!(self.names.up_proj, UpProj::Plain(_))
    }
}

/// Values of a token's row in the buffers of a pass, by the fields of `Scratch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Widths {
    /// Also of the normed hidden state and of the update.
    pub hidden: usize,
    pub qkv: usize,
    pub context: usize,
    /// 0 without gates.
    pub gate_up: usize,
    pub intermediate: usize,
}

impl Widths {
    /// All buffers together.
    pub fn sum(&self) -> usize {
        3 * self.hidden + self.qkv + self.context + self.gate_up + self.intermediate
    }
}

/// A table of absolute positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absolute {
    pub rows: usize,
    /// The row of a sequence's first token.
    pub first: usize,
    /// The token whose position is its own id, and which is not counted.
    pub pad: Option<u32>,
}

/// The settings of one layer that may differ from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerConfig {
    pub mask: Mask,
    /// Which of the network's rotary embeddings its queries and keys get.
    pub rotary: Option<usize>,
}

/// The settings that all norms of a network share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormConfig {
    pub kind: NormKind,
    pub eps: f32,
    pub bias: bool,
    /// Added to the weights of the checkpoint.
    pub weight_offset: f32,
}

impl NormConfig {
    /// A layer norm with a bias.
    pub fn layer(eps: f32) -> Self {
        Self { kind: NormKind::Layer, eps, bias: true, weight_offset: 0.0 }
    }

    /// An RMS norm, which has no bias.
    pub fn rms(eps: f32) -> Self {
        Self { kind: NormKind::Rms, eps, bias: false, weight_offset: 0.0 }
    }
}

/// Which linear layers have a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Biases {
    pub qkv: bool,
    pub o_proj: bool,
    pub up_proj: bool,
    pub down_proj: bool,
}

impl Biases {
    pub const ALL: Self = Self { qkv: true, o_proj: true, up_proj: true, down_proj: true };
}

/// The names of a family's tensors, without `.weight` and `.bias`.
#[derive(Debug)]
pub struct Names {
    /// Before all names, tried in turn: a checkpoint with a head puts its encoder under a name.
    pub prefixes: &'static [&'static str],
    pub word_embeddings: &'static str,
    pub token_type_embeddings: Option<&'static str>,
    pub position_embeddings: Option<&'static str>,
    pub relative_attention_bias: Option<&'static str>,
    pub embedding_norm: Option<&'static str>,
    pub final_norm: Option<&'static str>,
    /// Before the number of a layer. The names below come after it.
    pub layer: &'static str,
    /// Queries, keys and values: one name, or three.
    pub qkv: &'static [&'static str],
    /// The norms of queries and of keys, of each head or of all together.
    pub head_norms: Option<[&'static str; 2]>,
    pub o_proj: &'static str,
    pub attention_norms: NormNames,
    pub up_proj: UpProj,
    pub down_proj: &'static str,
    pub mlp_norms: NormNames,
}

/// The norms around one half of a layer, each of which may be absent.
#[derive(Debug)]
pub struct NormNames {
    /// Of the input of the half.
    pub before: Option<&'static str>,
    /// Whether the first layer has it too.
    pub before_first: bool,
    /// Of the output of the half.
    pub after: Option<&'static str>,
    /// Of the sum of the output and the residual, which is then added to the residual once more.
    pub after_sum: Option<&'static str>,
    /// Of the sum of the residual and the output.
    pub joined: Option<&'static str>,
}

impl NormNames {
    const NONE: Self =
        Self { before: None, before_first: true, after: None, after_sum: None, joined: None };

    /// A norm of the input (pre-norm).
    pub const fn before(name: &'static str) -> Self {
        Self { before: Some(name), ..Self::NONE }
    }

    /// A norm of the sum (post-norm).
    pub const fn joined(name: &'static str) -> Self {
        Self { joined: Some(name), ..Self::NONE }
    }
}

/// The linear layer or layers that compute the intermediate values of the perceptron.
#[derive(Debug, Clone, Copy)]
pub enum UpProj {
    /// `activation(up)`.
    Plain(&'static str),
    /// `activation(gate) * up`, a tensor each.
    Separate { gate: &'static str, up: &'static str },
    /// The same from one tensor, `[gate, up]`.
    GateUp(&'static str),
    /// The same from one tensor, `[up, gate]`.
    UpGate(&'static str),
}
