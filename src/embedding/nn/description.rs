//! What is there to say of a transformer, so that one program computes every family?
//!
//! Numbers come from a checkpoint's config.json, names of tensors from its family.

use crate::device::cpu::ops::{Activation, Mask, NormKind, Rotary};

/// A transformer, said in full.
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
    /// What a product of query and key is multiplied by.
    pub attention_scale: f32,
    /// What a word's row is multiplied by.
    pub embedding_scale: f32,
    /// Rows of the table of token types; 0 if there is none.
    pub types: usize,
    pub absolute: Option<Absolute>,
    /// Rows of the table of biases by the distance between key and query.
    pub relative_buckets: Option<usize>,
    /// What the layers turn queries and keys by; each says which.
    pub rotaries: Vec<Rotary>,
    pub layers: Vec<LayerRule>,
    pub norm: NormRule,
    pub activation: Activation,
    pub bias: BiasRule,
}

impl Description {
    /// Values of a token's row in each buffer of a pass, in the order of `Scratch`: the hidden state,
    /// its norm, queries with keys and values, the context, the wide row, the gated one, the update.
    pub fn widths(&self) -> [usize; 7] {
        let (q, kv) = (self.heads * self.head_dim, self.heads_kv * self.head_dim);
        let (wide, gated) = match self.names.up {
            Up::Plain(_) => (self.intermediate_dim, 0),
            Up::Gated { .. } | Up::GateFirst(_) | Up::GateLast(_) => {
                (2 * self.intermediate_dim, self.intermediate_dim)
            }
        };
        [self.hidden_dim, self.hidden_dim, q + 2 * kv, q, wide, gated, self.hidden_dim]
    }
}

/// A table of absolute positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absolute {
    pub rows: usize,
    /// The row of a sequence's first token.
    pub first: usize,
    /// The token that has its own id for a place and is not counted.
    pub pad: Option<u32>,
}

/// How one layer differs from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerRule {
    pub mask: Mask,
    /// Which of the network's rotaries turns its queries and keys.
    pub rotary: Option<usize>,
}

/// What all norms of a network have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormRule {
    pub kind: NormKind,
    pub eps: f32,
    pub bias: bool,
    /// What is added to the weights that the checkpoint holds.
    pub weight_offset: f32,
}

impl NormRule {
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
pub struct BiasRule {
    pub qkv: bool,
    pub attended: bool,
    pub up: bool,
    pub down: bool,
}

impl BiasRule {
    pub const ALL: Self = Self { qkv: true, attended: true, up: true, down: true };
}

/// Where a family keeps its tensors, without `.weight` and `.bias`.
#[derive(Debug)]
pub struct Names {
    /// Before all names, tried in turn: a checkpoint with a head calls its encoder by a name.
    pub prefixes: &'static [&'static str],
    pub words: &'static str,
    pub types: &'static str,
    pub positions: &'static str,
    pub relative: &'static str,
    pub embedding_norm: Option<&'static str>,
    pub final_norm: Option<&'static str>,
    /// Before the number of a layer. The names below come after it.
    pub layer: &'static str,
    /// Queries, keys and values: one name, or three.
    pub qkv: &'static [&'static str],
    /// The norms of each head of queries and of keys.
    pub head_norms: Option<[&'static str; 2]>,
    pub attended: &'static str,
    pub attention_norms: NormNames,
    pub up: Up,
    pub down: &'static str,
    pub mlp_norms: NormNames,
}

impl Names {
    /// No names: what a family's table is completed with.
    pub const NONE: Self = Self {
        prefixes: &[""],
        words: "",
        types: "",
        positions: "",
        relative: "",
        embedding_norm: None,
        final_norm: None,
        layer: "",
        qkv: &[],
        head_norms: None,
        attended: "",
        attention_norms: NormNames::NONE,
        up: Up::Plain(""),
        down: "",
        mlp_norms: NormNames::NONE,
    };
}

/// The norms around one half of a layer, each of which may be absent.
#[derive(Debug)]
pub struct NormNames {
    /// Of what the half reads.
    pub before: Option<&'static str>,
    /// Whether the first layer has it too.
    pub before_first: bool,
    /// Of what the half gives.
    pub after: Option<&'static str>,
    /// Of the sum of what came in and what the half gives.
    pub joined: Option<&'static str>,
}

impl NormNames {
    pub const NONE: Self = Self { before: None, before_first: true, after: None, joined: None };

    /// A norm of what the half reads (pre-norm).
    pub const fn before(name: &'static str) -> Self {
        Self { before: Some(name), ..Self::NONE }
    }

    /// A norm of the sum (post-norm).
    pub const fn joined(name: &'static str) -> Self {
        Self { joined: Some(name), ..Self::NONE }
    }
}

/// The linear layer or layers that make a row wide.
#[derive(Debug, Clone, Copy)]
pub enum Up {
    /// Followed by the activation.
    Plain(&'static str),
    /// `activation(gate) * up`, a name each.
    Gated { gate: &'static str, up: &'static str },
    /// The same from one tensor, the gate first.
    GateFirst(&'static str),
    /// The same from one tensor, the gate last.
    GateLast(&'static str),
}
