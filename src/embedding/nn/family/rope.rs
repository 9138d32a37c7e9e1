//! By how much does a place turn each pair of a query or a key?

use std::f64::consts::TAU;

use crate::base::error::Result;
use crate::device::cpu::ops::Rotary;
use crate::embedding::nn::config::{Raw, unsupported};

/// The rotary that config.json asks for, of heads of `head_dim` values.
///
/// New files say it in `rope_parameters`, one object or one for each `kind` of layer; older ones in
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
    turning(raw, scaling, theta, fraction, head_dim)
}

/// The rotary of that base, on `fraction` of each head, as `scaling` stretches it.
pub fn turning(
    raw: &Raw,
    scaling: Option<Raw>,
    theta: f64,
    fraction: f64,
    head_dim: usize,
) -> Result<Rotary> {
    let dim = (head_dim as f64 * fraction) as usize;
    if fraction > 1.0 || dim == 0 || !dim.is_multiple_of(2) {
        return Err(
            raw.broken(format!("{fraction} of heads of {head_dim} values cannot be turned"))
        );
    }
    let of = |theta: f64| {
        // In f32 where the reference is: a place multiplies what is rounded off.
        let power = |i: usize| theta.powf(f64::from((2 * i) as f32 / dim as f32)) as f32;
        (0..dim / 2).map(|i| f64::from(1.0 / power(i))).collect::<Vec<f64>>()
    };
    let frequencies = match scaling {
        Some(scaling) => scaled(&scaling, theta, dim, of)?,
        None => of(theta),
    };
    Ok(Rotary { frequencies: frequencies.into_iter().map(|frequency| frequency as f32).collect() })
}

fn scaled(scaling: &Raw, theta: f64, dim: usize, of: impl Fn(f64) -> Vec<f64>) -> Result<Vec<f64>> {
    let factor = scaling.positive_or("factor", 1.0)?;
    match scaling.text_or(scaling.first(&["rope_type", "type"]), "default")? {
        // A dynamic base changes only beyond the positions that the config allows.
        "default" | "dynamic" => Ok(of(theta)),
        "linear" => Ok(of(theta).into_iter().map(|frequency| frequency / factor).collect()),
        // A larger base, and all slower by the same (https://kexue.fm/archives/9706, formula 6).
        "ntk" => {
            scaling.only("mixed_b", serde_json::Value::Null)?;
            let slower = factor.powf(2.0 / dim as f64);
            Ok(of(theta * factor).into_iter().map(|frequency| frequency / slower).collect())
        }
        "llama3" => llama3(scaling, factor, of(theta)),
        other => Err(unsupported(
            format!("rope_type {other}"),
            "default, dynamic, linear, ntk and llama3",
        )),
    }
}

/// Fast pairs stay, slow ones are slowed by `factor`, and those between are in between (Llama 3.1).
fn llama3(scaling: &Raw, factor: f64, frequencies: Vec<f64>) -> Result<Vec<f64>> {
    let context = scaling.size("original_max_position_embeddings")? as f64;
    let low = scaling.positive_or("low_freq_factor", 1.0)?;
    let high = scaling.positive_or("high_freq_factor", 4.0)?;
    if high <= low {
        return Err(scaling.broken(format!("high_freq_factor {high} is not above {low}")));
    }
    let slowed = |frequency: f64| {
        let turns = context * frequency / TAU;
        let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
        frequency * (kept + (1.0 - kept) / factor)
    };
    Ok(frequencies.into_iter().map(slowed).collect())
}
