//! What do the sentence-transformers files of a model folder ask for?

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::Pooling;
use super::config::{missing, read_json, unsupported};
use crate::error::Result;

/// How hidden states become an embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentenceConfig {
    pub pooling: Pooling,
    pub normalize: bool,
    /// Tokens that the model was trained for, special tokens included, where it says so.
    pub max_seq_length: Option<usize>,
}

/// One entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `sentence_bert_config.json`.
#[derive(Deserialize, Default)]
struct Transformer {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

impl SentenceConfig {
    /// Reads `modules.json` and the files it names; a folder without it means mean and normalised.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut config = Self { pooling: Pooling::Mean, normalize: true, max_seq_length: None };
        config.max_seq_length = max_seq_length(folder)?;
        let Some(modules) = read_json::<Vec<Module>>(&folder.join("modules.json"))? else {
            return Ok(config);
        };
        config.normalize = false;
        for module in &modules {
            match module.kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => {}
                "Pooling" => config.pooling = pooling(&folder.join(&module.path))?,
                "Normalize" => config.normalize = true,
                _ => {
                    let found = format!("sentence-transformers module {}", module.kind);
                    return Err(unsupported(found, "Transformer, Pooling, Normalize"));
                }
            }
        }
        Ok(config)
    }
}

fn max_seq_length(folder: &Path) -> Result<Option<usize>> {
    let path = folder.join("sentence_bert_config.json");
    let config = read_json::<Transformer>(&path)?.unwrap_or_default();
    if config.do_lower_case {
        let found = "do_lower_case in sentence_bert_config.json".to_owned();
        return Err(unsupported(found, "lower-casing by tokenizer.json"));
    }
    Ok(config.max_seq_length)
}

/// The one mode that `config.json` of a pooling module switches on.
fn pooling(folder: &Path) -> Result<Pooling> {
    let path = folder.join("config.json");
    let config = read_json::<BTreeMap<String, serde_json::Value>>(&path)?;
    let config = config.ok_or_else(|| missing(&path))?;
    let named = config.get("pooling_mode").and_then(|mode| mode.as_str()).map(str::to_owned);
    let switched = config.iter().filter(|(_, on)| on.as_bool() == Some(true));
    let switched = switched.filter_map(|(name, _)| name.strip_prefix("pooling_mode_"));
    let modes: Vec<&str> = named.as_deref().into_iter().chain(switched).collect();
    match modes[..] {
        ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
        ["cls" | "cls_token"] => Ok(Pooling::Cls),
        ["lasttoken"] => Ok(Pooling::Last),
        _ => Err(unsupported(
            format!("pooling by {}", modes.join(" and ")),
            "mean, cls or lasttoken",
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
        let expected =
            SentenceConfig { pooling: Pooling::Mean, normalize: true, max_seq_length: None };
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
            (r#"{"pooling_mode": "cls"}"#, Pooling::Cls),
        ] {
            for normalize in [false, true] {
                let kinds = ["Transformer", "Pooling", "Normalize"];
                let list = modules(&kinds[..2 + usize::from(normalize)]);
                let folder = folder(&[
                    ("modules.json", &list),
                    ("Pooling/config.json", mode),
                    ("sentence_bert_config.json", r#"{"max_seq_length": 128}"#),
                ]);
                let config = SentenceConfig::read(folder.path()).unwrap();
                let expected = SentenceConfig { pooling, normalize, max_seq_length: Some(128) };
                assert_eq!(config, expected);
            }
        }
    }

    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        let dense = folder(&[("modules.json", &modules(&["Transformer", "Dense"]))]);
        let error = SentenceConfig::read(dense.path()).unwrap_err().to_string();
        assert!(error.contains("a.b.Dense"), "{error}");
        let both = r#"{"pooling_mode_cls_token": true, "pooling_mode_max_tokens": true}"#;
        let list = modules(&["Pooling"]);
        let both = folder(&[("modules.json", &list), ("Pooling/config.json", both)]);
        let error = SentenceConfig::read(both.path()).unwrap_err().to_string();
        assert!(error.contains("cls_token and max_tokens"), "{error}");
    }
}
