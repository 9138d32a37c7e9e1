//! The identity of a model: equal keys mean equal vectors.

use std::path::{Path, PathBuf};

use crate::base::error::{Error, Result, Warning};
use crate::base::telemetry::labels::Mode;
use crate::device::Dtype;
use crate::embedding::nn::{Cuts, Poolings, ScoreActivation, Similarity, TextConfig};
use crate::embedding::token::{BertNormalization, Side, TextOptions};

/// The kind of work that a model is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// Texts to dense vectors.
    #[default]
    Embed,
    /// Texts to sparse weights over the vocabulary (SPLADE).
    Expand,
    /// Pairs of texts to logits, one per label.
    Score,
    /// Texts to a vector for each token (late interaction: Khattab and Zaharia, 2020).
    TokenVectors,
}

impl Task {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::Expand => "expand",
            Self::Score => "score",
            Self::TokenVectors => "token_vectors",
        }
    }
}

/// A model and the way in which its hidden states become results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelIdentity {
    /// The name for messages. Two names may denote the same model.
    pub name: String,
    /// 16 hexadecimal digits of a hash over `config.json`, `tokenizer.json` and the weights.
    pub revision: String,
    /// How hidden states become a vector. It has no meaning for tasks other than `Embed`.
    pub pooling: Poolings,
    /// Whether vectors have length 1.
    pub normalize: bool,
    /// The length of a result: values of a vector, size of the vocabulary, or number of labels,
    /// depending on the task.
    pub dim: usize,
    /// Maximum tokens of one text, including special tokens.
    pub max_tokens: usize,
    /// The number type of the linear layers.
    pub dtype: Dtype,
    /// The prompt that an index prepends to each text. It is empty for most models.
    pub document_prompt: String,
    pub task: Task,
    /// What the logits of a reranker become. It has no meaning for other tasks.
    pub activation: ScoreActivation,
    /// The lengths to which vectors may be cut.
    pub cuts: Cuts,
    /// How the model wants vectors to be compared. An index compares them by their cosine.
    pub similarity: Similarity,
    /// Where the model computes. For an endpoint, the revision is the endpoint's name for the
    /// model, and pooling, normalisation and dtype come from the local folder.
    pub mode: Mode,
}

impl ModelIdentity {
    /// A key of everything that determines the vector of a text. The name is not part of it, and a
    /// prompt counts as part of the text.
    pub fn key(&self) -> String {
        self.key_with(self.dtype, "raw")
    }

    /// A key that is equal for comparable vectors. An index normalises all of them. Types with a cosine of at least 0.9999 to f32
    /// count as f32, so that an index can move between processors.
    pub fn index_key(&self) -> String {
        let int8 = self.dtype == Dtype::Int8;
        let key = self.key_with(if int8 { Dtype::Int8 } else { Dtype::F32 }, "normalised");
        match self.document_prompt.as_str() {
            "" => key,
            prompt => format!("{key}-{}", &blake3::hash(prompt.as_bytes()).to_hex()[..8]),
        }
    }

    /// Checks a requested number of dimensions. Without a request, returns the full dimension.
    pub fn dimensions(&self, asked: Option<usize>) -> Result<usize> {
        let (all, name) = (self.dim, &self.name);
        let n = asked.unwrap_or(all);
        let allow = "model.allow_any_dimensions = true allows every length";
        let expected = match &self.cuts {
            _ if n == all => return Ok(all),
            Cuts::Any if (1..=all).contains(&n) => return Ok(n),
            Cuts::Any => format!("1 to {all}, the dimension of {name}"),
            Cuts::Listed(cuts) if cuts.contains(&n) && n <= all => return Ok(n),
            Cuts::Listed(cuts) => {
                let cuts: Vec<String> = cuts.iter().map(usize::to_string).collect();
                let cuts = cuts.join(", ");
                format!(
                    "{all} or one of matryoshka_dimensions in config.json of {name}: {cuts}; {allow}"
                )
            }
            Cuts::None => format!(
                "{all}, the dimension of {name}, because no config.json says that the model was \
                 trained for fewer (is_matryoshka, matryoshka_dimensions); {allow}"
            ),
        };
        Err(Error::Argument { name: "dimensions", value: n.to_string(), expected })
    }

    /// A warning if cosines do not rank texts as the model was trained to.
    pub fn check_similarity(&self) -> Option<Warning> {
        let Self { name, similarity, normalize, .. } = self;
        if similarity.ranks_as_cosine(*normalize) {
            return None;
        }
        let vectors = if *normalize { "" } else { " of vectors that are not normalised" };
        let message = format!(
            "{name} was trained for the similarity {similarity:?}{vectors} (similarity_fn_name in \
             config_sentence_transformers.json), but an index compares vectors by their cosine, \
             which ranks in another order",
            similarity = similarity.to_string()
        );
        Some(Warning::new("similarity-replaced", message))
    }

    /// other: what vectors count as that the model does not normalise.
    fn key_with(&self, dtype: Dtype, other: &str) -> String {
        let Self { revision, dim, max_tokens, .. } = self;
        if self.mode == Mode::Http {
            return format!("http-{revision}-{dim}");
        }
        if self.task != Task::Embed {
            let (task, dtype) = (self.task.as_str(), dtype.as_str());
            return format!("{revision}-{task}-{max_tokens}-{dim}-{dtype}");
        }
        let (pooling, dtype) = (&self.pooling, dtype.as_str());
        let length = if self.normalize { "unit" } else { other };
        format!("{revision}-{pooling}-{length}-{max_tokens}-{dim}-{dtype}")
    }
}

impl std::fmt::Display for ModelIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.index_key())
    }
}

/// Computes the revision of the model in `folder`.
pub(in crate::embedding) fn revision(folder: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    for path in model_files(folder)? {
        let unreadable = |source| Error::PathUnreadable { path: path.clone(), source };
        let bytes = std::fs::metadata(&path).map_err(unreadable)?.len();
        // Name and length separate consecutive files in the hash.
        hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        hasher.update(&[0]).update(&bytes.to_le_bytes());
        hasher.update_mmap_rayon(&path).map_err(unreadable)?;
    }
    // These are in files that are not hashed, because most of what is in them changes no vector.
    let TextOptions { lower_case, side, bert, .. } = TextConfig::read(folder)?.options;
    if lower_case {
        hasher.update(b"lower case");
    }
    if bert != BertNormalization::default() {
        hasher.update(format!("{bert:?}").as_bytes());
    }
    if side == Some(Side::Left) {
        hasher.update(b"truncated on the left");
    }
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

/// Lists `config.json`, `tokenizer.json` and every file of weights, sorted by path, including those
/// of modules in subfolders: dense layers, or the network itself.
fn model_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = files_in(folder)?;
    for path in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let of_module = files_in(&path)?;
        if of_module.iter().any(|path| !is_json(path)) {
            files.extend(of_module);
        }
    }
    files.sort();
    Ok(files)
}

/// The files of the network or the layer in `folder`. Pickles count only if they are read.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let (texts, weights) = (["config.json", "tokenizer.json"], entries(folder)?);
    let with_end = |end: &str| {
        let has = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == end);
        weights.iter().filter(has).cloned().collect::<Vec<_>>()
    };
    let mut files: Vec<_> =
        texts.map(|name| folder.join(name)).into_iter().filter(|path| path.is_file()).collect();
    let safetensors = with_end("safetensors");
    files.extend(if safetensors.is_empty() { with_end("bin") } else { safetensors });
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io("list", folder, e);
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect()
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::nn::Pooling;

    #[test]
    fn any_byte_of_the_model_and_any_choice_changes_the_key_but_the_name_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let key = |revision: String| {
            let (name, pooling) = ("m".to_owned(), Pooling::Mean.into());
            ModelIdentity {
                name,
                revision,
                pooling,
                normalize: true,
                dim: 4,
                max_tokens: 8,
                dtype: Dtype::F32,
                document_prompt: String::new(),
                task: Task::Embed,
                activation: ScoreActivation::default(),
                cuts: Cuts::Any,
                similarity: Similarity::default(),
                mode: Mode::Inproc,
            }
        };
        write("config.json", "{}");
        write("model.safetensors", "weights");
        let before = key(revision(folder.path()).unwrap());
        assert_eq!(before.revision.len(), 16);
        write("README.md", "not a part");
        assert_eq!(key(revision(folder.path()).unwrap()).key(), before.key());
        write("model.safetensors", "weighty");
        assert_ne!(key(revision(folder.path()).unwrap()).key(), before.key());

        let before = key(revision(folder.path()).unwrap());
        std::fs::create_dir(folder.path().join("2_Dense")).unwrap();
        write("2_Dense/model.safetensors", "a layer after the pooling");
        assert_ne!(key(revision(folder.path()).unwrap()).key(), before.key());

        let others = [
            ModelIdentity { pooling: Pooling::Cls.into(), ..before.clone() },
            ModelIdentity { normalize: false, ..before.clone() },
            ModelIdentity { max_tokens: 9, ..before.clone() },
            ModelIdentity { dim: 5, ..before.clone() },
            ModelIdentity { dtype: Dtype::Int8, ..before.clone() },
            ModelIdentity { task: Task::Score, ..before.clone() },
        ];
        assert!(others.iter().all(|other| other.key() != before.key()));
        assert!(others.iter().all(|other| other.index_key() != before.index_key()));
        let exact = ModelIdentity { dtype: Dtype::Int16, ..before.clone() };
        assert_ne!(exact.key(), before.key(), "a cache keeps them apart");
        assert_eq!(exact.index_key(), before.index_key(), "an index accepts both");
        let asking = |prompt: &str| {
            ModelIdentity { document_prompt: prompt.to_owned(), ..before.clone() }.index_key()
        };
        let expected = format!("{}-mean-unit-8-4-f32", before.revision);
        assert_eq!(asking(""), expected, "without a prompt the key is unchanged");
        assert!(asking("passage: ").starts_with(&before.index_key()));
        assert_ne!(asking("passage: "), before.index_key());
        assert_ne!(asking("passage: "), asking("text: "));
        let remote = ModelIdentity { mode: Mode::Http, revision: "m".into(), ..before.clone() };
        assert_eq!((remote.key().as_str(), remote.index_key().as_str()), ("http-m-4", "http-m-4"));
        let renamed = ModelIdentity { name: "n".to_owned(), ..before.clone() };
        assert_eq!(renamed.key(), before.key());
    }
}
