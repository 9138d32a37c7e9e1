//! The sentence-transformers files of a model folder.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::config::{Raw, read_json, unsupported};
use super::poolings::{PoolingConfig, Poolings};
use super::static_table::StaticConfig;
use super::{Pooling, Prompts, Similarity};
use crate::base::error::{Error, Result};
use crate::embedding::token::{BertNormalization, Side, TextOptions};

/// A limit beyond this means that a tokenizer has none.
const LENGTH_MAX: f64 = 1e9;

/// The settings of the transformer module, in the order in which they are looked for. They are named
/// after the class of the model that the first versions of sentence-transformers saved.
const SETTINGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// How a text becomes an embedding, apart from the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentenceConfig {
    pub pooling: Poolings,
    /// The folders of the dense layers behind the pooling, in their order.
    pub dense: Vec<String>,
    pub normalize: bool,
    /// Tokens that the model was trained for, special tokens included, if its files have a limit.
    pub max_seq_length: Option<usize>,
    /// Values that are kept of each vector, if not all are: `truncate_dim`.
    pub truncate_dim: Option<usize>,
    pub similarity: Similarity,
    pub prompts: Prompts,
}

/// How a text reaches the network, for embedders, rerankers and sparse encoders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextConfig {
    /// The folder of the network and its tokenizer, which may be inside the model's.
    pub folder: PathBuf,
    /// Tokens that the model was trained for, special tokens included, if its files have a limit.
    pub max_seq_length: Option<usize>,
    pub options: TextOptions,
    pub prompts: Prompts,
}

impl TextConfig {
    /// Reads the files of sentence-transformers and of the tokenizer in `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        let network = network_folder(folder)?;
        if let Some(of_static) = StaticConfig::find(folder)? {
            return Ok(Self {
                max_seq_length: Some(of_static.max_tokens),
                options: TextOptions {
                    no_specials: true,
                    no_unknown: of_static.is_model2vec,
                    ..TextOptions::default()
                },
                folder: network,
                prompts: Texts::read(folder)?.prompts,
            });
        }
        let Transformer { max_seq_length, do_lower_case, processor } = Transformer::read(&network)?;
        let tokenizer = read_json::<Processor>(&network.join("tokenizer_config.json"))?;
        let tokenizer = tokenizer.unwrap_or_default();
        let limit = |of: &Processor| {
            let length = of.model_max_length.filter(|length| (1.0..LENGTH_MAX).contains(length));
            length.map(|length| length as usize)
        };
        let side = processor.truncation_side.clone().or(tokenizer.truncation_side.clone());
        Ok(Self {
            max_seq_length: limit(&processor).or(max_seq_length).or_else(|| limit(&tokenizer)),
            options: TextOptions {
                lower_case: do_lower_case,
                bert: tokenizer.bert(),
                side: side.map(|side| parse_side(&network, &side)).transpose()?,
                ..TextOptions::default()
            },
            folder: network,
            prompts: Texts::read(folder)?.prompts,
        })
    }
}

/// The folder of the network and its tokenizer: that of the first module, if `modules.json` in
/// `folder` names one.
pub fn network_folder(folder: &Path) -> Result<PathBuf> {
    let modules = Module::list(folder)?.unwrap_or_default();
    let first = modules.first().filter(|module| module.is_network());
    Ok(first.map_or(folder.to_owned(), |module| folder.join(&module.path)))
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
        let path = folder.join("modules.json");
        let list: Option<Vec<Self>> = read_json(&path)?;
        // A path out of the folder is refused.
        let inside = |module: &Self| {
            let mut parts = Path::new(&module.path).components();
            parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        };
        match list.iter().flatten().find(|module| !inside(module)) {
            None => Ok(list),
            Some(module) => {
                let detail = format!("it names the path {:?} outside the folder", module.path);
                Err(Error::ModelBroken { path, detail })
            }
        }
    }

    /// `Pooling` of `sentence_transformers.models.Pooling`.
    pub fn class(&self) -> &str {
        self.kind.rsplit('.').next().unwrap_or_default()
    }

    /// Whether it computes the token vectors.
    fn is_network(&self) -> bool {
        self.is_transformer() || self.class() == "StaticEmbedding"
    }

    /// The first versions of sentence-transformers had a class for each kind of model.
    fn is_transformer(&self) -> bool {
        let classes = ["Transformer", "MLMTransformer", "BERT", "RoBERTa", "DistilBERT"];
        classes.contains(&self.class())
            || ["ALBERT", "CamemBERT", "XLMRoBERTa"].contains(&self.class())
    }
}

/// The settings of the transformer module.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Transformer {
    max_seq_length: Option<usize>,
    do_lower_case: bool,
    /// What the tokenizer is loaded with, instead of `tokenizer_config.json`.
    #[serde(alias = "processor_kwargs", alias = "tokenizer_args")]
    processor: Processor,
}

/// `tokenizer_config.json`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Processor {
    tokenizer_class: Option<String>,
    model_max_length: Option<f64>,
    truncation_side: Option<String>,
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
}

impl Processor {
    /// What the tokenizers of BERT take from here instead of from `tokenizer.json`. The general
    /// classes do not.
    fn bert(&self) -> BertNormalization {
        let general = ["PreTrainedTokenizerFast", "TokenizersBackend"];
        if self.tokenizer_class.as_ref().is_some_and(|class| general.contains(&class.as_str())) {
            return BertNormalization::default();
        }
        BertNormalization {
            lowercase: self.do_lower_case,
            strip_accents: self.strip_accents,
            handle_chinese_chars: self.tokenize_chinese_chars,
        }
    }
}

impl Transformer {
    /// The first file of [`SETTINGS`] that says anything decides.
    fn read(folder: &Path) -> Result<Self> {
        for name in SETTINGS {
            let path = folder.join(name);
            let object: serde_json::Map<String, serde_json::Value> =
                read_json(&path)?.unwrap_or_default();
            if !object.is_empty() {
                return Ok(read_json(&path)?.unwrap_or_default());
            }
        }
        Ok(Self::default())
    }
}

/// `config_sentence_transformers.json`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct RawTexts {
    prompts: Option<BTreeMap<String, Option<String>>>,
    default_prompt_name: Option<String>,
    similarity_fn_name: Option<String>,
    truncate_dim: Option<usize>,
}

/// The same, checked.
struct Texts {
    prompts: Prompts,
    similarity: Similarity,
    truncate_dim: Option<usize>,
}

impl Texts {
    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config_sentence_transformers.json");
        let raw: RawTexts = read_json(&path)?.unwrap_or_default();
        if raw.truncate_dim == Some(0) {
            let detail = "truncate_dim is 0, expected a positive number".to_owned();
            return Err(Error::ModelBroken { path, detail });
        }
        let prompts = raw.prompts.unwrap_or_default();
        Ok(Self {
            prompts: Prompts::new(&path, prompts, raw.default_prompt_name)?,
            similarity: raw.similarity_fn_name.as_deref().map(Similarity::new).unwrap_or_default(),
            truncate_dim: raw.truncate_dim,
        })
    }
}

impl SentenceConfig {
    /// Reads `modules.json` and the files it names. A folder without it is read as
    /// sentence-transformers does: the mean of the tokens, or the last one of a causal language
    /// model, not normalised.
    pub fn read(folder: &Path) -> Result<Self> {
        let TextConfig { max_seq_length, .. } = TextConfig::read(folder)?;
        let Texts { prompts, similarity, truncate_dim } = Texts::read(folder)?;
        let mut config = Self {
            pooling: Pooling::Mean.into(),
            dense: Vec::new(),
            normalize: false,
            max_seq_length,
            truncate_dim,
            similarity,
            prompts,
        };
        if let Some(of_static) = StaticConfig::find(folder)?.filter(|of| of.is_model2vec) {
            config.normalize = of_static.normalize;
            return Ok(config);
        }
        let Some(modules) = Module::list(folder)? else {
            config.pooling = default_pooling(folder)?.into();
            return Ok(config);
        };
        let mut pooled = false;
        for (i, module) in modules.iter().enumerate() {
            match module.class() {
                // It computes the mean of the tokens.
                "StaticEmbedding" if i == 0 => pooled = true,
                _ if i == 0 && module.is_transformer() => {}
                "Pooling" if !pooled => {
                    let PoolingConfig { poolings, include_prompt } =
                        PoolingConfig::read(&folder.join(&module.path))?;
                    config.pooling = poolings;
                    config.prompts.left_out = !include_prompt;
                    pooled = true;
                }
                "Dense" if pooled && !config.normalize => config.dense.push(module.path.clone()),
                "Normalize" if pooled => config.normalize = true,
                // It is for training only.
                "Dropout" => {}
                _ => {
                    let found = format!("sentence-transformers module {}", module.kind);
                    let supported =
                        "Transformer, Pooling, Dense and Normalize, in this order, and Dropout";
                    return Err(unsupported(found, supported));
                }
            }
        }
        if pooled {
            return Ok(config);
        }
        let found = "a modules.json without the module Pooling".to_owned();
        Err(unsupported(found, "one with Transformer and Pooling, or no modules.json"))
    }
}

/// The pooling of a folder without `modules.json`.
fn default_pooling(folder: &Path) -> Result<Pooling> {
    // A folder of which only the tokenizer is here is embedded by an endpoint.
    if !folder.join("config.json").is_file() {
        return Ok(Pooling::Mean);
    }
    let raw = Raw::read(folder)?;
    let architectures = raw.texts("architectures")?.unwrap_or_default();
    let causal = architectures.first().is_some_and(|name| name.ends_with("ForCausalLM"));
    Ok(if causal && raw.flag_or("is_causal", true)? { Pooling::Last } else { Pooling::Mean })
}

fn parse_side(folder: &Path, side: &str) -> Result<Side> {
    match side {
        "left" => Ok(Side::Left),
        "right" => Ok(Side::Right),
        other => Err(Error::ModelBroken {
            path: folder.join("tokenizer_config.json"),
            detail: format!("truncation_side is {other:?}, expected \"left\" or \"right\""),
        }),
    }
}

#[cfg(test)]
mod tests;
