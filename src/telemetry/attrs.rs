//! How is an attribute spelled? The only place that spells a key.

use opentelemetry::{Array, KeyValue, StringValue, Value};

/// A span attribute or event attribute key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attr(pub &'static str);

macro_rules! attrs {
    ($($name:ident = $key:literal;)+) => {
        $(#[doc = concat!("`", $key, "`")] pub const $name: Attr = Attr($key);)+
        /// Every key that a span, event or step of this crate can carry.
        pub const ALL: &[Attr] = &[$($name),+];
    };
}

attrs! {
    RUN_ID = "mcp.run_id";
    SESSION_ID = "mcp.session_id";
    TOOL = "mcp.tool";
    REQUEST_STAGE = "request.stage";
    ERROR_TYPE = "error.type";
    WARNINGS = "codeintel.warnings";

    QUERY_TEXT = "retrieval.query_text";
    QUERY_LEN = "retrieval.query_len";
    TOP_K = "retrieval.top_k";
    GEN_AI_TOP_K = "gen_ai.request.top_k";
    CHANNELS_USED = "retrieval.channels_used";
    CHANNEL_DEPTHS = "retrieval.channel_depths";
    RRF_K = "retrieval.rrf_k";
    FUSED_DOCS = "retrieval.fused_docs";
    QUERY_CLASS = "retrieval.query_class";
    AMBIGUITY = "retrieval.query_ambiguity";
    CHANNEL_HITS = "retrieval.channel_hits";

    DENSE = "dense";
    SPARSE = "sparse";
    SPLADE = "splade";
    SYMBOL = "symbol";

    FAISS_INDEX_KIND = "faiss.index_kind";
    FAISS_METRIC = "faiss.metric";
    FAISS_DIM = "faiss.dim";
    FAISS_K = "faiss.k";
    FAISS_NPROBE = "faiss.nprobe";
    FAISS_GPU = "faiss.gpu";

    VLLM_MODE = "vllm.mode";
    VLLM_MODEL = "vllm.model_name";
    VLLM_DIM = "vllm.embed_dim";
    VLLM_BATCH_SIZE = "vllm.batch_size";
    VLLM_BATCH_TOKENS = "vllm.batch_tokens";
    VLLM_QUEUE_MS = "vllm.queue_ms";
    VLLM_DEVICE = "vllm.device";
    VLLM_DTYPE = "vllm.dtype";
    GEN_AI_OPERATION = "gen_ai.operation.name";
    GEN_AI_PROVIDER = "gen_ai.provider.name";
    GEN_AI_MODEL = "gen_ai.request.model";
    GEN_AI_DIM = "gen_ai.embeddings.dimension.count";
    GEN_AI_INPUT_TOKENS = "gen_ai.usage.input_tokens";
    CACHE_HITS = "codeintel.cache.hits";

    DUCKDB_ROWS = "duckdb.rows";
    DUCKDB_SQL_BYTES = "duckdb.sql_bytes";
    DB_ROWS = "db.response.returned_rows";
    DB_SYSTEM = "db.system.name";
    DB_OPERATION = "db.operation.name";
    DB_SUMMARY = "db.query.summary";

    FILES = "codeintel.files";
    FILES_CHANGED = "codeintel.files.changed";
    FILES_SKIPPED = "codeintel.files.skipped";
    CHUNKS = "codeintel.chunks";
    CHUNKS_EMBEDDED = "codeintel.chunks.embedded";
    TOKENS = "codeintel.tokens";
    BYTES = "codeintel.bytes";
    VERSION = "codeintel.index.version";
}

/// What an attribute holds.
#[derive(Debug, Clone, PartialEq)]
pub enum AttrValue {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<String>),
}

macro_rules! from {
    ($($type:ty => $variant:ident, $convert:expr);+ $(;)?) => {$(
        impl From<$type> for AttrValue {
            fn from(value: $type) -> Self {
                Self::$variant($convert(value))
            }
        }
    )+};
}
from! {
    bool => Bool, |v| v;
    i64 => Int, |v| v;
    u32 => Int, i64::from;
    usize => Int, |v| i64::try_from(v).unwrap_or(i64::MAX);
    u64 => Int, |v| i64::try_from(v).unwrap_or(i64::MAX);
    f32 => Float, f64::from;
    f64 => Float, |v| v;
    &str => Text, str::to_owned;
    String => Text, |v| v;
    Vec<String> => List, |v| v;
}

impl std::fmt::Display for AttrValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(v) => v.fmt(f),
            Self::Int(v) => v.fmt(f),
            Self::Float(v) => write!(f, "{v:.3}"),
            Self::Text(v) => v.fmt(f),
            Self::List(v) => v.join(",").fmt(f),
        }
    }
}

/// The longest text that goes onto a span, in characters.
const VALUE_CHARS_MAX: usize = 256;

fn clip(text: &str) -> String {
    text.chars().take(VALUE_CHARS_MAX).collect()
}

pub(super) fn key_value(key: Attr, value: &AttrValue) -> KeyValue {
    let value = match value {
        AttrValue::Bool(v) => Value::Bool(*v),
        AttrValue::Int(v) => Value::I64(*v),
        AttrValue::Float(v) => Value::F64(*v),
        AttrValue::Text(v) => Value::String(clip(v).into()),
        AttrValue::List(v) => {
            Value::Array(Array::String(v.iter().map(|t| StringValue::from(clip(t))).collect()))
        }
    };
    KeyValue::new(key.0, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_distinct_and_long_texts_are_clipped() {
        let distinct: std::collections::HashSet<_> = ALL.iter().map(|a| a.0).collect();
        assert_eq!(distinct.len(), ALL.len());
        let long = key_value(QUERY_TEXT, &"é".repeat(1000).into());
        assert_eq!(long.value.as_str().chars().count(), VALUE_CHARS_MAX);
    }
}
