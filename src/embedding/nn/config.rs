//! config.json, with checked values.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::base::error::{Error, Result};
use crate::base::text::without_byte_order_mark;
use crate::device::cpu::ops::Activation;

/// A size beyond this is a damaged file, not a model.
const SIZE_MAX: usize = 1 << 24;

/// An object of config.json. A key that is `null` counts as absent.
///
/// Every method checks the value it returns, and an error names the key and the file.
#[derive(Debug, Clone)]
pub struct Raw {
    path: PathBuf,
    object: Map<String, Value>,
}

impl Raw {
    /// Reads `config.json` in `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        refuse_adapter(folder)?;
        let path = folder.join("config.json");
        let object = read_json(&path)?.ok_or_else(|| missing(&path))?;
        Ok(Self { path, object })
    }

    /// All keys as a `T`, such as a config of candle-transformers.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(Value::Object(self.object.clone()))
            .map_err(|error| self.broken(error.to_string()))
    }

    /// The object under `key`.
    pub fn object(&self, key: &str) -> Option<Self> {
        let object = self.object.get(key)?.as_object()?.clone();
        Some(Self { path: self.path.clone(), object })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_empty(&self) -> bool {
        self.object.is_empty()
    }

    /// Whether `key` is present, even as `null`.
    pub fn names(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    /// The keys of both; those of `over` win.
    pub fn merged(mut self, over: Self) -> Self {
        self.object.extend(over.object);
        self
    }

    pub fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// The first of `keys` that is present; else the last. Some families have old names and new
    /// ones.
    pub fn first<'a>(&self, keys: &[&'a str]) -> &'a str {
        let present = keys.iter().find(|key| self.has(key)).or(keys.last());
        present.copied().unwrap_or_default()
    }

    /// A size that must be present: 1 to 2^24.
    pub fn size(&self, key: &str) -> Result<usize> {
        let value = self.value(key).ok_or_else(|| self.broken(format!("{key} is missing")))?;
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| (1..=SIZE_MAX).contains(size));
        size.ok_or_else(|| self.broken(format!("{key} is {value}, expected 1 to {SIZE_MAX}")))
    }

    /// A size, if it is present.
    pub fn size_if(&self, key: &str) -> Result<Option<usize>> {
        self.has(key).then(|| self.size(key)).transpose()
    }

    pub fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        Ok(self.size_if(key)?.unwrap_or(default))
    }

    /// A number of zero or more.
    pub fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        let Some(value) = self.value(key) else { return Ok(default) };
        let number = value.as_f64().filter(|number| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| {
            self.broken(format!("{key} is {value}, expected a number of at least 0"))
        })
    }

    /// A number of more than zero.
    pub fn positive_or(&self, key: &str, default: f64) -> Result<f64> {
        match self.number_or(key, default)? {
            0.0 => Err(self.broken(format!("{key} is 0, expected a positive number"))),
            number => Ok(number),
        }
    }

    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        let Some(value) = self.value(key) else { return Ok(default) };
        value
            .as_bool()
            .ok_or_else(|| self.broken(format!("{key} is {value}, expected true or false")))
    }

    pub fn text_or<'a>(&'a self, key: &str, default: &'a str) -> Result<&'a str> {
        let Some(value) = self.value(key) else { return Ok(default) };
        value.as_str().ok_or_else(|| self.broken(format!("{key} is {value}, expected a text")))
    }

    /// The texts of a list; `None` if it is absent.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&str>>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let texts = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        let texts: Option<Vec<&str>> = texts;
        texts.map(Some).ok_or_else(|| self.broken(format!("{key} is not a list of texts")))
    }

    /// A list of sizes; `None` if it is absent.
    pub fn sizes(&self, key: &str) -> Result<Option<Vec<usize>>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let size = |value: &Value| {
            let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
            size.filter(|size| (1..=SIZE_MAX).contains(size))
        };
        let sizes = value.as_array().and_then(|list| list.iter().map(size).collect());
        sizes.map(Some).ok_or_else(|| self.broken(format!("{key} is {value}, expected sizes")))
    }

    /// A list of `n` positive numbers.
    pub fn numbers(&self, key: &str, n: usize) -> Result<Vec<f64>> {
        let list = self.value(key).and_then(Value::as_array);
        let numbers = list.and_then(|list| list.iter().map(Value::as_f64).collect());
        let numbers: Option<Vec<f64>> = numbers;
        let good = |numbers: &Vec<f64>| numbers.len() == n && numbers.iter().all(|v| *v > 0.0);
        numbers
            .filter(good)
            .ok_or_else(|| self.broken(format!("{key} is not a list of {n} positive numbers")))
    }

    /// The number of entries of the object under `key`; `None` if it is absent.
    pub fn entries(&self, key: &str) -> Option<usize> {
        self.value(key)?.as_object().map(Map::len)
    }

    pub fn activation(&self, key: &str, default: &str) -> Result<Activation> {
        match self.text_or(key, default)? {
            "gelu" | "gelu_python" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "relu" => Ok(Activation::Relu),
            "silu" | "swish" => Ok(Activation::Silu),
            "tanh" => Ok(Activation::Tanh),
            other => Err(unsupported(
                format!("{key} {other}"),
                "gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, relu, silu and tanh",
            )),
        }
    }

    /// Refuses a feature of the family that is not supported, unless `key` is `value` or absent.
    pub fn only(&self, key: &str, value: Value) -> Result<()> {
        match self.value(key) {
            Some(found) if *found != value => {
                Err(unsupported(format!("{key} {found}"), &format!("{key} {value}")))
            }
            _ => Ok(()),
        }
    }

    /// The error for a value that cannot be right.
    pub fn broken(&self, detail: String) -> Error {
        Error::ModelBroken { path: self.path.clone(), detail }
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }
}

pub fn unsupported(found: String, supported: &str) -> Error {
    Error::ModelUnsupported { found, supported: supported.to_owned() }
}

/// Refuses a folder of PEFT, whose weights are the difference to those of another model.
/// transformers takes a folder for one whenever it has this file.
fn refuse_adapter(folder: &Path) -> Result<()> {
    #[derive(serde::Deserialize, Default)]
    #[serde(default)]
    struct Adapter {
        peft_type: Option<String>,
        base_model_name_or_path: Option<String>,
    }
    let path = folder.join("adapter_config.json");
    let Some(Adapter { peft_type, base_model_name_or_path }) = read_json(&path)? else {
        return Ok(());
    };
    let kind = peft_type.unwrap_or_else(|| "PEFT".to_owned());
    let base = base_model_name_or_path.unwrap_or_else(|| "another model".to_owned());
    let found = format!("{} ({kind} adapter of {base})", path.display());
    let merged = "the merged model, which `AutoPeftModelForFeatureExtraction.from_pretrained(folder)\
        .merge_and_unload().save_pretrained(other)` of peft writes; copy the tokenizer's files beside it";
    Err(unsupported(found, merged))
}

/// The error for a file that a model folder must have.
pub fn missing(path: &Path) -> Error {
    let folder = path.parent().unwrap_or(path);
    let file = path.strip_prefix(folder).unwrap_or(path);
    let name = folder.file_name().map_or(PathBuf::new(), PathBuf::from);
    Error::ModelMissing {
        model: name.join(file).display().to_string(),
        looked_in: folder.display().to_string(),
        remedy: "codeintel model pull".to_owned(),
    }
}

/// The JSON in `path`; `None` if there is no such file.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::PathUnreadable { path: path.to_path_buf(), source }),
    };
    let broken = |e: serde_json::Error| Error::ModelBroken {
        path: path.to_path_buf(),
        detail: e.to_string(),
    };
    let text = without_byte_order_mark(&text)
        .map_err(|detail| Error::ModelBroken { path: path.to_path_buf(), detail })?;
    serde_json::from_slice(text).map(Some).map_err(broken)
}
