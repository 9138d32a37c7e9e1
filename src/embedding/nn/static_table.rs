//! Static models: a table of token vectors, and the mean of those of a text.
//!
//! They are saved by model2vec, or by the module StaticEmbedding of sentence-transformers.

use std::path::{Path, PathBuf};

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype as Type;
use safetensors::tensor::TensorView;
use serde::Deserialize;

use super::architecture::Shape;
use super::config::{missing, read_json};
use super::sentence::{Module, network_folder};
use crate::base::error::{Error, Result};
use crate::device::cpu::ops;
use crate::device::{Rows, map_safetensors};
use crate::embedding::token::Ragged;

/// The file of the table.
const FILE: &str = "model.safetensors";
/// Tokens that model2vec reads of a text if the folder says nothing.
const MODEL2VEC_TOKENS: usize = 512;
/// Tokens that are read of a text if there is no limit.
const TOKENS_MAX: usize = 1 << 17;
/// Sequences that one thread computes at least.
const SEQS_MIN: usize = 8;

/// What the files of a static model say about texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticConfig {
    folder: PathBuf,
    /// Whether the rules are those of model2vec, which leaves unknown tokens out.
    pub is_model2vec: bool,
    /// Whether vectors get the length 1, if model2vec says so; modules say it for the others.
    pub normalize: bool,
    /// Tokens that are read of a text.
    pub max_tokens: usize,
}

/// `config.json` of model2vec.
#[derive(Deserialize, Default)]
#[serde(default)]
struct RawConfig {
    model_type: Option<String>,
    normalize: Option<bool>,
    max_length: MaxLength,
}

/// The limit in tokens, which null removes.
#[derive(Deserialize)]
#[serde(untagged)]
enum MaxLength {
    Tokens(usize),
    None,
}

impl Default for MaxLength {
    fn default() -> Self {
        Self::Tokens(MODEL2VEC_TOKENS)
    }
}

impl StaticConfig {
    /// The static model in `folder`, if it holds one. Some folders of model2vec name no model type.
    pub fn find(folder: &Path) -> Result<Option<Self>> {
        let network = network_folder(folder)?;
        if let Some(raw) = read_json::<RawConfig>(&network.join("config.json"))? {
            let is_model2vec = match &raw.model_type {
                Some(model_type) => model_type == "model2vec",
                None => has_table(&network.join(FILE)),
            };
            if is_model2vec {
                let max_tokens = match raw.max_length {
                    MaxLength::Tokens(tokens) => tokens.clamp(1, TOKENS_MAX),
                    MaxLength::None => TOKENS_MAX,
                };
                let normalize = raw.normalize.unwrap_or(false);
                return Ok(Some(Self { folder: network, is_model2vec, normalize, max_tokens }));
            }
        }
        let modules = Module::list(folder)?.unwrap_or_default();
        let is_module = modules.first().is_some_and(|module| module.class() == "StaticEmbedding");
        let (is_model2vec, normalize, max_tokens) = (false, false, TOKENS_MAX);
        Ok(is_module.then_some(Self { folder: network, is_model2vec, normalize, max_tokens }))
    }

    /// The sizes of the table; no values are read.
    pub fn shape(&self) -> Result<Shape> {
        let file = TableFile::open(&self.folder)?;
        let (n, d) = file.sizes()?;
        let vocab_size = match file.tensor("mapping") {
            Some(mapping) => mapping.shape().first().copied().unwrap_or_default(),
            None => n,
        };
        let max_tokens = self.max_tokens;
        Ok(Shape { vocab_size, token_types: None, max_tokens, hidden_dim: d })
    }
}

/// Whether the safetensors at `path` hold the table of a model2vec folder.
fn has_table(path: &Path) -> bool {
    map_safetensors(path).is_ok_and(|file| file.get("embeddings").is_ok())
}

/// The vectors of all tokens.
pub struct StaticTable {
    /// `[n, d]`, row-major.
    rows: Vec<f32>,
    d: usize,
    /// The row of each token, if tokens share rows: `[vocab_size]`.
    mapping: Option<Vec<u32>>,
    /// What the row of each token is multiplied by: `[vocab_size]`.
    weights: Option<Vec<f32>>,
}

impl StaticTable {
    pub fn load(config: &StaticConfig) -> Result<Self> {
        let file = TableFile::open(&config.folder)?;
        let (n, d) = file.sizes()?;
        let Shape { vocab_size, .. } = config.shape()?;
        let rows = file.numbers(file.table()?)?;
        let of_tokens = |name: &str| match file.tensor(name) {
            Some(tensor) if tensor.shape() == [vocab_size] => Ok(Some(tensor)),
            Some(tensor) => {
                let shape = tensor.shape();
                Err(file.broken(format!("tensor {name} is {shape:?}, expected [{vocab_size}]")))
            }
            None => Ok(None),
        };
        let mapping =
            of_tokens("mapping")?.map(|tensor| file.row_numbers(&tensor, n)).transpose()?;
        let weights = of_tokens("weights")?.map(|tensor| file.numbers(tensor)).transpose()?;
        Ok(Self { rows, d, mapping, weights })
    }

    /// The vector of each token, `[tokens, d]`.
    pub fn token_vectors(&self, batch: &Ragged) -> Rows {
        let vectors = batch.ids.iter().flat_map(|&id| {
            let weight = self.weight(id);
            self.row(id).iter().map(move |value| value * weight)
        });
        Rows::new(vectors.collect(), self.d)
    }

    /// The mean of the vectors of each sequence, `[n, d]`, of length 1 if `normalize`; zeros for a
    /// sequence without a token.
    pub fn means(&self, batch: &Ragged, normalize: bool) -> Vec<f32> {
        let mut means = vec![0.0; batch.n() * self.d];
        let sequences = means.par_chunks_exact_mut(self.d).enumerate().with_min_len(SEQS_MIN);
        sequences
            .for_each(|(i, mean)| self.add_mean(&batch.seq(i)[batch.left_out[i] as usize..], mean));
        if normalize {
            ops::normalize(&mut means, self.d);
        }
        means
    }

    /// ids: `[n]`; mean: `[d]`, zeros.
    fn add_mean(&self, ids: &[u32], mean: &mut [f32]) {
        for &id in ids {
            let weight = self.weight(id);
            mean.iter_mut().zip(self.row(id)).for_each(|(sum, value)| *sum += value * weight);
        }
        let scale = 1.0 / ids.len().max(1) as f32;
        mean.iter_mut().for_each(|sum| *sum *= scale);
    }

    /// `[d]`
    fn row(&self, id: u32) -> &[f32] {
        let row = self.mapping.as_ref().map_or(id, |mapping| mapping[id as usize]) as usize;
        &self.rows[row * self.d..(row + 1) * self.d]
    }

    fn weight(&self, id: u32) -> f32 {
        self.weights.as_ref().map_or(1.0, |weights| weights[id as usize])
    }
}

/// The safetensors of a static model.
struct TableFile {
    path: PathBuf,
    file: candle_core::safetensors::MmapedSafetensors,
}

impl TableFile {
    fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Err(missing(&path));
        }
        match map_safetensors(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(error) => {
                let detail = error.to_string().lines().next().unwrap_or_default().to_owned();
                Err(Error::ModelBroken { path, detail })
            }
        }
    }

    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.file.get(name).ok()
    }

    /// The table, which the two libraries name in their own ways.
    fn table(&self) -> Result<TensorView<'_>> {
        let table = self.tensor("embeddings").or_else(|| self.tensor("embedding.weight"));
        table.ok_or_else(|| self.broken("tensor embeddings is missing".to_owned()))
    }

    /// The rows of the table, and the values of a row.
    fn sizes(&self) -> Result<(usize, usize)> {
        match *self.table()?.shape() {
            [n, d] if n > 0 && d > 0 && u32::try_from(n).is_ok() => Ok((n, d)),
            ref other => {
                Err(self.broken(format!("tensor embeddings is {other:?}, expected [n, d]")))
            }
        }
    }

    /// The values of a tensor as f32, checked to be finite.
    fn numbers(&self, tensor: TensorView<'_>) -> Result<Vec<f32>> {
        let data = tensor.data();
        let values: Vec<f32> = match tensor.dtype() {
            Type::F64 => each(data, |bytes| f64::from_le_bytes(bytes) as f32),
            Type::F32 => each(data, f32::from_le_bytes),
            Type::F16 => each(data, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Type::BF16 => each(data, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Type::I8 => each(data, |bytes| f32::from(i8::from_le_bytes(bytes))),
            other => {
                let expected = "expected f64, f32, f16, bf16 or i8";
                return Err(self.broken(format!("a tensor has type {other:?}, {expected}")));
            }
        };
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(i) => Err(self.broken(format!("a tensor has {} at index {i}", values[i]))),
        }
    }

    /// The values of `mapping`, each a row of `n`.
    fn row_numbers(&self, tensor: &TensorView<'_>, n: usize) -> Result<Vec<u32>> {
        let data = tensor.data();
        let values: Vec<i64> = match tensor.dtype() {
            Type::I64 => each(data, i64::from_le_bytes),
            Type::I32 => each(data, |bytes| i32::from_le_bytes(bytes).into()),
            Type::U32 => each(data, |bytes| u32::from_le_bytes(bytes).into()),
            Type::U16 => each(data, |bytes| u16::from_le_bytes(bytes).into()),
            other => {
                let expected = "expected i64, i32, u32 or u16";
                return Err(self.broken(format!("tensor mapping has type {other:?}, {expected}")));
            }
        };
        let row = |value: i64| u32::try_from(value).ok().filter(|row| (*row as usize) < n);
        let rows: Option<Vec<u32>> = values.iter().map(|value| row(*value)).collect();
        rows.ok_or_else(|| {
            self.broken(format!("tensor mapping names a row beyond the {n} there are"))
        })
    }

    fn broken(&self, detail: String) -> Error {
        Error::ModelBroken { path: self.path.clone(), detail }
    }
}

/// data: `[N * n]`.
fn each<const N: usize, T>(data: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect()
}
