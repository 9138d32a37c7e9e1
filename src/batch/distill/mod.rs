//! Distill: static models from transformers: each token of the vocabulary through the network alone, then the
//! principal components, weighted by the rank of the token (model2vec: Tulkens and van Dongen, 2024).

mod vocabulary;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use vocabulary::Vocabulary;

use crate::base::config::EngineSettings;
use crate::base::error::{Error, Result};
use crate::base::vector::Matrix;
use crate::device::Selection;
use crate::embedding::models::ModelFolder;
use crate::embedding::nn::{Encoder, NetworkKind, Pooling, TextConfig};
use crate::embedding::token::{Ragged, Tokenizer};
use crate::index::dense::principal_components;

/// Values of a vector unless another number is asked for.
const DIMENSIONS: usize = 256;
/// The strength of the weights: SIF, smooth inverse frequency (Arora et al., 2017).
const SIF_COEFFICIENT: f64 = 1e-4;
/// Tokens that are computed together.
const BATCH_TOKENS: usize = 4096;

/// A static model that was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distilled {
    pub tokens: usize,
    pub dimensions: usize,
    /// The share of the variance of the tokens' vectors that is left.
    pub variance_kept: f64,
}

/// Writes the static model of `teacher` into the new folder `out`, which appears when it is whole.
///
/// dimensions: at most those of the teacher; 256, if it has so many, unless given. progress: called
/// with the tokens that are done and their number.
pub fn distill(
    teacher: &ModelFolder,
    dimensions: Option<usize>,
    settings: &EngineSettings,
    out: &Path,
    progress: &dyn Fn(usize, usize),
) -> Result<Distilled> {
    if out.exists() {
        return Err(Error::Argument {
            name: "output",
            value: out.display().to_string(),
            expected: "a folder that does not exist yet".to_owned(),
        });
    }
    if NetworkKind::read(&teacher.path)? == NetworkKind::Static {
        return Err(Error::Argument {
            name: "teacher",
            value: teacher.name.clone(),
            expected: "a transformer; this model is static already".to_owned(),
        });
    }
    let network = TextConfig::read(&teacher.path)?.folder;
    let tokenizer = Tokenizer::open(&network, Encoder::limits(&teacher.path)?.1)?;
    let vocabulary = Vocabulary::read(&network, &tokenizer)?;
    let vectors = token_vectors(teacher, settings, &tokenizer, &vocabulary.ids, progress)?;
    let d = vectors.d();
    let dimensions = dimensions.unwrap_or(DIMENSIONS.min(d));
    if !(1..=d).contains(&dimensions) || dimensions >= vectors.n() {
        return Err(Error::Argument {
            name: "dim",
            value: dimensions.to_string(),
            expected: format!("1 to {d}, the dimension of {}", teacher.name),
        });
    }
    let components = principal_components(&vectors, dimensions)?;
    let variance_kept = variance(&components) / variance(&vectors);
    let staging = Staging::create(out)?;
    write(&staging.0, &teacher.name, &vocabulary, &weighted(components))?;
    fs::rename(&staging.0, out).map_err(|e| Error::io("move", out, e))?;
    Ok(Distilled { tokens: vocabulary.ids.len(), dimensions, variance_kept })
}

/// The mean of the hidden states of each token between the special tokens: `[n, d]`. ids: `[n]`.
fn token_vectors(
    teacher: &ModelFolder,
    settings: &EngineSettings,
    tokenizer: &Tokenizer,
    ids: &[u32],
    progress: &dyn Fn(usize, usize),
) -> Result<Matrix> {
    let device = Selection::open(settings)?.device;
    let encoder = Encoder::load(&teacher.path, &device)?;
    let d = encoder.hidden_dim();
    let mut vectors = Vec::with_capacity(ids.len() * d);
    let per_batch = (BATCH_TOKENS / (1 + tokenizer.specials())).max(1);
    for (i, some) in ids.chunks(per_batch).enumerate() {
        let sequences: Vec<Vec<u32>> =
            some.iter().map(|id| tokenizer.between_specials(&[*id])).collect();
        let batch = Ragged::from_seqs(sequences.iter().map(Vec::as_slice));
        let computed = encoder.pooled(&batch, &[Pooling::Mean], false)?;
        let finite = |value: f32| if value.is_finite() { value } else { 0.0 };
        vectors.extend(computed.into_iter().map(finite));
        progress(i * per_batch + some.len(), ids.len());
    }
    Matrix::new(vectors, d)
}

/// The sum of the squared distances to the mean.
fn variance(vectors: &Matrix) -> f64 {
    let (n, d) = (vectors.n() as f64, vectors.d());
    let (mut sums, mut squares) = (vec![0.0; d], 0.0);
    for row in vectors.rows() {
        for (sum, value) in sums.iter_mut().zip(row) {
            let value = f64::from(*value);
            *sum += value;
            squares += value * value;
        }
    }
    squares - sums.iter().map(|sum| sum * sum / n).sum::<f64>()
}

/// Each row times its weight: the rarer a token by its rank, taken to follow Zipf's law, the more.
fn weighted(vectors: Matrix) -> Vec<f16> {
    let inverse_rank = |i: usize| 1.0 / (i + 2) as f64;
    let sum: f64 = (0..vectors.n()).map(inverse_rank).sum();
    let rows = vectors.rows().enumerate();
    let values = rows.flat_map(|(i, row)| {
        let weight = SIF_COEFFICIENT / (SIF_COEFFICIENT + inverse_rank(i) / sum);
        row.iter().map(move |value| f16::from_f64(f64::from(*value) * weight))
    });
    values.collect()
}

/// Writes the files of model2vec. vectors: `[n * d]`, row-major.
fn write(folder: &Path, teacher: &str, vocabulary: &Vocabulary, vectors: &[f16]) -> Result<()> {
    let n = vocabulary.ids.len();
    let d = vectors.len() / n;
    let config = json!({
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "tokenizer_name": teacher,
        "apply_pca": d,
        "sif_coefficient": SIF_COEFFICIENT,
        "hidden_dim": d,
        "seq_length": 1_000_000,
        "normalize": true,
        "pooling": "mean",
        "embedding_dtype": "float16",
    });
    let module = |i: usize, path: &str, class: &str| {
        let class = format!("sentence_transformers.models.{class}");
        json!({ "idx": i, "name": i.to_string(), "path": path, "type": class })
    };
    let modules = json!([module(0, ".", "StaticEmbedding"), module(1, "1_Normalize", "Normalize")]);
    let bytes: Vec<u8> = vectors.iter().flat_map(|value| value.to_le_bytes()).collect();
    let failed = |e| Error::library("safetensors", "write the table")(e);
    let table = TensorView::new(Dtype::F16, vec![n, d], &bytes).map_err(failed)?;
    let table = safetensors::serialize([("embeddings", table)], None).map_err(failed)?;
    for (name, bytes) in [
        ("config.json", config.to_string().into_bytes()),
        ("modules.json", modules.to_string().into_bytes()),
        ("tokenizer.json", vocabulary.tokenizer.to_string().into_bytes()),
        ("model.safetensors", table),
    ] {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|e| Error::io("write", &path, e))?;
        let synced = File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(|e| Error::io("sync", &path, e))?;
    }
    Ok(())
}

/// A folder beside the one that it becomes, removed if it is still there at the end.
struct Staging(PathBuf);

impl Staging {
    fn create(out: &Path) -> Result<Self> {
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        let path = out.with_file_name(format!(".{name}.partial-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|e| Error::io("create", &path, e))?;
        Ok(Self(path))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // It has moved unless something failed, which is reported.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bert() -> ModelFolder {
        ModelFolder::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bert"))
    }

    fn exact() -> EngineSettings {
        EngineSettings {
            threads: 1,
            dtype: crate::base::config::DtypeChoice::F32,
            ..Default::default()
        }
    }

    #[test]
    fn all_components_keep_the_angles_between_tokens_up_to_their_weights() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("static");
        let done = std::cell::Cell::new(0);
        let written = distill(&bert(), Some(64), &exact(), &out, &|n, of| {
            assert!(n <= of);
            done.set(n);
        });
        let Distilled { tokens, dimensions, variance_kept } = written.unwrap();
        assert_eq!((dimensions, done.get()), (64, tokens));
        assert!((variance_kept - 1.0).abs() < 1e-4, "{variance_kept}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

        let tokenizer = Tokenizer::open(&bert().path, 64).unwrap();
        let ids: Vec<u32> = tokenizer.vocabulary().into_keys().collect();
        assert_eq!(ids.len(), tokens, "the tiny vocabulary reserves no tokens");
        let vectors = token_vectors(&bert(), &exact(), &tokenizer, &ids, &|_, _| ()).unwrap();
        let table = candle_core::safetensors::load(
            out.join("model.safetensors"),
            &candle_core::Device::Cpu,
        );
        let table = table.unwrap()["embeddings"].to_dtype(candle_core::DType::F32).unwrap();
        let rows: Vec<Vec<f32>> = table.to_vec2().unwrap();
        let n = tokens as f64;
        let mean: Vec<f64> =
            (0..64).map(|j| vectors.rows().map(|row| f64::from(row[j])).sum::<f64>() / n).collect();
        let sum: f64 = (0..tokens).map(|i| 1.0 / (i + 2) as f64).sum();
        let weight = |i: usize| 1e-4 / (1e-4 + 1.0 / ((i + 2) as f64 * sum));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let centred = |i: usize| -> Vec<f64> {
            vectors.row(i).iter().zip(&mean).map(|(v, mean)| f64::from(*v) - mean).collect()
        };
        let row = |i: usize| -> Vec<f64> {
            rows[i].iter().map(|value| f64::from(*value) / weight(i)).collect()
        };
        for (i, j) in [(0, 0), (1, 7), (40, 41), (5, tokens - 1), (tokens - 1, tokens - 1)] {
            let (want, got) = (dot(&centred(i), &centred(j)), dot(&row(i), &row(j)));
            let scale = (dot(&centred(i), &centred(i)) * dot(&centred(j), &centred(j))).sqrt();
            assert!((want - got).abs() < 2e-3 * scale, "{i}, {j}: {got}, not {want}");
        }
    }

    #[test]
    fn what_cannot_be_distilled_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("static");
        let refused = |teacher: &ModelFolder, dim| {
            let error = distill(teacher, dim, &exact(), &out, &|_, _| ()).unwrap_err();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
            error.to_string()
        };
        for dim in [0, 65] {
            let error = refused(&bert(), Some(dim));
            assert!(error.contains("1 to 64, the dimension of bert"), "{error}");
        }
        let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/static/plain");
        let error = refused(&ModelFolder::at(&plain), None);
        assert!(error.contains("plain") && error.contains("static already"), "{error}");
        fs::create_dir(&out).unwrap();
        let error = distill(&bert(), None, &exact(), &out, &|_, _| ()).unwrap_err().to_string();
        assert!(error.contains("does not exist yet"), "{error}");
    }
}
