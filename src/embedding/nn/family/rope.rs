//! The frequencies of rotary position embeddings.

use std::f64::consts::TAU;

use crate::base::error::Result;
use crate::device::cpu::ops::Rotary;
use crate::embedding::nn::config::{Raw, unsupported};

/// The kinds of layers that may have rotary embeddings of their own.
const KINDS: [&str; 2] = ["full_attention", "sliding_attention"];

/// Which of a network's layers share rotary embeddings.
#[derive(Debug, Clone, Copy)]
pub enum Layers {
    All,
    /// The kind under which `rope_parameters` has an object of its own, and whether the old key
    /// `rope_scaling` is meant for it too.
    Kind {
        name: &'static str,
        scaled: bool,
    },
}

/// The rotary embeddings of config.json, for heads of `head_dim` values.
///
/// New files have `rope_parameters`, one object or one for each kind of layer; older ones have
/// `theta_key` and `rope_scaling`. Files that have both are read as transformers does: the base is
/// that of `theta_key` unless the object has its own, and the older scaling wins.
pub fn rotary(
    raw: &Raw,
    layers: Layers,
    theta_key: &str,
    theta: f64,
    head_dim: usize,
) -> Result<Rotary> {
    let old = raw.object("rope_scaling").filter(|old| !old.is_empty());
    let new = raw.object("rope_parameters").filter(|new| !new.is_empty());
    let scaling = match layers {
        Layers::All => old.or(new).map(|own| own.object(KINDS[0]).unwrap_or(own)),
        Layers::Kind { name, scaled } => {
            if new.as_ref().is_some_and(|new| !KINDS.iter().any(|kind| new.names(kind))) {
                let found = "rope_parameters that are not given for each kind of layer".to_owned();
                return Err(unsupported(
                    found,
                    &format!("rope_parameters with {}", KINDS.join(" and ")),
                ));
            }
            let own = new.and_then(|new| new.object(name));
            let old = old.filter(|_| scaled);
            own.map_or(old.clone(), |own| Some(old.map_or(own.clone(), |old| own.merged(old))))
        }
    };
    let theta = raw.positive_or(theta_key, theta)?;
    let theta = scaling.as_ref().map_or(Ok(theta), |own| own.positive_or("rope_theta", theta))?;
    let key = "partial_rotary_factor";
    let holder = scaling.as_ref().filter(|scaling| scaling.has(key)).unwrap_or(raw);
    let fraction = holder.positive_or(key, 1.0)?;
    scaled_rotary(raw, scaling, theta, fraction, head_dim)
}

/// Rotary embeddings of the base `theta`, on `fraction` of each head, stretched by `scaling`.
pub fn scaled_rotary(
    raw: &Raw,
    scaling: Option<Raw>,
    theta: f64,
    fraction: f64,
    head_dim: usize,
) -> Result<Rotary> {
    let dim = (head_dim as f64 * fraction) as usize;
    if fraction > 1.0 || dim == 0 || !dim.is_multiple_of(2) {
        return Err(
            raw.broken(format!("{fraction} of heads of {head_dim} values cannot be rotated"))
        );
    }
    match scaling {
        Some(scaling) => Stretch { raw, scaling: &scaling, theta, dim }.rotary(),
        None => Ok(plain(frequencies(theta, dim))),
    }
}

/// The frequencies of the pairs, without scaling: `[dim / 2]`.
fn frequencies(theta: f64, dim: usize) -> Vec<f64> {
    // In f32 where the reference is, since a position multiplies the rounding error.
    let power = |i: usize| theta.powf(f64::from((2 * i) as f32 / dim as f32)) as f32;
    (0..dim / 2).map(|i| f64::from(1.0 / power(i))).collect()
}

/// frequencies: `[pairs]`.
fn plain(frequencies: Vec<f64>) -> Rotary {
    scaled_by(frequencies, 1.0)
}

/// frequencies: `[pairs]`.
fn scaled_by(frequencies: Vec<f64>, scale: f64) -> Rotary {
    let frequencies = frequencies.into_iter().map(|frequency| frequency as f32).collect();
    Rotary { frequencies, scale: scale as f32 }
}

/// One way to stretch rotary embeddings over longer texts.
struct Stretch<'a> {
    raw: &'a Raw,
    scaling: &'a Raw,
    theta: f64,
    dim: usize,
}

impl Stretch<'_> {
    fn rotary(&self) -> Result<Rotary> {
        let Self { scaling, theta, dim, .. } = *self;
        let divided = |factor: f64| frequencies(theta, dim).into_iter().map(move |f| f / factor);
        match scaling.text_or(scaling.first(&["rope_type", "type"]), "default")? {
            // A dynamic base changes only beyond the positions that the config allows.
            "default" | "dynamic" => Ok(plain(frequencies(theta, dim))),
            "linear" => Ok(plain(divided(self.factor()?).collect())),
            // A larger base, and all slower by the same (https://kexue.fm/archives/9706, formula 6).
            "ntk" => {
                scaling.only("mixed_b", serde_json::Value::Null)?;
                let factor = scaling.positive_or("factor", 1.0)?;
                let slower = factor.powf(2.0 / dim as f64);
                let frequencies = frequencies(theta * factor, dim).into_iter();
                Ok(plain(frequencies.map(|frequency| frequency / slower).collect()))
            }
            "llama3" => {
                let frequencies = frequencies(theta, dim);
                Ok(plain(llama3(scaling, self.factor()?, self.trained()?, frequencies)?))
            }
            "yarn" => self.yarn(),
            "longrope" => self.longrope(),
            other => Err(unsupported(
                format!("rope_type {other}"),
                "default, dynamic, linear, ntk, llama3, yarn and longrope",
            )),
        }
    }

    fn factor(&self) -> Result<f64> {
        if !self.scaling.has("factor") {
            return Err(self
                .raw
                .broken("the scaling of its rotary embeddings has no factor".into()));
        }
        self.scaling.positive_or("factor", 1.0)
    }

    /// Positions that the model was trained for before it was stretched.
    fn trained(&self) -> Result<f64> {
        let key = "original_max_position_embeddings";
        let known = match self.raw.size_if(key)? {
            None => self.scaling.size_if(key)?,
            known => known,
        };
        known.map_or_else(|| self.positions(), Ok).map(|positions| positions as f64)
    }

    /// Positions of the stretched model.
    fn positions(&self) -> Result<usize> {
        self.raw.size(self.raw.first(&["n_positions", "max_position_embeddings"]))
    }

    /// YaRN (Peng et al., 2023): fast pairs stay, slow ones are slowed by `factor`, those between
    /// are interpolated by their place, and all cosines and sines are scaled.
    fn yarn(&self) -> Result<Rotary> {
        let Self { scaling, theta, dim, .. } = *self;
        let trained = self.trained()?;
        let stretched = self.positions()? as f64 / trained;
        let factor = scaling.positive_or("factor", stretched)?;
        // A value of 0 means the default.
        let beta = |key, default| {
            scaling.number_or(key, default).map(|beta| if beta == 0.0 { default } else { beta })
        };
        let (fast, slow) = (beta("beta_fast", 32.0)?, beta("beta_slow", 1.0)?);
        let place =
            |rotations: f64| dim as f64 * (trained / (rotations * TAU)).ln() / (2.0 * theta.ln());
        let (mut low, mut high) = (place(fast), place(slow));
        if scaling.flag_or("truncate", true)? {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, high) = (low.max(0.0), high.min(dim as f64 - 1.0));
        let width = if low == high { 0.001 } else { high - low };
        let slowed = |(i, frequency): (usize, f64)| {
            let slow = ((i as f64 - low) / width).clamp(0.0, 1.0);
            frequency / factor * slow + frequency * (1.0 - slow)
        };
        let frequencies = frequencies(theta, dim).into_iter().enumerate().map(slowed).collect();
        Ok(scaled_by(frequencies, self.yarn_scale(factor)?))
    }

    fn yarn_scale(&self, factor: f64) -> Result<f64> {
        let mscale =
            |mscale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
        let of = |key| self.scaling.number_or(key, 0.0);
        let default = match (of("mscale")?, of("mscale_all_dim")?) {
            (0.0, _) | (_, 0.0) => mscale(1.0),
            (one, all) => mscale(one) / mscale(all),
        };
        self.scaling.number_or("attention_factor", default)
    }

    /// LongRoPE (Ding et al., 2024): a factor for each pair, one list for texts as long as the model
    /// was trained for, and one for longer texts.
    fn longrope(&self) -> Result<Rotary> {
        let Self { scaling, theta, dim, .. } = *self;
        let (trained, positions) = (self.trained()?, self.positions()?);
        if positions as f64 > trained {
            let found =
                format!("rope_type longrope for {positions} positions, of {trained} trained");
            return Err(unsupported(found, "longrope within the trained positions"));
        }
        let factors = scaling.numbers("short_factor", dim / 2)?;
        let frequencies = frequencies(theta, dim).into_iter().zip(&factors);
        let frequencies = frequencies.map(|(frequency, factor)| frequency / factor).collect();
        let factor = scaling.positive_or("factor", positions as f64 / trained)?;
        let default = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / trained.ln()).sqrt() };
        Ok(scaled_by(frequencies, scaling.number_or("attention_factor", default)?))
    }
}

/// Fast pairs stay, slow ones are slowed by `factor`, those between are interpolated (Llama 3.1).
///
/// frequencies: `[pairs]`.
fn llama3(scaling: &Raw, factor: f64, context: f64, frequencies: Vec<f64>) -> Result<Vec<f64>> {
    let low = scaling.positive_or("low_freq_factor", 1.0)?;
    let high = scaling.positive_or("high_freq_factor", 4.0)?;
    if high <= low {
        return Err(scaling.broken(format!("high_freq_factor {high} is not above {low}")));
    }
    let slowed = |frequency: f64| {
        let rotations = context * frequency / TAU;
        let kept = ((rotations - low) / (high - low)).clamp(0.0, 1.0);
        frequency * (kept + (1.0 - kept) / factor)
    };
    Ok(frequencies.into_iter().map(slowed).collect())
}
