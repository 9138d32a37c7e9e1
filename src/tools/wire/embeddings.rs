//! What do vectors look like as JSON?

use base64::Engine as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::embedding::engine::Embeddings;

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
