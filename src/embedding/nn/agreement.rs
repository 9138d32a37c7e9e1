//! How well a network agrees with the same network on the CPU in f32.

use std::path::Path;

use super::sentence::TextConfig;
use super::{Encoder, Pooling};
use crate::base::config::DtypeChoice;
use crate::base::error::Result;
use crate::device::Device;
use crate::embedding::token::{Ragged, Tokenizer};

/// Below this cosine a device computes another model.
pub const AGREEMENT_MIN: f32 = 0.999;

/// Texts whose vectors are compared: prose, code, and characters outside ASCII.
pub const PROBES: [&str; 3] = [
    "How are failed requests retried?",
    "fn retry(request: &Request) -> Result<Response> { client.send(request) }",
    "Überprüft die Größe: 3 × 4 ≤ 12, naïve café",
];
/// Tokens of the last of them, repeated: more than the tiles of our kernels have.
const LONG_TEXT_TOKENS: usize = 160;

/// The least cosine between the mean hidden states of three texts by `encoder` and by the CPU in
/// f32; NaN if a value is not finite. The weights in `folder` are loaded a second time.
pub fn agreement(folder: &Path, encoder: &Encoder) -> Result<f32> {
    let batch = probe(folder, encoder)?;
    let exact = encoder.device().host().clone().with_dtype(DtypeChoice::F32)?;
    let oracle = Encoder::load(folder, &Device::Cpu(exact))?;
    let vectors = |encoder: &Encoder| encoder.pooled(&batch, &[Pooling::Mean], true);
    let (got, want) = (vectors(encoder)?, vectors(&oracle)?);
    let d = encoder.hidden_dim();
    let cosine = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let cosines = got.chunks_exact(d).zip(want.chunks_exact(d)).map(cosine);
    Ok(cosines.fold(1.0, |least: f32, cosine| if cosine >= least { least } else { cosine }))
}

fn probe(folder: &Path, encoder: &Encoder) -> Result<Ragged> {
    let TextConfig { folder, options, .. } = TextConfig::read(folder)?;
    let max_tokens = LONG_TEXT_TOKENS.min(encoder.max_positions());
    let long = PROBES[2].repeat(LONG_TEXT_TOKENS / 8);
    let texts = [PROBES[0], PROBES[1], long.as_str()];
    let tokenizer = Tokenizer::open_with(&folder, max_tokens, options)?;
    tokenizer.encode_batch(&texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Candle, Cpu};
    use crate::embedding::nn::tests::golden;

    #[test]
    fn every_way_to_compute_agrees_and_other_weights_do_not() {
        let cpu = Cpu::new(2).unwrap();
        let int16 = cpu.clone().with_dtype(DtypeChoice::Int16).unwrap();
        for device in [Device::Cpu(int16), Device::Candle(Candle::on_cpu(cpu.clone()))] {
            let encoder = Encoder::load(&golden("bert"), &device).unwrap();
            let least = agreement(&golden("bert"), &encoder).unwrap();
            assert!(least > 0.9999, "{}: {least}", device.name());
        }
        let other = Encoder::load(&golden("distilbert"), &Device::Cpu(cpu)).unwrap();
        let least = agreement(&golden("bert"), &other).unwrap();
        assert!(least < AGREEMENT_MIN, "{least}");
    }
}
