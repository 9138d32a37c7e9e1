//! What does one layer of a transformer do to the hidden states?

use super::description::{Description, LayerRule, NormNames, NormRule, Up};
use super::part::Part;
use crate::base::error::Result;
use crate::device::Backend;
use crate::device::cpu::ops::{Activation, Attention};

/// Attention, then a perceptron, each with norms around it and added to what came in.
pub struct Layer<B: Backend> {
    attention: Attention,
    rotary: Option<usize>,
    attention_norms: Norms<B>,
    /// Queries, keys and values in one product.
    qkv: B::Linear,
    /// Of each head of queries, and of keys.
    head_norms: Option<[B::Norm; 2]>,
    attended: B::Linear,
    mlp_norms: Norms<B>,
    /// The gates in front of the values, if `gated`.
    up: B::Linear,
    gated: bool,
    activation: Activation,
    down: B::Linear,
}

/// What a layer needs to know of the batch.
pub struct Pass<'a, 'b, B: Backend> {
    pub batch: &'a B::Batch<'b>,
    /// Of each rotary of the network, for every place.
    pub turns: &'a [B::Turns],
    pub bias: Option<&'a B::RelativeBias>,
}

/// The activations of one forward pass, kept for the next one.
pub struct Scratch<B: Backend> {
    /// `[tokens, hidden]`: what each layer reads and leaves.
    pub hidden: B::Rows,
    /// `[tokens, hidden]`: `hidden` or `update` after a norm.
    pub normed: B::Rows,
    /// `[tokens, (heads + 2 * heads_kv) * head_dim]`.
    qkv: B::Rows,
    /// `[tokens, heads * head_dim]`.
    context: B::Rows,
    /// `[tokens, intermediate]`, twice as wide if gated.
    wide: B::Rows,
    /// `[tokens, intermediate]`.
    gated: B::Rows,
    /// `[tokens, hidden]`: what is added to `hidden`.
    update: B::Rows,
}

impl<B: Backend> Default for Scratch<B> {
    fn default() -> Self {
        let [hidden, normed, qkv, context, wide, gated, update] = Default::default();
        Self { hidden, normed, qkv, context, wide, gated, update }
    }
}

impl<B: Backend> Scratch<B> {
    /// Takes the memory for `tokens` in rows of `widths`, or says that it is not there.
    pub fn reserve(&mut self, on: &B, tokens: usize, widths: [usize; 7]) -> Result<()> {
        let Self { hidden, normed, qkv, context, wide, gated, update } = self;
        let buffers = [hidden, normed, qkv, context, wide, gated, update];
        buffers.into_iter().zip(widths).try_for_each(|(rows, d)| on.reserve(rows, tokens, d))
    }
}

#[cfg(test)]
impl Scratch<crate::device::Cpu> {
    /// Values that each buffer has memory for.
    pub fn capacities(&self) -> [usize; 7] {
        let Self { hidden, normed, qkv, context, wide, gated, update } = self;
        [hidden, normed, qkv, context, wide, gated, update].map(crate::device::Rows::capacity)
    }
}

impl<B: Backend> Layer<B> {
    /// Layer `i` of the network in `part`.
    pub fn load(part: &Part<'_, B>, of: &Description, i: usize, rule: &LayerRule) -> Result<Self> {
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

    /// What it reads the norm of.
    pub fn first_norm(&self) -> Option<&B::Norm> {
        self.attention_norms.before.as_ref()
    }

    /// Changes `scratch.hidden`, `[tokens, hidden]`. Its norms, where the layer reads them, are in
    /// `scratch.normed`, as those by `next` are after it.
    pub fn forward(
        &self,
        on: &B,
        pass: &Pass<'_, '_, B>,
        next: Option<&B::Norm>,
        scratch: &mut Scratch<B>,
    ) -> Result<()> {
        let Scratch { hidden, normed, qkv, context, wide, gated, update } = scratch;
        let x = self.attention_norms.input(hidden, normed);
        on.linear(&self.qkv, x, Activation::None, qkv)?;
        self.place(on, pass, qkv)?;
        on.attention(&self.attention, qkv, pass.batch, pass.bias, context)?;
        on.linear(&self.attended, context, Activation::None, update)?;
        self.attention_norms.leave(on, hidden, update, self.mlp_norms.before.as_ref(), normed)?;

        let x = self.mlp_norms.input(hidden, normed);
        let narrow = if self.gated {
            on.gated_linear(&self.up, x, self.activation, wide, gated)?;
            gated
        } else {
            on.linear(&self.up, x, self.activation, wide)?;
            wide
        };
        on.linear(&self.down, narrow, Activation::None, update)?;
        self.mlp_norms.leave(on, hidden, update, next, normed)
    }

    /// Norms and turns queries and keys, where the network does. qkv: see [`Scratch`].
    fn place(&self, on: &B, pass: &Pass<'_, '_, B>, qkv: &mut B::Rows) -> Result<()> {
        let Attention { heads, heads_kv, head_dim, .. } = self.attention;
        if let Some([q, k]) = &self.head_norms {
            on.norm_heads(qkv, 0..heads, q)?;
            on.norm_heads(qkv, heads..heads + heads_kv, k)?;
        }
        match self.rotary {
            Some(i) => on.rotary(qkv, heads + heads_kv, head_dim, &pass.turns[i], pass.batch),
            None => Ok(()),
        }
    }
}

fn up<B: Backend>(part: &Part<'_, B>, of: &Description) -> Result<B::Linear> {
    let (hidden, wide, bias) = (of.hidden_dim, of.intermediate_dim, of.bias.up);
    match of.names.up {
        Up::Plain(name) => part.linear(name, hidden, wide, bias),
        Up::Gated { gate, up } => part.joined(&[(gate, wide), (up, wide)], hidden, bias),
        Up::GateFirst(name) => part.linear(name, hidden, 2 * wide, bias),
        Up::GateLast(name) => part.swapped(name, hidden, 2 * wide, bias),
    }
}

/// The norms around one half of a layer.
struct Norms<B: Backend> {
    before: Option<B::Norm>,
    after: Option<B::Norm>,
    joined: Option<B::Norm>,
}

impl<B: Backend> Norms<B> {
    fn load(
        part: &Part<'_, B>,
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
    fn input<'a>(&self, hidden: &'a B::Rows, normed: &'a B::Rows) -> &'a B::Rows {
        if self.before.is_some() { normed } else { hidden }
    }

    /// Adds what the half gave to `hidden`; `normed` becomes its norm by `next`. All: `[tokens,
    /// hidden]`.
    fn leave(
        &self,
        on: &B,
        hidden: &mut B::Rows,
        update: &B::Rows,
        next: Option<&B::Norm>,
        normed: &mut B::Rows,
    ) -> Result<()> {
        match (&self.after, &self.joined, next) {
            (None, None, Some(next)) => return on.add_norm(hidden, update, next, normed),
            (Some(after), ..) => {
                on.norm(update, after, normed)?;
                self.join(on, hidden, normed)?;
            }
            _ => self.join(on, hidden, update)?,
        }
        next.map_or(Ok(()), |next| on.norm(hidden, next, normed))
    }

    fn join(&self, on: &B, hidden: &mut B::Rows, update: &B::Rows) -> Result<()> {
        match &self.joined {
            Some(norm) => on.residual_norm(hidden, update, norm),
            None => on.residual(hidden, update),
        }
    }
}
