//! The table of attributes: the only place that spells an attribute key.

use std::borrow::Cow;

use opentelemetry::{Array, KeyValue, StringValue, Value};

/// The key of a span's, event's or step's attribute.
#[derive(Clone, Copy)]
pub struct Attr(&'static Row);

/// The columns of the table below.
struct Row {
    key: &'static str,
    official: Option<&'static str>,
    part2: Option<&'static str>,
    what: &'static str,
}

impl Attr {
    pub const fn key(self) -> &'static str {
        self.0.key
    }

    /// The name in the OpenTelemetry conventions; a span carries both.
    pub fn official(self) -> Option<&'static str> {
        self.0.official
    }

    /// The older spelling that `telemetry.semconv_compat = "part2"` adds.
    pub fn part2(self) -> Option<&'static str> {
        self.0.part2
    }

    /// The meaning of the attribute, with its unit.
    pub fn what(self) -> &'static str {
        self.0.what
    }
}

impl PartialEq for Attr {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Attr {}

impl std::fmt::Debug for Attr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.key())
    }
}

/// `NAME = "key" | "official name" ~ "part2 name", "meaning"`.
macro_rules! attrs {
    ($($name:ident = $key:literal $(| $official:literal)? $(~ $part2:literal)?, $what:literal;)+) => {
        $(
            #[doc = concat!("`", $key, "`: ", $what)]
            pub const $name: Attr = Attr(&Row {
                key: $key,
                official: attrs!(@maybe $($official)?),
                part2: attrs!(@maybe $($part2)?),
                what: $what,
            });
        )+
        /// Every key that a span, event or step of this crate can carry.
        pub const ALL: &[Attr] = &[$($name),+];
    };
    (@maybe $value:literal) => { Some($value) };
    (@maybe) => { None };
}

attrs! {
    RUN = "run.id", "The run, copied from the baggage to every span";
    SESSION = "session.id", "The caller's session, copied from the baggage to every span";
    RUN_ID = "mcp.run_id", "The run: 32 hexadecimal digits, or the id given by the caller";
    SESSION_ID = "mcp.session_id" | "mcp.session.id", "The session given by the caller";
    TOOL = "mcp.tool", "The tool, such as search:semantic";
    TOOL_NAME = "gen_ai.tool.name", "The name by which the tool was called, such as semantic_search";
    MCP_METHOD = "mcp.method.name", "tools/call";
    JSONRPC_ID = "jsonrpc.request.id", "The id of the request in the protocol";
    NETWORK_TRANSPORT = "network.transport", "pipe or tcp";
    REQUEST_STAGE = "request.stage" ~ "stage", "The stage, as in the run report";
    ERROR_TYPE = "error.type", "Code of the failure, as listed in docs/operations.md";
    ERROR_MESSAGE = "error.message", "Message of the failure, on the span of a refused request";
    WARNINGS = "codeintel.warnings", "Codes of the warnings, or the reason why a stage was skipped";

    HTTP_METHOD = "http.request.method", "GET, POST, or _OTHER";
    HTTP_ROUTE = "http.route", "The registered route";
    HTTP_STATUS = "http.response.status_code", "The status of the response";
    URL_PATH = "url.path", "The path of the request";
    URL_SCHEME = "url.scheme", "http";

    QUERY_TEXT = "retrieval.query_text", "The query, its hash, or nothing, as telemetry.capture_query says";
    QUERY_LEN = "retrieval.query_len", "Length of the query in characters";
    TOP_K = "retrieval.top_k" | "gen_ai.retrieval.top_k", "Number of results requested";
    CHANNELS_USED = "retrieval.channels_used", "Channels that returned candidates";
    CHANNEL_DEPTHS = "retrieval.channel_depths", "Candidates requested from each channel, as JSON";
    CHANNEL_WEIGHTS = "retrieval.channel_weights", "Weight of each channel, as JSON";
    CHANNEL_HITS = "retrieval.channel_hits", "Candidates returned by the channel";
    FUSION = "retrieval.fusion", "How the rankings of the channels are fused: convex or weighted_rrf";
    RRF_K = "retrieval.rrf_k", "The constant of reciprocal rank fusion, where it is used";
    FUSED_DOCS = "retrieval.fused_docs", "Distinct candidates after fusion";
    POOL_DOCS = "retrieval.pool_docs", "Distinct candidates of all channels that are ranked";
    POOL_DROPPED = "retrieval.pool_dropped", "Distinct candidates beyond search.pool_max, which are not";
    RM3 = "retrieval.rm3_enabled", "Whether the lexical channel searches again with words of its best chunks";
    RM3_TERMS = "retrieval.rm3_terms", "Words that this second search added to the query";
    RERANK_METHOD = "retrieval.rerank_method", "How the best candidates are ranked once more: exact, maxsim, cross_encoder or listwise";
    RERANK_CANDIDATES = "retrieval.rerank_candidates", "Candidates to rank once more";
    RERANK_SCORED = "retrieval.rerank_scored", "Candidates that were, within the budget";
    RERANK_BUDGET_MS = "retrieval.rerank_budget_ms", "Time limit of the stage in milliseconds";
    CONFIDENCE = "retrieval.confidence", "The probability that the first result is right";
    RECENCY_BOOSTED = "retrieval.recency_boosted", "Whether files that were changed recently score higher";
    HYDRATE_ASKED = "retrieval.hydrate_asked", "Rows requested from the catalog";
    QUERY_CLASS = "retrieval.query_class", "Class of the query, as decided by the gate";
    AMBIGUITY = "retrieval.query_ambiguity", "0 (certain) to 1 (vague)";
    QUERY_WORDS = "retrieval.query_words", "Words of the query";
    UNIQUE_RATIO = "retrieval.unique_ratio", "Distinct words divided by words";
    CODE_TOKEN_RATIO = "retrieval.code_token_ratio", "Words that look like code divided by words";
    DIGIT_RATIO = "retrieval.digit_ratio", "Digits divided by characters";
    SYMBOL_RATIO = "retrieval.symbol_ratio", "Punctuation of code divided by characters";
    OOV_RATIO = "retrieval.oov_ratio", "Words that occur in no chunk divided by words";
    LOOKS_LITERAL = "retrieval.looks_literal", "Whether the query is to be found as it is written";
    LOOKS_VAGUE = "retrieval.looks_vague", "Whether the query is a few plain words";
    DEADLINE_MS = "codeintel.deadline_ms", "Time limit of the run in milliseconds";

    DENSE = "dense", "Candidates of the dense channel";
    SPARSE = "sparse", "Candidates of BM25, the lexical channel; not of SPLADE";
    SYMBOL = "symbol", "Candidates of the symbol channel";
    SPLADE = "splade", "Candidates of the channel of learned sparse vectors (SPLADE)";
    PATH = "path", "Candidates of the path channel";

    FAISS_INDEX_KIND = "faiss.index_kind" ~ "index.type", "Flat, IVFFlat, IVF-PQ or HNSW; +sec if there is a delta";
    FAISS_METRIC = "faiss.metric", "IP: inner product";
    FAISS_DIM = "faiss.dim", "Dimension of the vectors";
    FAISS_K = "faiss.k", "Neighbours requested";
    FAISS_NPROBE = "faiss.nprobe", "Inverted lists visited";
    FAISS_SEARCH_MS = "faiss.search_ms", "Duration of the FAISS search in milliseconds; on a GPU the search's part of its batch";
    FAISS_GPU = "faiss.gpu" ~ "gpu.enabled", "Whether the index is in GPU memory";

    VLLM_MODE = "vllm.mode", "Where embeddings were computed: inproc (in this process) or http (by an endpoint)";
    VLLM_MODEL = "vllm.model_name" | "gen_ai.request.model" ~ "llm.model", "The embedding model";
    VLLM_DIM = "vllm.embed_dim" | "gen_ai.embeddings.dimension.count" ~ "llm.embedding_dim", "Dimension of the vectors";
    VLLM_BATCH_SIZE = "vllm.batch_size" ~ "batch.size", "Texts in the request; on engine.batch, sequences in the batch";
    VLLM_BATCH_TOKENS = "vllm.batch_tokens", "Tokens computed";
    VLLM_FILL_RATIO = "vllm.batch_fill_ratio", "Tokens as a fraction of the batch's limit (engine.max_batch_tokens, engine.batch_ms)";
    VLLM_DEVICE_MS = "vllm.device_ms", "Time that the device computed, in milliseconds";
    VLLM_QUEUE_MS = "vllm.queue_ms", "Milliseconds until the first batch was launched";
    VLLM_FALLBACK = "vllm.fallback", "Why the endpoint computed although vllm.mode is auto: load, device or cool_down";
    VLLM_DEVICE = "vllm.device", "The device, such as cpu avx512, or the address of the endpoint";
    VLLM_DTYPE = "vllm.dtype", "Number format of the computation";
    VLLM_GPU_MEMORY_USED = "vllm.gpu.memory_used_bytes", "GPU memory used by all programs, in bytes, at most 0.1 s old";
    VLLM_GPU_MEMORY_TOTAL = "vllm.gpu.memory_total_bytes", "Total GPU memory in bytes";
    VLLM_GPU_MEMORY_PEAK = "vllm.gpu.memory_peak_bytes", "Highest use of GPU memory seen since the engine started, in bytes";
    GEN_AI_OPERATION = "gen_ai.operation.name", "embeddings; retrieval on retrieval.search";
    GEN_AI_PROVIDER = "gen_ai.provider.name", "codeintel";
    GEN_AI_INPUT_TOKENS = "gen_ai.usage.input_tokens", "Tokens of all texts, including those with cached vectors";
    CACHE_HITS = "codeintel.cache.hits", "Vectors found in the cache";

    DUCKDB_ROWS = "duckdb.rows" | "db.response.returned_rows", "Rows returned";
    DUCKDB_SQL_BYTES = "duckdb.sql_bytes", "Length of the statement in bytes";
    DB_SYSTEM = "db.system.name", "duckdb";
    DB_OPERATION = "db.operation.name", "SELECT";
    DB_SUMMARY = "db.query.summary", "Summary of the statement";

    CPU_MODE = "cpu.mode", "user or system; a label of process.cpu.time";
    HW_ID = "hw.id", "The GPU; a label of hw.gpu.*";

    FILES = "codeintel.files", "Files seen";
    FILES_CHANGED = "codeintel.files.changed", "Files that differ from the previous version";
    FILES_SKIPPED = "codeintel.files.skipped", "Files skipped";
    CHUNKS = "codeintel.chunks", "Chunks in the version or the part";
    CHUNKS_EMBEDDED = "codeintel.chunks.embedded", "Chunks embedded, not found in a cache";
    TOKENS = "codeintel.tokens", "Tokens embedded";
    VERSION = "codeintel.index.version", "The published version";

    GIT_OP = "git.op", "blame, file_history or changed_files";
    GIT_PATH = "git.path", "The file";
    GIT_LINE_RANGE = "git.line_range", "The lines requested, such as 10-20";
    GIT_RESULTS = "git.results", "Groups of lines, changes or files returned";
    TEXT_MATCHES = "codeintel.text.matches", "Matches counted";
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum AttrValue {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'static, str>),
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
    u16 => Int, i64::from;
    u32 => Int, i64::from;
    usize => Int, |v| i64::try_from(v).unwrap_or(i64::MAX);
    u64 => Int, |v| i64::try_from(v).unwrap_or(i64::MAX);
    f32 => Float, f64::from;
    f64 => Float, |v| v;
    &'static str => Text, Cow::Borrowed;
    String => Text, Cow::Owned;
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

/// A map as JSON with sorted keys, because an attribute of a span cannot be a map.
pub fn to_label_str<V: serde::Serialize>(
    map: impl IntoIterator<Item = (&'static str, V)>,
) -> String {
    let sorted: std::collections::BTreeMap<_, _> = map.into_iter().collect();
    serde_json::to_string(&sorted).unwrap_or_default()
}

/// Converts attributes to those of a span.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spelling {
    /// Maximum length of a text in characters.
    pub chars_max: usize,
    /// Whether the older names are added.
    pub part2: bool,
}

impl Spelling {
    /// Calls `add` with the attribute under each of its names.
    pub fn spell(self, attr: Attr, value: &AttrValue, mut add: impl FnMut(KeyValue)) {
        let others = [attr.official(), attr.part2().filter(|_| self.part2)];
        for name in others.into_iter().flatten() {
            add(KeyValue::new(name, self.value(value)));
        }
        add(KeyValue::new(attr.key(), self.value(value)));
    }

    fn value(self, value: &AttrValue) -> Value {
        match value {
            AttrValue::Bool(v) => Value::Bool(*v),
            AttrValue::Int(v) => Value::I64(*v),
            AttrValue::Float(v) => Value::F64(*v),
            AttrValue::Text(Cow::Borrowed(v)) if v.len() <= self.chars_max => (*v).into(),
            AttrValue::Text(v) => Value::String(self.clip(v)),
            AttrValue::List(v) => {
                Value::Array(Array::String(v.iter().map(|text| self.clip(text)).collect()))
            }
        }
    }

    pub fn clip(self, text: &str) -> StringValue {
        let end = text.char_indices().nth(self.chars_max).map_or(text.len(), |(at, _)| at);
        text[..end].to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_well_formed() {
        let names = ALL.iter().flat_map(|a| [Some(a.key()), a.official(), a.part2()]).flatten();
        let mut seen = std::collections::HashSet::new();
        for name in names {
            assert!(seen.insert(name), "{name} occurs twice");
            let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._".contains(&b);
            assert!(name.bytes().all(fine), "{name}");
        }
    }

    #[test]
    fn long_texts_are_clipped_and_a_value_goes_out_under_each_of_its_names() {
        let spell = |part2, attr, value: AttrValue| {
            let mut out = Vec::new();
            Spelling { chars_max: 4, part2 }.spell(attr, &value, |kv| out.push(kv));
            out.into_iter().map(|kv| (kv.key.to_string(), kv.value.to_string())).collect::<Vec<_>>()
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let long = spell(false, QUERY_TEXT, "éééééééé".into());
        assert_eq!(long, [pair("retrieval.query_text", "éééé")]);
        let model = spell(false, VLLM_MODEL, "bert-base".to_owned().into());
        let both = [pair("gen_ai.request.model", "bert"), pair("vllm.model_name", "bert")];
        assert_eq!(model, both);
        let old = spell(true, FAISS_GPU, false.into());
        assert_eq!(old, [pair("gpu.enabled", "false"), pair("faiss.gpu", "false")]);
    }

    #[test]
    fn a_map_becomes_json_with_sorted_keys() {
        assert_eq!(to_label_str([("b", 2), ("a", 1)]), r#"{"a":1,"b":2}"#);
        assert_eq!(to_label_str([("é", "ü")]), r#"{"é":"ü"}"#);
    }
}
