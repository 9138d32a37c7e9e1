//! Which sizes and constants has the network?

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::device::ops::Activation;
use crate::error::{Error, Result};

/// The `model_type` values that [`super::Encoder`] computes.
pub const SUPPORTED: &str = "bert";

/// A size beyond this is a damaged file, not a model.
const SIZE_MAX: usize = 1 << 24;

/// A transformer's sizes and constants, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    pub model_type: String,
    pub vocab_size: usize,
    pub type_vocab_size: usize,
    /// Tokens of the longest sequence.
    pub max_positions: usize,
    pub hidden_dim: usize,
    pub intermediate_dim: usize,
    pub layers: usize,
    pub heads: usize,
    pub norm_eps: f32,
    pub activation: Activation,
}

/// `config.json` as it is written.
#[derive(Deserialize)]
struct Raw {
    vocab_size: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    max_position_embeddings: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    #[serde(default = "bert_eps")]
    layer_norm_eps: f32,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default)]
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

fn two() -> usize {
    2
}

fn bert_eps() -> f32 {
    1e-12
}

fn gelu() -> String {
    "gelu".to_owned()
}

impl ModelConfig {
    /// Reads and checks `config.json` in `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let value: serde_json::Value = read_json(&path)?.ok_or_else(|| missing(&path))?;
        let model_type = value.get("model_type").and_then(|v| v.as_str()).unwrap_or("");
        if model_type != "bert" {
            return Err(unsupported(model_type.to_owned(), SUPPORTED));
        }
        let model_type = model_type.to_owned();
        let raw: Raw = serde_json::from_value(value)
            .map_err(|e| Error::ModelBroken { path: path.clone(), detail: e.to_string() })?;
        Self::check(raw, model_type, &path)
    }

    fn check(raw: Raw, model_type: String, path: &Path) -> Result<Self> {
        let broken = |detail| Err(Error::ModelBroken { path: path.to_path_buf(), detail });
        let sizes = [
            ("vocab_size", raw.vocab_size),
            ("type_vocab_size", raw.type_vocab_size),
            ("max_position_embeddings", raw.max_position_embeddings),
            ("hidden_size", raw.hidden_size),
            ("intermediate_size", raw.intermediate_size),
            ("num_hidden_layers", raw.num_hidden_layers),
            ("num_attention_heads", raw.num_attention_heads),
        ];
        if let Some((name, size)) = sizes.iter().find(|(_, size)| !(1..=SIZE_MAX).contains(size)) {
            return broken(format!("{name} is {size}, expected 1 to {SIZE_MAX}"));
        }
        let (hidden, heads) = (raw.hidden_size, raw.num_attention_heads);
        if !hidden.is_multiple_of(heads) {
            return broken(format!("hidden_size {hidden} is not a multiple of {heads} heads"));
        }
        if !raw.layer_norm_eps.is_finite() || raw.layer_norm_eps < 0.0 {
            return broken(format!("layer_norm_eps is {}", raw.layer_norm_eps));
        }
        let positions = raw.position_embedding_type.as_deref().unwrap_or("absolute");
        if positions != "absolute" {
            let found = format!("bert with position_embedding_type {positions}");
            return Err(unsupported(found, "bert with absolute positions"));
        }
        if raw.is_decoder {
            return Err(unsupported("bert with is_decoder".to_owned(), "bert as an encoder"));
        }
        Ok(Self {
            model_type,
            vocab_size: raw.vocab_size,
            type_vocab_size: raw.type_vocab_size,
            max_positions: raw.max_position_embeddings,
            hidden_dim: hidden,
            intermediate_dim: raw.intermediate_size,
            layers: raw.num_hidden_layers,
            heads,
            norm_eps: raw.layer_norm_eps,
            activation: activation(&raw.hidden_act)?,
        })
    }
}

fn activation(name: &str) -> Result<Activation> {
    match name {
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        _ => Err(unsupported(
            format!("bert with hidden_act {name}"),
            "bert with gelu, gelu_new, gelu_pytorch_tanh or relu",
        )),
    }
}

pub(super) fn unsupported(found: String, supported: &str) -> Error {
    Error::ModelUnsupported { found, supported: supported.to_owned() }
}

/// The error for a file that a model folder must have.
pub(super) fn missing(path: &Path) -> Error {
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
pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::PathUnreadable { path: path.to_path_buf(), source }),
    };
    let broken = |e: serde_json::Error| Error::ModelBroken {
        path: path.to_path_buf(),
        detail: e.to_string(),
    };
    serde_json::from_slice(&text).map(Some).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{copy_of_bert, edit_json, golden};
    use super::*;

    #[test]
    fn every_size_comes_from_the_file() {
        let config = ModelConfig::read(&golden("bert")).unwrap();
        let sizes = (config.hidden_dim, config.heads, config.layers, config.intermediate_dim);
        assert_eq!(sizes, (64, 4, 2, 160));
        assert_eq!((config.max_positions, config.vocab_size), (514, 600));
        assert_eq!((config.activation, config.norm_eps), (Activation::Gelu, 1e-12));
    }

    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        for (key, value, part) in [
            ("model_type", "\"t5\"", "t5"),
            ("hidden_act", "\"swish\"", "swish"),
            ("position_embedding_type", "\"relative_key\"", "relative_key"),
            ("is_decoder", "true", "is_decoder"),
        ] {
            let folder = copy_of_bert();
            edit_json(&folder.path().join("config.json"), key, value);
            let error = ModelConfig::read(folder.path()).unwrap_err();
            assert!(matches!(error, Error::ModelUnsupported { .. }), "{error}");
            assert!(error.to_string().contains(part), "{error}");
            assert!(error.to_string().contains("bert"), "{error}");
        }
    }

    #[test]
    fn a_damaged_config_says_what_is_wrong() {
        for (key, value, part) in [
            ("num_attention_heads", "5", "not a multiple of 5"),
            ("hidden_size", "0", "hidden_size is 0"),
            ("vocab_size", "\"many\"", "many"),
        ] {
            let folder = copy_of_bert();
            edit_json(&folder.path().join("config.json"), key, value);
            let error = ModelConfig::read(folder.path()).unwrap_err();
            assert!(matches!(error, Error::ModelBroken { .. }), "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
        let folder = copy_of_bert();
        std::fs::write(folder.path().join("config.json"), "{").unwrap();
        let error = ModelConfig::read(folder.path()).unwrap_err();
        assert!(matches!(error, Error::ModelBroken { .. }), "{error}");
        std::fs::remove_file(folder.path().join("config.json")).unwrap();
        let error = ModelConfig::read(folder.path()).unwrap_err();
        assert!(matches!(error, Error::ModelMissing { .. }), "{error}");
        assert!(error.to_string().contains("config.json"), "{error}");
    }
}
