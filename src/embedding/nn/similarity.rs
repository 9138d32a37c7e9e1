//! By which measure a model wants its vectors to be compared.

/// `similarity_fn_name` of `config_sentence_transformers.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Similarity(String);

impl Default for Similarity {
    fn default() -> Self {
        Self::new("cosine")
    }
}

impl std::fmt::Display for Similarity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Similarity {
    pub(super) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Whether cosines rank texts as the model wants it. Dot products and Euclidean distances do
    /// so for vectors of length 1.
    pub fn ranks_as_cosine(&self, normalize: bool) -> bool {
        match self.0.as_str() {
            "cosine" => true,
            "dot" | "euclidean" => normalize,
            _ => false,
        }
    }
}
