//! What do vectors look like as JSON?

use base64::Engine as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::base::vector::SparseVec;
use crate::embedding::engine::Embeddings;

/// One line of `codeintel embed`.
#[derive(Serialize)]
pub struct EmbeddedLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a serde_json::Value>,
    embedding: Numbers<'a>,
    /// For 8-bit numbers: times it they are about the vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
}

impl<'a> EmbeddedLine<'a> {
    pub fn new(id: Option<&'a serde_json::Value>, embedding: Numbers<'a>) -> Self {
        let scale = match embedding {
            Numbers::Int8 { scale, .. } => Some(scale),
            _ => None,
        };
        Self { id, embedding, scale }
    }
}

/// One line of `codeintel embed --pooling splade`.
#[derive(Serialize)]
pub struct SparseLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a serde_json::Value>,
    /// `[k]`, ascending: ids of the vocabulary.
    indices: &'a [u32],
    /// `[k]`
    values: &'a [f32],
}

impl<'a> SparseLine<'a> {
    pub fn new(id: Option<&'a serde_json::Value>, vector: &'a SparseVec) -> Self {
        Self { id, indices: &vector.ids, values: &vector.weights }
    }
}

/// One line of `codeintel rerank`.
#[derive(Serialize)]
#[serde(untagged)]
pub enum ScoreLine {
    One {
        score: f32,
    },
    /// `[labels]`, of models with several.
    Several {
        scores: Vec<f32>,
    },
}

impl ScoreLine {
    /// scores: `[labels]`.
    pub fn new(scores: Vec<f32>) -> Self {
        match scores[..] {
            [score] => Self::One { score },
            _ => Self::Several { scores },
        }
    }
}

/// A vector of `d` values in one type of numbers, as an array.
pub enum Numbers<'a> {
    /// `[d]`
    F32(&'a [f32]),
    /// `[d]`, each a number that 16 bits hold.
    F16(Vec<f32>),
    /// values: `[d]`; times `scale` they are about the vector.
    Int8 { values: Vec<i8>, scale: f32 },
    /// One bit a value: `[d / 8]`, rounded up.
    Binary(Vec<u8>),
}

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::F32(values) => values.serialize(serializer),
            Self::F16(values) => values.serialize(serializer),
            Self::Int8 { values, .. } => values.serialize(serializer),
            Self::Binary(bytes) => bytes.serialize(serializer),
        }
    }
}

/// How `/v1/embeddings` spells a vector.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    #[default]
    Float,
    /// The values as little-endian f32, in base64.
    Base64,
}

/// The answer of `/v1/embeddings`, as OpenAI spells it.
#[derive(Serialize)]
pub struct EmbeddingList<'a> {
    object: &'static str,
    model: &'a str,
    data: Vec<Embedding<'a>>,
    usage: Usage,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

/// One vector of the list.
#[derive(Serialize)]
pub struct Embedding<'a> {
    object: &'static str,
    index: usize,
    #[serde(serialize_with = "Values::write")]
    embedding: Values<'a>,
}

/// A vector `[d]` and how it is spelled.
struct Values<'a>(&'a [f32], Encoding);

impl Values<'_> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            Encoding::Float => self.0.serialize(serializer),
            Encoding::Base64 => {
                let bytes: Vec<u8> = self.0.iter().flat_map(|v| v.to_le_bytes()).collect();
                serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(bytes))
            }
        }
    }
}

impl<'a> EmbeddingList<'a> {
    pub fn new(embeddings: &'a Embeddings, model: &'a str, encoding: Encoding) -> Self {
        let tokens = embeddings.tokens;
        let data = embeddings.vectors.rows().enumerate().map(|(index, row)| Embedding {
            object: "embedding",
            index,
            embedding: Values(row, encoding),
        });
        Self {
            object: "list",
            model,
            data: data.collect(),
            usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
        }
    }
}
