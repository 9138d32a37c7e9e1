//! One layer of a transformer: attention, then a perceptron.

use super::description::{Description, LayerConfig, NormConfig, NormNames, UpProj, Widths};
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
    /// Of queries and of keys.
    head_norms: Option<[B::Norm; 2]>,
    /// Values that each of them covers.
    head_norm_dim: usize,
    o_proj: B::Linear,
    mlp_norms: Norms<B>,
    /// The gates first, if `gated`.
    up_proj: B::Linear,
    gated: bool,
    activation: Activation,
    down_proj: B::Linear,
}

/// The batch, as all layers read it.
pub struct Pass<'a, 'b, B: Backend> {
    pub batch: &'a B::Batch<'b>,
    /// For each rotary embedding of the network.
    pub cos_sin: &'a [B::CosSin],
    pub bias: Option<&'a B::RelativeBias>,
}

/// The activations of one forward pass, kept for the next one.
pub struct Scratch<B: Backend> {
    /// `[tokens, hidden]`: the input and the output of each layer.
    pub hidden: B::Rows,
    /// `[tokens, hidden]`: `hidden` or `update` after a norm.
    pub normed: B::Rows,
    /// `[tokens, (heads + 2 * heads_kv) * head_dim]`.
    qkv: B::Rows,
    /// `[tokens, heads * head_dim]`.
    context: B::Rows,
    /// `[tokens, 2 * intermediate]`, if the perceptron is gated.
    gate_up: B::Rows,
    /// `[tokens, intermediate]`.
    intermediate: B::Rows,
    /// `[tokens, hidden]`: added to `hidden`.
    update: B::Rows,
}

impl<B: Backend> Default for Scratch<B> {
    fn default() -> Self {
        Self {
            hidden: B::Rows::default(),
            normed: B::Rows::default(),
            qkv: B::Rows::default(),
            context: B::Rows::default(),
            gate_up: B::Rows::default(),
            intermediate: B::Rows::default(),
            update: B::Rows::default(),
        }
    }
}

impl<B: Backend> Scratch<B> {
    /// Takes the memory for `tokens` in rows of `widths`; an error if there is not enough.
    pub fn reserve(&mut self, on: &B, tokens: usize, widths: &Widths) -> Result<()> {
        on.reserve(&mut self.hidden, tokens, widths.hidden)?;
        on.reserve(&mut self.normed, tokens, widths.hidden)?;
        on.reserve(&mut self.qkv, tokens, widths.qkv)?;
        on.reserve(&mut self.context, tokens, widths.context)?;
        on.reserve(&mut self.gate_up, tokens, widths.gate_up)?;
        on.reserve(&mut self.intermediate, tokens, widths.intermediate)?;
        on.reserve(&mut self.update, tokens, widths.hidden)
    }
}

#[cfg(test)]
impl Scratch<crate::device::Cpu> {
    /// Values that each buffer has memory for.
    pub fn capacities(&self) -> [usize; 7] {
        let Self { hidden, normed, qkv, context, gate_up, intermediate, update } = self;
        [hidden, normed, qkv, context, gate_up, intermediate, update]
            .map(crate::device::Rows::capacity)
    }
}

impl<B: Backend> Layer<B> {
    /// Layer `i` of the network in `part`.
    pub fn load(
        part: &Part<'_, B>,
        of: &Description,
        i: usize,
        config: &LayerConfig,
    ) -> Result<Self> {
        let (names, bias, hidden) = (of.names, of.bias, of.hidden_dim);
        let part = part.at(&format!("{}.{i}", names.layer));
        let (q, kv) = (of.heads * of.head_dim, of.heads_kv * of.head_dim);
        let qkv = match *names.qkv {
            [q_name, k_name, v_name] => vec![(q_name, q), (k_name, kv), (v_name, kv)],
            _ => vec![(names.qkv[0], q + 2 * kv)],
        };
        let head_norm = |name: &str| part.norm(name, of.head_norm_dim, &of.norm);
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
            mask: config.mask,
        };
        Ok(Self {
            attention,
            rotary: config.rotary,
            attention_norms: norms(&names.attention_norms)?,
            qkv: part.joined(&qkv, hidden, bias.qkv)?,
            head_norms,
            head_norm_dim: of.head_norm_dim,
            o_proj: part.linear(names.o_proj, q, hidden, bias.o_proj)?,
            mlp_norms: norms(&names.mlp_norms)?,
            up_proj: up_proj(&part, of)?,
            gated: of.is_gated(),
            activation: of.activation,
            down_proj: part.linear(names.down_proj, of.intermediate_dim, hidden, bias.down_proj)?,
        })
    }

    /// The norm of its input.
    pub fn first_norm(&self) -> Option<&B::Norm> {
        self.attention_norms.before.as_ref()
    }

    /// Updates `scratch.hidden`, `[tokens, hidden]`. If the layer reads normed states, they are in
    /// `scratch.normed`; afterwards it holds the states normed by `next`.
    pub fn forward(
        &self,
        on: &B,
        pass: &Pass<'_, '_, B>,
        next: Option<&B::Norm>,
        scratch: &mut Scratch<B>,
    ) -> Result<()> {
        let Scratch { hidden, normed, qkv, context, gate_up, intermediate, update } = scratch;
        let x = self.attention_norms.input(hidden, normed);
        on.linear(&self.qkv, x, Activation::None, qkv)?;
        self.norm_and_rotate(on, pass, qkv)?;
        on.attention(&self.attention, qkv, pass.batch, pass.bias, context)?;
        on.linear(&self.o_proj, context, Activation::None, update)?;
        self.attention_norms.add_output(
            on,
            hidden,
            update,
            self.mlp_norms.before.as_ref(),
            normed,
        )?;

        let x = self.mlp_norms.input(hidden, normed);
        if self.gated {
            on.gated_linear(&self.up_proj, x, self.activation, gate_up, intermediate)?;
        } else {
            on.linear(&self.up_proj, x, self.activation, intermediate)?;
        }
        on.linear(&self.down_proj, intermediate, Activation::None, update)?;
        self.mlp_norms.add_output(on, hidden, update, next, normed)
    }

    /// Norms and rotates queries and keys, if the layer does. qkv: see [`Scratch`].
    fn norm_and_rotate(&self, on: &B, pass: &Pass<'_, '_, B>, qkv: &mut B::Rows) -> Result<()> {
        let Attention { heads, heads_kv, head_dim, .. } = self.attention;
        if let Some([q, k]) = &self.head_norms {
            let [q_end, k_end] =
                [heads, heads + heads_kv].map(|end| end * head_dim / self.head_norm_dim);
            on.norm_heads(qkv, 0..q_end, q)?;
            on.norm_heads(qkv, q_end..k_end, k)?;
        }
        match self.rotary {
            Some(i) => on.rotary(qkv, heads + heads_kv, head_dim, &pass.cos_sin[i], pass.batch),
            None => Ok(()),
        }
    }
}

fn up_proj<B: Backend>(part: &Part<'_, B>, of: &Description) -> Result<B::Linear> {
    let (hidden, d, bias) = (of.hidden_dim, of.intermediate_dim, of.bias.up_proj);
    match of.names.up_proj {
        UpProj::Plain(name) => part.linear(name, hidden, d, bias),
        UpProj::Separate { gate, up } => part.joined(&[(gate, d), (up, d)], hidden, bias),
        UpProj::GateUp(name) => part.linear(name, hidden, 2 * d, bias),
        UpProj::UpGate(name) => part.swapped(name, hidden, 2 * d, bias),
    }
}

/// The norms around one half of a layer.
struct Norms<B: Backend> {
    before: Option<B::Norm>,
    after: Option<B::Norm>,
    after_sum: Option<B::Norm>,
    joined: Option<B::Norm>,
}

impl<B: Backend> Norms<B> {
    fn load(
        part: &Part<'_, B>,
        names: &NormNames,
        d: usize,
        config: &NormConfig,
        layer: usize,
    ) -> Result<Self> {
        let norm = |name: Option<&str>| name.map(|name| part.norm(name, d, config)).transpose();
        let before = names.before.filter(|_| layer > 0 || names.before_first);
        Ok(Self {
            before: norm(before)?,
            after: norm(names.after)?,
            after_sum: norm(names.after_sum)?,
            joined: norm(names.joined)?,
        })
    }

    /// The input of the half: `hidden`, or its norm in `normed`. Both: `[tokens, hidden]`.
    fn input<'a>(&self, hidden: &'a B::Rows, normed: &'a B::Rows) -> &'a B::Rows {
        if self.before.is_some() { normed } else { hidden }
    }

    /// Adds the output of the half to `hidden`; `normed` becomes its norm by `next`. All: `[tokens,
    /// hidden]`.
    fn add_output(
        &self,
        on: &B,
        hidden: &mut B::Rows,
        update: &mut B::Rows,
        next: Option<&B::Norm>,
        normed: &mut B::Rows,
    ) -> Result<()> {
        if let Some(norm) = &self.after_sum {
            on.residual_norm(update, hidden, norm)?;
        }
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
