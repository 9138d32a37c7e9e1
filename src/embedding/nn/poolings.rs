//! How hidden states become one vector: by one pooling, or by several side by side.

use std::path::Path;

use serde_json::{Map, Value};

use super::Pooling;
use super::config::{missing, read_json, unsupported};
use crate::base::error::{Error, Result};

/// The poolings of sentence-transformers, by the names of its config.json, in the order in which
/// old flags are joined.
const MODES: [(&str, &str, Pooling); 6] = [
    ("cls", "pooling_mode_cls_token", Pooling::Cls),
    ("max", "pooling_mode_max_tokens", Pooling::Max),
    ("mean", "pooling_mode_mean_tokens", Pooling::Mean),
    ("mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
    ("weightedmean", "pooling_mode_weightedmean_tokens", Pooling::WeightedMean),
    ("lasttoken", "pooling_mode_lasttoken", Pooling::Last),
];

/// One or more poolings, whose results are joined in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poolings(Vec<Pooling>);

impl From<Pooling> for Poolings {
    fn from(pooling: Pooling) -> Self {
        Self(vec![pooling])
    }
}

impl std::fmt::Display for Poolings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.iter().map(|pooling| pooling.as_str()).collect::<Vec<_>>().join("+"))
    }
}

impl Poolings {
    pub fn as_slice(&self) -> &[Pooling] {
        &self.0
    }

    /// The pooling, if there is only one.
    pub fn single(&self) -> Option<Pooling> {
        if let [pooling] = self.0[..] { Some(pooling) } else { None }
    }
}

/// The config.json of a pooling module.
pub(super) struct PoolingConfig {
    pub poolings: Poolings,
    /// Whether the tokens of a prompt are pooled too.
    pub include_prompt: bool,
}

impl PoolingConfig {
    /// Reads config.json in `folder`, as sentence-transformers does: `pooling_mode` is a word or a
    /// list and decides alone; without it the flags `pooling_mode_…` do; without any it is mean.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let config = read_json::<Map<String, Value>>(&path)?.ok_or_else(|| missing(&path))?;
        let broken = |key: &str, value: &Value, expected: &str| Error::ModelBroken {
            path: path.clone(),
            detail: format!("{key} is {value}, expected {expected}"),
        };
        let value = |key: &str| config.get(key).filter(|value| !value.is_null());
        let flag = |key: &str, default: bool| match value(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| broken(key, value, "true or false")),
        };
        let poolings = match value("pooling_mode") {
            Some(Value::String(word)) => vec![mode(word)?],
            Some(Value::Array(list)) if !list.is_empty() => {
                let word = |value: &Value| match value.as_str() {
                    Some(word) => mode(word),
                    None => Err(broken("an entry of pooling_mode", value, "a word")),
                };
                list.iter().map(word).collect::<Result<_>>()?
            }
            Some(other) => return Err(broken("pooling_mode", other, "a word or a list of words")),
            None => {
                let mut on = Vec::new();
                for (_, key, pooling) in MODES {
                    if flag(key, false)? {
                        on.push(pooling);
                    }
                }
                refuse_unknown_flags(&config)?;
                if on.is_empty() { vec![Pooling::Mean] } else { on }
            }
        };
        let include_prompt = flag("include_prompt", true)?;
        Ok(Self { poolings: Poolings(poolings), include_prompt })
    }
}

fn mode(word: &str) -> Result<Pooling> {
    let known = MODES.iter().find(|(name, ..)| *name == word);
    known.map(|(.., pooling)| *pooling).ok_or_else(|| {
        let names = MODES.map(|(name, ..)| name).join(", ");
        unsupported(format!("pooling_mode {word:?}"), &names)
    })
}

fn refuse_unknown_flags(config: &Map<String, Value>) -> Result<()> {
    let unknown = |(key, value): &(&String, &Value)| {
        key.starts_with("pooling_mode_")
            && **value == Value::Bool(true)
            && MODES.iter().all(|(_, known, _)| known != key)
    };
    match config.iter().find(unknown) {
        None => Ok(()),
        Some((key, _)) => Err(unsupported(key.clone(), &MODES.map(|(_, key, _)| key).join(", "))),
    }
}
