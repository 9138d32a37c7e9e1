//! The sentence-transformers files of a model folder.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::Pooling;
use super::config::{missing, read_json, unsupported};
use crate::base::error::{Error, Result};

/// A limit beyond this means that a tokenizer has none.
const LENGTH_MAX: f64 = 1e9;

/// How a text becomes an embedding, apart from the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentenceConfig {
    pub pooling: Pooling,
    /// The folders of the dense layers behind the pooling, in their order.
    pub dense: Vec<String>,
    pub normalize: bool,
    /// Tokens that the model was trained for, special tokens included, if its files have a limit.
    pub max_seq_length: Option<usize>,
    pub prompts: Prompts,
}

/// The texts that are put before a text, by its purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompts {
    by_name: BTreeMap<String, String>,
    default_name: Option<String>,
}

impl Prompts {
    /// The prompt of that name; names in use are `query` and `document`.
    ///
    /// A document is also called `passage` or `corpus`. A name that the model does not have gets
    /// its default prompt, which is empty for most models.
    pub fn get(&self, name: &str) -> &str {
        let others: &[&str] = if name == "document" { &["passage", "corpus"] } else { &[] };
        let named = std::iter::once(&name).chain(others).find_map(|name| self.by_name.get(*name));
        let default = || self.by_name.get(self.default_name.as_ref()?);
        named.or_else(default).map_or("", String::as_str)
    }
}

/// How a text reaches the network, for embedders, rerankers and sparse encoders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextConfig {
    /// Tokens that the model was trained for, special tokens included, if its files have a limit.
    pub max_seq_length: Option<usize>,
    pub prompts: Prompts,
}

impl TextConfig {
    /// Reads the files of sentence-transformers and of the tokenizer in `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        Ok(Self { max_seq_length: max_seq_length(folder)?, prompts: prompts(folder)? })
    }
}

/// One entry of `modules.json`.
#[derive(Deserialize)]
pub(super) struct Module {
    pub path: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Module {
    /// The entries of `modules.json` in `folder`; `None` if there is no such file.
    pub fn list(folder: &Path) -> Result<Option<Vec<Self>>> {
        read_json(&folder.join("modules.json"))
    }

    /// `Pooling` of `sentence_transformers.models.Pooling`.
    pub fn class(&self) -> &str {
        self.kind.rsplit('.').next().unwrap_or_default()
    }
}

/// `sentence_bert_config.json`.
#[derive(Deserialize, Default)]
struct Transformer {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

/// `config_sentence_transformers.json`.
#[derive(Deserialize, Default)]
struct Texts {
    #[serde(default)]
    prompts: BTreeMap<String, String>,
    default_prompt_name: Option<String>,
}

/// `tokenizer_config.json`.
#[derive(Deserialize, Default)]
struct Tokenizer {
    model_max_length: Option<f64>,
}

impl SentenceConfig {
    /// Reads `modules.json` and the files it names; a folder without it pools by mean and
    /// normalises.
    pub fn read(folder: &Path) -> Result<Self> {
        let modules = Module::list(folder)?;
        let TextConfig { max_seq_length, prompts } = TextConfig::read(folder)?;
        let mut config = Self {
            pooling: Pooling::Mean,
            dense: Vec::new(),
            normalize: modules.is_none(),
            max_seq_length,
            prompts,
        };
        for module in modules.iter().flatten() {
            match module.class() {
                "Transformer" => {}
                "Pooling" => config.pooling = pooling(&folder.join(&module.path))?,
                "Dense" if !config.normalize => config.dense.push(module.path.clone()),
                "Normalize" => config.normalize = true,
                _ => {
                    let found = format!("sentence-transformers module {}", module.kind);
                    let supported = "Transformer, Pooling, Dense and Normalize, in this order";
                    return Err(unsupported(found, supported));
                }
            }
        }
        Ok(config)
    }
}

/// The limit of the model, or else of its tokenizer.
fn max_seq_length(folder: &Path) -> Result<Option<usize>> {
    let path = folder.join("sentence_bert_config.json");
    let config = read_json::<Transformer>(&path)?.unwrap_or_default();
    if config.do_lower_case {
        let found = "do_lower_case in sentence_bert_config.json".to_owned();
        return Err(unsupported(found, "lower-casing by tokenizer.json"));
    }
    let tokenizer = read_json::<Tokenizer>(&folder.join("tokenizer_config.json"))?;
    let length = tokenizer.unwrap_or_default().model_max_length;
    let length = length.filter(|length| (1.0..LENGTH_MAX).contains(length));
    Ok(config.max_seq_length.or(length.map(|length| length as usize)))
}

fn prompts(folder: &Path) -> Result<Prompts> {
    let path = folder.join("config_sentence_transformers.json");
    let Texts { prompts, default_prompt_name } = read_json(&path)?.unwrap_or_default();
    match default_prompt_name {
        Some(name) if !prompts.contains_key(&name) => {
            let detail =
                format!("default_prompt_name is {name:?}, which is not one of its prompts");
            Err(Error::ModelBroken { path, detail })
        }
        default_name => Ok(Prompts { by_name: prompts, default_name }),
    }
}

/// The one mode that `config.json` of a pooling module enables.
fn pooling(folder: &Path) -> Result<Pooling> {
    let path = folder.join("config.json");
    let config = read_json::<BTreeMap<String, serde_json::Value>>(&path)?;
    let config = config.ok_or_else(|| missing(&path))?;
    if config.get("include_prompt").is_some_and(|include| include == false) {
        let found = "pooling with include_prompt false".to_owned();
        return Err(unsupported(found, "pooling that includes the prompt"));
    }
    let named = config.get("pooling_mode").and_then(|mode| mode.as_str()).map(str::to_owned);
    let switched = config.iter().filter(|(_, on)| on.as_bool() == Some(true));
    let switched = switched.filter_map(|(name, _)| name.strip_prefix("pooling_mode_"));
    let modes: Vec<&str> = named.as_deref().into_iter().chain(switched).collect();
    match modes[..] {
        ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
        ["cls" | "cls_token"] => Ok(Pooling::Cls),
        ["lasttoken"] => Ok(Pooling::Last),
        ["max" | "max_tokens"] => Ok(Pooling::Max),
        ["weightedmean" | "weightedmean_tokens"] => Ok(Pooling::WeightedMean),
        _ => Err(unsupported(
            format!("pooling by {}", modes.join(" and ")),
            "mean, cls, lasttoken, max or weightedmean",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    fn modules(kinds: &[&str]) -> String {
        let entry = |kind: &&str| format!(r#"{{"path": "{kind}", "type": "a.b.{kind}"}}"#);
        format!("[{}]", kinds.iter().map(entry).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn a_folder_that_says_nothing_means_mean_and_normalised() {
        let config = SentenceConfig::read(folder(&[]).path()).unwrap();
        let expected = SentenceConfig {
            pooling: Pooling::Mean,
            dense: Vec::new(),
            normalize: true,
            max_seq_length: None,
            prompts: Prompts::default(),
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn modules_decide_pooling_length_and_normalisation() {
        for (mode, pooling) in [
            (
                r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#,
                Pooling::Cls,
            ),
            (r#"{"pooling_mode_mean_tokens": true, "include_prompt": true}"#, Pooling::Mean),
            (r#"{"pooling_mode_lasttoken": true}"#, Pooling::Last),
            (r#"{"pooling_mode_max_tokens": true}"#, Pooling::Max),
            (r#"{"pooling_mode_weightedmean_tokens": true}"#, Pooling::WeightedMean),
            (r#"{"pooling_mode": "cls"}"#, Pooling::Cls),
        ] {
            for normalize in [false, true] {
                let kinds = ["Transformer", "Pooling", "Dense", "Normalize"];
                let list = modules(&kinds[..3 + usize::from(normalize)]);
                let folder = folder(&[
                    ("modules.json", &list),
                    ("Pooling/config.json", mode),
                    ("sentence_bert_config.json", r#"{"max_seq_length": 128}"#),
                    ("tokenizer_config.json", r#"{"model_max_length": 512}"#),
                ]);
                let config = SentenceConfig::read(folder.path()).unwrap();
                assert_eq!((config.pooling, config.normalize), (pooling, normalize));
                assert_eq!(
                    (config.max_seq_length, &config.dense[..]),
                    (Some(128), &["Dense".into()][..])
                );
            }
        }
    }

    #[test]
    fn a_tokenizer_says_the_length_where_the_model_does_not() {
        for (text, length) in [("512", Some(512)), ("1e30", None), ("null", None)] {
            let text = format!(r#"{{"model_max_length": {text}}}"#);
            let config = SentenceConfig::read(folder(&[("tokenizer_config.json", &text)]).path());
            assert_eq!(config.unwrap().max_seq_length, length);
        }
    }

    #[test]
    fn prompts_are_found_by_what_the_text_is_for() {
        let read = |text: &str| {
            SentenceConfig::read(folder(&[("config_sentence_transformers.json", text)]).path())
        };
        let named = r#"{"prompts": {"query": "query: ", "passage": "passage: "},
            "default_prompt_name": null, "__version__": {}}"#;
        let named = read(named).unwrap().prompts;
        assert_eq!((named.get("query"), named.get("document")), ("query: ", "passage: "));
        assert_eq!(named.get("clustering"), "");
        let default =
            r#"{"prompts": {"query": "q: ", "any": "text: "}, "default_prompt_name": "any"}"#;
        let default = read(default).unwrap().prompts;
        assert_eq!((default.get("query"), default.get("document")), ("q: ", "text: "));
        let error = read(r#"{"prompts": {}, "default_prompt_name": "gone"}"#).unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
    }

    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        let read = |kinds: &[&str], mode: &str| {
            let (list, mode) = (modules(kinds), mode.to_owned());
            let folder = folder(&[("modules.json", &list), ("Pooling/config.json", &mode)]);
            SentenceConfig::read(folder.path()).unwrap_err().to_string()
        };
        let mean = r#"{"pooling_mode_mean_tokens": true}"#;
        let router = read(&["Transformer", "Router"], mean);
        assert!(router.contains("a.b.Router"), "{router}");
        let late = read(&["Transformer", "Pooling", "Normalize", "Dense"], mean);
        assert!(late.contains("a.b.Dense") && late.contains("in this order"), "{late}");
        let both = r#"{"pooling_mode_cls_token": true, "pooling_mode_max_tokens": true}"#;
        let both = read(&["Pooling"], both);
        assert!(both.contains("cls_token and max_tokens"), "{both}");
        let without = r#"{"pooling_mode_mean_tokens": true, "include_prompt": false}"#;
        let without = read(&["Pooling"], without);
        assert!(without.contains("include_prompt"), "{without}");
    }
}
