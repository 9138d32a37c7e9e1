//! What does one layer of a transformer do to the hidden states?

use super::description::{Description, LayerRule, NormNames, NormRule, Up};
use super::part::Part;
use crate::device::ops::{self, Activation, Attention, Linear, Norm, RelativeBias};
use crate::device::{Device, Rows};
use crate::error::Result;

/// Attention, then a perceptron, each with norms around it and added to what came in.
pub struct Layer {
    attention: Attention,
    rotary: Option<usize>,
    attention_norms: Norms,
    /// Queries, keys and values in one product.
    qkv: Linear,
    /// Of each head of queries, and of keys.
    head_norms: Option<[Norm; 2]>,
    attended: Linear,
    mlp_norms: Norms,
    /// The gates in front of the values, if `gated`.
    up: Linear,
    gated: bool,
    activation: Activation,
    down: Linear,
}

/// What a layer needs to know of the batch.
pub struct Batch<'a> {
    /// `[n + 1]`.
    pub cu_seqlens: &'a [u32],
    /// `[tokens]`: where each token stands in its sequence.
    pub places: &'a [u32],
    /// For each rotary of the network: `[places, 2 * pairs]`.
    pub turns: &'a [Rows],
    pub bias: Option<&'a RelativeBias>,
}

/// The activations of one forward pass, kept for the next one.
#[derive(Default)]
pub struct Scratch {
    /// `[tokens, hidden]`: what each layer reads and leaves.
    pub hidden: Rows,
    /// `[tokens, hidden]`: `hidden` or `update` after a norm.
    pub normed: Rows,
    /// `[tokens, (heads + 2 * heads_kv) * head_dim]`.
    qkv: Rows,
    /// `[tokens, heads * head_dim]`.
    context: Rows,
    /// `[tokens, intermediate]`, twice as wide if gated.
    wide: Rows,
    /// `[tokens, intermediate]`.
    gated: Rows,
    /// `[tokens, hidden]`: what is added to `hidden`.
    update: Rows,
}

impl Scratch {
    /// Takes the memory that `layer` needs for `tokens`, or says that it is not there.
    pub fn reserve(&mut self, tokens: usize, layer: &Layer) -> Result<()> {
        let hidden = layer.attended.outputs();
        let Self { hidden: states, normed, qkv, context, wide, gated, update } = self;
        for (rows, d) in [
            (states, hidden),
            (normed, hidden),
            (qkv, layer.qkv.outputs()),
            (context, layer.attended.inputs()),
            (wide, layer.up.outputs()),
            (gated, if layer.gated { layer.down.inputs() } else { 0 }),
            (update, hidden),
        ] {
            rows.reserve(tokens, d)?;
        }
        Ok(())
    }

    /// Values that each buffer has memory for.
    #[cfg(test)]
    pub fn capacities(&self) -> [usize; 7] {
        let Self { hidden, normed, qkv, context, wide, gated, update } = self;
        [hidden, normed, qkv, context, wide, gated, update].map(Rows::capacity)
    }
}

impl Layer {
    /// Layer `i` of the network in `part`.
    pub fn load(part: &Part<'_>, of: &Description, i: usize, rule: &LayerRule) -> Result<Self> {
        let (names, bias, hidden) = (of.names, of.bias, of.hidden_dim);
        let part = part.at(&format!("{}.{i}", names.layer));
        let (q, kv) = (of.heads * of.head_dim, of.heads_kv * of.head_dim);
        let qkv = match *names.qkv {
            [q_name, k_name, v_name] => vec![(q_name, q), (k_name, kv), (v_name, kv)],
            _ => vec![(names.qkv[0], q + 2 * kv)],
        };
        let head_norm = |name: &str| part.norm(name, of.head_dim, &of.norm);
        let head_norms = match names.head_norms {
            Some([q, k]) => Some([head_norm(q)?, head_norm(k)?]),
            None => None,
        };
        let norms = |names| Norms::load(&part, names, hidden, &of.norm, i);
        let attention = Attention {
            heads: of.heads,
            heads_kv: of.heads_kv,
            head_dim: of.head_dim,
            scale: of.attention_scale,
            mask: rule.mask,
        };
        Ok(Self {
            attention,
            rotary: rule.rotary,
            attention_norms: norms(&names.attention_norms)?,
            qkv: part.joined(&qkv, hidden, bias.qkv)?,
            head_norms,
            attended: part.linear(names.attended, q, hidden, bias.attended)?,
            mlp_norms: norms(&names.mlp_norms)?,
            up: up(&part, of)?,
            gated: !matches!(names.up, Up::Plain(_)),
            activation: of.activation,
            down: part.linear(names.down, of.intermediate_dim, hidden, bias.down)?,
        })
    }

    /// Changes `scratch.hidden`: `[tokens, hidden]`.
    pub fn forward(&self, device: &Device, batch: &Batch<'_>, scratch: &mut Scratch) {
        let Scratch { hidden, normed, qkv, context, wide, gated, update } = scratch;
        let x = self.attention_norms.enter(device, hidden, normed);
        ops::linear(device, &self.qkv, x, Activation::None, qkv);
        self.place(device, batch, qkv);
        ops::attention(device, &self.attention, qkv, batch.cu_seqlens, batch.bias, context);
        ops::linear(device, &self.attended, context, Activation::None, update);
        self.attention_norms.leave(device, hidden, update, normed);

        let x = self.mlp_norms.enter(device, hidden, normed);
        let narrow = if self.gated {
            ops::linear(device, &self.up, x, Activation::None, wide);
            ops::glu(device, wide, self.activation, gated);
            gated
        } else {
            ops::linear(device, &self.up, x, self.activation, wide);
            wide
        };
        ops::linear(device, &self.down, narrow, Activation::None, update);
        self.mlp_norms.leave(device, hidden, update, normed);
    }

    /// Norms and turns queries and keys, where the network does. qkv: see [`Scratch`].
    fn place(&self, device: &Device, batch: &Batch<'_>, qkv: &mut Rows) {
        let Attention { heads, heads_kv, head_dim, .. } = self.attention;
        if let Some([q, k]) = &self.head_norms {
            ops::norm_heads(device, qkv, 0..heads, q);
            ops::norm_heads(device, qkv, heads..heads + heads_kv, k);
        }
        if let Some(rotary) = self.rotary {
            let turns = &batch.turns[rotary];
            ops::rotary(device, qkv, heads + heads_kv, head_dim, turns, batch.places);
        }
    }
}

fn up(part: &Part<'_>, of: &Description) -> Result<Linear> {
    let (hidden, wide, bias) = (of.hidden_dim, of.intermediate_dim, of.bias.up);
    match of.names.up {
        Up::Plain(name) => part.linear(name, hidden, wide, bias),
        Up::Gated { gate, up } => part.joined(&[(gate, wide), (up, wide)], hidden, bias),
        Up::GateFirst(name) => part.linear(name, hidden, 2 * wide, bias),
        Up::GateLast(name) => part.swapped(name, hidden, 2 * wide, bias),
    }
}

/// The norms around one half of a layer.
struct Norms {
    before: Option<Norm>,
    after: Option<Norm>,
    joined: Option<Norm>,
}

impl Norms {
    fn load(
        part: &Part<'_>,
        names: &NormNames,
        d: usize,
        rule: &NormRule,
        layer: usize,
    ) -> Result<Self> {
        let norm = |name: Option<&str>| name.map(|name| part.norm(name, d, rule)).transpose();
        let before = names.before.filter(|_| layer > 0 || names.before_first);
        Ok(Self { before: norm(before)?, after: norm(names.after)?, joined: norm(names.joined)? })
    }

    /// What the half reads: `hidden`, or its norm in `normed`. Both: `[tokens, hidden]`.
    fn enter<'a>(&self, device: &Device, hidden: &'a Rows, normed: &'a mut Rows) -> &'a Rows {
        match &self.before {
            Some(norm) => {
                ops::norm(device, hidden, norm, normed);
                normed
            }
            None => hidden,
        }
    }

    /// Adds what the half gave to `hidden`. All: `[tokens, hidden]`.
    fn leave(&self, device: &Device, hidden: &mut Rows, update: &Rows, normed: &mut Rows) {
        let update = match &self.after {
            Some(norm) => {
                ops::norm(device, update, norm, normed);
                normed
            }
            None => update,
        };
        match &self.joined {
            Some(norm) => ops::residual_norm(device, hidden, update, norm),
            None => ops::residual(device, hidden, update),
        }
    }
}
