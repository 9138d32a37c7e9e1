//! The tensors of a checkpoint, by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::DType;
use candle_core::safetensors::MmapedSafetensors;
use serde::Deserialize;

use super::config::{missing, read_json};
use crate::base::error::{Error, Result};
use crate::device::map_safetensors;

/// One file with all tensors.
const SINGLE: &str = "model.safetensors";

/// The list of files, if the tensors are spread over several.
const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a model folder, memory-mapped until they are taken.
pub struct Weights {
    files: Vec<(PathBuf, MmapedSafetensors)>,
    /// The index in `files` of the file of each tensor.
    file_of: BTreeMap<String, usize>,
}

impl Weights {
    /// Maps `model.safetensors`, or the files that `model.safetensors.index.json` names.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut weights = Self { files: Vec::new(), file_of: BTreeMap::new() };
        for path in files_of(folder)? {
            weights.add(path)?;
        }
        Ok(weights)
    }

    fn add(&mut self, path: PathBuf) -> Result<()> {
        if !path.is_file() {
            return Err(missing(&path));
        }
        let mapped = map_safetensors(&path).map_err(|e| {
            let bytes = std::fs::metadata(&path).map_or(0, |m| m.len());
            let detail = format!("its header does not fit its {bytes} bytes ({})", first_line(&e));
            Error::ModelBroken { path: path.clone(), detail }
        })?;
        let file = self.files.len();
        self.file_of.extend(mapped.tensors().into_iter().map(|(name, _)| (name, file)));
        self.files.push((path, mapped));
        Ok(())
    }

    /// The tensor `name` as f32, row-major, checked to be of `shape` and finite.
    pub fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let Some(&file) = self.file_of.get(name) else {
            return Err(self.broken(name, "is missing"));
        };
        let tensor = self.files[file].1.load(name, &candle_core::Device::Cpu);
        let tensor = tensor.map_err(|e| self.broken(name, &first_line(&e)))?;
        if tensor.dims() != shape {
            let detail = format!("is {:?}, expected {shape:?} by config.json", tensor.dims());
            return Err(self.broken(name, &detail));
        }
        if !matches!(tensor.dtype(), DType::F32 | DType::F16 | DType::BF16) {
            let detail = format!("has type {:?}, expected f32, f16 or bf16", tensor.dtype());
            return Err(self.broken(name, &detail));
        }
        let values = tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()?.to_vec1::<f32>());
        let values = values.map_err(|e| self.broken(name, &first_line(&e)))?;
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(values),
            Some(i) => Err(self.broken(name, &format!("has {} at index {i}", values[i]))),
        }
    }

    /// Whether the checkpoint has the tensor `name`.
    pub fn has(&self, name: &str) -> bool {
        self.file_of.contains_key(name)
    }

    /// The error for a tensor that cannot be used.
    pub fn broken(&self, name: &str, detail: &str) -> Error {
        let file = self.file_of.get(name).copied().unwrap_or(0);
        let path = self.files.get(file).map_or(PathBuf::from(SINGLE), |(path, _)| path.clone());
        Error::ModelBroken { path, detail: format!("tensor {name} {detail}") }
    }
}

/// The safetensors of `folder`, one or several.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let single = folder.join(SINGLE);
    if single.is_file() {
        return Ok(vec![single]);
    }
    let path = folder.join(INDEX);
    let Some(index) = read_json::<Index>(&path)? else {
        return Err(missing(&single));
    };
    let mut names: Vec<String> = index.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    // A name is a file beside the index: a path out of the folder is refused.
    let beside = |name: &String| Path::new(name).file_name() == Some(name.as_ref());
    if names.is_empty() || !names.iter().all(beside) {
        let detail = format!("it names the files {names:?}");
        return Err(Error::ModelBroken { path, detail });
    }
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

/// The message without the backtrace that candle may append.
fn first_line(error: &candle_core::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}
