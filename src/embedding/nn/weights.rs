//! The tensors of a checkpoint, by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::pickle::PthTensors;
use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Tensor};
use serde::Deserialize;

use super::config::{missing, read_json, unsupported};
use crate::base::error::{Error, Result};
use crate::device::map_safetensors;

/// One file with all tensors, or the list of files if they are spread over several, in the order
/// of preference.
const SAFETENSORS: &str = "model.safetensors";
const SAFETENSORS_INDEX: &str = "model.safetensors.index.json";
const PICKLE: &str = "pytorch_model.bin";
const PICKLE_INDEX: &str = "pytorch_model.bin.index.json";

/// Weights in formats that are not read, by the ends of their names.
const OTHER_FORMATS: [&str; 6] = [".bin", ".h5", ".msgpack", ".onnx", ".gguf", ".pt"];

/// How weights become a file that is read.
const CONVERT: &str = "a model.safetensors, which `AutoModel.from_pretrained(folder).\
    save_pretrained(folder)` of transformers writes for a network, and `safetensors.torch.\
    save_file(state_dict, path)` for a dense layer";

/// The tensors of a model folder, on disk until they are taken.
pub struct Weights {
    files: Vec<(PathBuf, Tensors)>,
    /// The index in `files` of the file of each tensor.
    file_of: BTreeMap<String, usize>,
}

/// One file of tensors.
enum Tensors {
    /// Memory-mapped.
    Safetensors(MmapedSafetensors),
    /// What `torch.save` wrote. The reader executes nothing of it.
    Pickle(PthTensors),
}

impl Weights {
    /// Opens the safetensors of `folder`, or else what `torch.save` wrote: one file, or those that
    /// an index names.
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
        let file = self.files.len();
        let (tensors, names) = if path.extension().is_some_and(|end| end == "bin") {
            let tensors = open_pickle(&path)?;
            let names = tensors.tensor_infos().keys().cloned().collect();
            (Tensors::Pickle(tensors), names)
        } else {
            let tensors = map_safetensors(&path).map_err(|e| {
                let bytes = std::fs::metadata(&path).map_or(0, |m| m.len());
                let detail =
                    format!("its header does not fit its {bytes} bytes ({})", first_line(&e));
                Error::ModelBroken { path: path.clone(), detail }
            })?;
            let names = tensors.tensors().into_iter().map(|(name, _)| name).collect();
            (Tensors::Safetensors(tensors), names)
        };
        let names: Vec<String> = names;
        self.file_of.extend(names.into_iter().map(|name| (name, file)));
        self.files.push((path, tensors));
        Ok(())
    }

    /// The tensor `name` as f32, row-major, checked to be of `shape` and finite.
    pub fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let Some(&file) = self.file_of.get(name) else {
            return Err(self.broken(name, "is missing"));
        };
        let tensor = self.files[file].1.load(name);
        let tensor = tensor.map_err(|detail| self.broken(name, &detail))?;
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

    /// The values of all tensors.
    pub fn parameters(&self) -> usize {
        self.files.iter().map(|(_, tensors)| tensors.parameters()).sum()
    }

    /// Whether the checkpoint has the tensor `name`.
    pub fn has(&self, name: &str) -> bool {
        self.file_of.contains_key(name)
    }

    /// The error for a tensor that cannot be used.
    pub fn broken(&self, name: &str, detail: &str) -> Error {
        let file = self.file_of.get(name).copied().unwrap_or(0);
        let path =
            self.files.get(file).map_or(PathBuf::from(SAFETENSORS), |(path, _)| path.clone());
        Error::ModelBroken { path, detail: format!("tensor {name} {detail}") }
    }
}

impl Tensors {
    fn parameters(&self) -> usize {
        let values = |shape: &[usize]| shape.iter().product::<usize>();
        match self {
            Self::Safetensors(file) => {
                file.tensors().iter().map(|(_, tensor)| values(tensor.shape())).sum()
            }
            Self::Pickle(file) => {
                file.tensor_infos().values().map(|info| values(info.layout.dims())).sum()
            }
        }
    }

    fn load(&self, name: &str) -> Result<Tensor, String> {
        let loaded = match self {
            Self::Safetensors(file) => file.load(name, &candle_core::Device::Cpu),
            Self::Pickle(file) => {
                // The reader would take the first bytes of the storage for any part of it.
                if file.tensor_infos()[name].layout.start_offset() != 0 {
                    return Err(format!("is a part of a larger storage; write {CONVERT}"));
                }
                let loaded = file.get(name);
                loaded.map(|tensor| tensor.expect("the reader listed the tensor"))
            }
        };
        loaded.map_err(|e| first_line(&e))
    }
}

/// The tensors in a file that `torch.save` wrote.
fn open_pickle(path: &Path) -> Result<PthTensors> {
    let refused = |why: &str| {
        let found = format!("{} ({why})", path.display());
        unsupported(found, CONVERT)
    };
    // The reader indexes without checks, so that some damaged files make it panic.
    let open = |key| {
        let opened = std::panic::catch_unwind(|| PthTensors::new(path, key));
        let opened = opened.map_err(|_| refused("its pickle is damaged"))?;
        opened.map_err(|e| refused(&first_line(&e)))
    };
    let tensors = open(None)?;
    if !tensors.tensor_infos().is_empty() {
        return Ok(tensors);
    }
    let nested = open(Some("state_dict"));
    match nested {
        Ok(tensors) if !tensors.tensor_infos().is_empty() => Ok(tensors),
        _ => Err(refused("it holds no tensors by name")),
    }
}

/// The files of the weights in `folder`, one or several.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    for (single, index) in [(SAFETENSORS, SAFETENSORS_INDEX), (PICKLE, PICKLE_INDEX)] {
        let single = folder.join(single);
        if single.is_file() {
            return Ok(vec![single]);
        }
        let path = folder.join(index);
        if let Some(index) = read_json::<Index>(&path)? {
            return files_in(folder, path, index.weight_map);
        }
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut others: Vec<String> =
        names.filter(|name| OTHER_FORMATS.iter().any(|end| name.ends_with(end))).collect();
    if others.is_empty() {
        return Err(missing(&folder.join(SAFETENSORS)));
    }
    others.sort();
    let found = format!("{} with weights in {} only", folder.display(), others.join(", "));
    Err(unsupported(found, CONVERT))
}

/// The files of an index at `path`. weight_map: the file of each tensor.
fn files_in(
    folder: &Path,
    path: PathBuf,
    weight_map: BTreeMap<String, String>,
) -> Result<Vec<PathBuf>> {
    let mut names: Vec<String> = weight_map.into_values().collect();
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
