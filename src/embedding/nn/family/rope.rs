//! The frequencies of rotary position embeddings.

use std::f64::consts::TAU;

use crate::base::error::Result;
use crate::device::cpu::ops::Rotary;
use crate::embedding::nn::config::{Raw, unsupported};

/// The rotary embeddings of config.json, for heads of `head_dim` values.
///
/// New files have `rope_parameters`, one object or one for each `kind` of layer; older ones have
/// `theta_key` and `rope_scaling`.
pub fn rotary(
    raw: &Raw,
    kind: &str,
    theta_key: &str,
    theta: f64,
    head_dim: usize,
) -> Result<Rotary> {
    let new = raw.object("rope_parameters");
    let new = new.and_then(|new| if new.has(kind) { new.object(kind) } else { Some(new) });
    let (theta, scaling) = match new.filter(|new| new.has("rope_theta")) {
        Some(new) => (new.positive_or("rope_theta", theta)?, Some(new)),
        None => (raw.positive_or(theta_key, theta)?, raw.object("rope_scaling")),
    };
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
    let frequencies_of = |theta: f64| {
        // In f32 where the reference is, since a position multiplies the rounding error.
        let power = |i: usize| theta.powf(f64::from((2 * i) as f32 / dim as f32)) as f32;
        (0..dim / 2).map(|i| f64::from(1.0 / power(i))).collect::<Vec<f64>>()
    };
    let frequencies = match scaling {
        Some(scaling) => scaled(&scaling, theta, dim, frequencies_of)?,
        None => frequencies_of(theta),
    };
    Ok(Rotary { frequencies: frequencies.into_iter().map(|frequency| frequency as f32).collect() })
}

fn scaled(
    scaling: &Raw,
    theta: f64,
    dim: usize,
    frequencies_of: impl Fn(f64) -> Vec<f64>,
) -> Result<Vec<f64>> {
    let factor = scaling.positive_or("factor", 1.0)?;
    match scaling.text_or(scaling.first(&["rope_type", "type"]), "default")? {
        // A dynamic base changes only beyond the positions that the config allows.
        "default" | "dynamic" => Ok(frequencies_of(theta)),
        "linear" => {
            Ok(frequencies_of(theta).into_iter().map(|frequency| frequency / factor).collect())
        }
        // A larger base, and all slower by the same (https://kexue.fm/archives/9706, formula 6).
        "ntk" => {
            scaling.only("mixed_b", serde_json::Value::Null)?;
            let slower = factor.powf(2.0 / dim as f64);
            Ok(frequencies_of(theta * factor)
                .into_iter()
                .map(|frequency| frequency / slower)
                .collect())
        }
        "llama3" => llama3(scaling, factor, frequencies_of(theta)),
        other => Err(unsupported(
            format!("rope_type {other}"),
            "default, dynamic, linear, ntk and llama3",
        )),
    }
}

/// Fast pairs stay, slow ones are slowed by `factor`, those between are interpolated (Llama 3.1).
fn llama3(scaling: &Raw, factor: f64, frequencies: Vec<f64>) -> Result<Vec<f64>> {
    let context = scaling.size("original_max_position_embeddings")? as f64;
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
