//! The table of stages: span name, kind, parent and attributes of each.

use opentelemetry::trace::SpanKind;

use super::attrs::{self, Attr};
use super::labels::Label;

/// The columns of the table below.
struct Row {
    span: &'static str,
    name: &'static str,
    kind: SpanKind,
    parent: &'static str,
    attrs: &'static [Attr],
}

macro_rules! stages {
    ($($(#[$doc:meta])* $stage:ident = $span:literal, $name:literal, $kind:ident, in $parent:literal,
        [$($attr:ident),* $(,)?];)+) => {
        /// One step of a pipeline.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Stage { $($(#[$doc])* $stage),+ }

        impl Label for Stage {
            const NAME: &'static str = "stage";
            const ALL: &'static [Self] = &[$(Self::$stage),+];

            fn value(self) -> &'static str {
                self.name()
            }

            fn place(self) -> usize {
                self as usize
            }
        }

        impl Stage {
            fn row(self) -> Row {
                match self {
                    $(Self::$stage => Row {
                        span: $span,
                        name: $name,
                        kind: SpanKind::$kind,
                        parent: $parent,
                        attrs: &[$(attrs::$attr),*],
                    }),+
                }
            }
        }
    };
}

stages! {
    Search = "retrieval.search", "search", Internal, in "the interface",
        [GEN_AI_OPERATION, GEN_AI_PROVIDER, QUERY_TEXT, QUERY_LEN, TOP_K, CHANNELS_USED, CHANNEL_DEPTHS, RRF_K, FUSED_DOCS, CONFIDENCE, RECENCY_BOOSTED,
         WARNINGS];
    Gate = "retrieval.gating", "gate", Internal, in "retrieval.search",
        [QUERY_CLASS, AMBIGUITY, QUERY_WORDS, UNIQUE_RATIO, CODE_TOKEN_RATIO, DIGIT_RATIO, SYMBOL_RATIO, OOV_RATIO,
         LOOKS_LITERAL, LOOKS_VAGUE, FUSION, RRF_K, CHANNEL_DEPTHS, CHANNEL_WEIGHTS, RM3, WARNINGS];
    Gather = "retrieval.gather_channels", "gather", Internal, in "retrieval.search", [DEADLINE_MS];
    EmbedQuery = "vllm.embed_batch", "embed_query", Client, in "retrieval.gather_channels, retrieval.rerank, or the interface",
        [GEN_AI_OPERATION, GEN_AI_PROVIDER, VLLM_MODE, VLLM_MODEL, VLLM_DIM, VLLM_BATCH_SIZE, VLLM_DEVICE,
         VLLM_DTYPE, VLLM_QUEUE_MS, VLLM_GPU_MEMORY_USED, VLLM_GPU_MEMORY_TOTAL, VLLM_GPU_MEMORY_PEAK,
         GEN_AI_INPUT_TOKENS, CACHE_HITS, VLLM_FALLBACK];
    Dense = "faiss.search", "dense", Internal, in "retrieval.gather_channels",
        [FAISS_INDEX_KIND, FAISS_METRIC, FAISS_DIM, FAISS_K, FAISS_NPROBE, FAISS_GPU, FAISS_SEARCH_MS, CHANNEL_HITS];
    Lexical = "bm25.search", "lexical", Internal, in "retrieval.gather_channels", [CHANNEL_HITS, RM3_TERMS];
    Symbol = "symbol.search", "symbol", Internal, in "retrieval.gather_channels", [CHANNEL_HITS];
    Splade = "splade.search", "splade", Internal, in "retrieval.gather_channels", [CHANNEL_HITS];
    Path = "path.search", "path", Internal, in "retrieval.gather_channels", [CHANNEL_HITS];
    Pool = "retrieval.pool", "pool", Internal, in "retrieval.search", [POOL_DOCS, POOL_DROPPED];
    Fuse = "retrieval.fuse", "fuse", Internal, in "retrieval.search", [FUSION, FUSED_DOCS];
    Rerank = "retrieval.rerank", "rerank", Internal, in "retrieval.search",
        [RERANK_METHOD, RERANK_CANDIDATES, RERANK_SCORED, RERANK_BUDGET_MS];
    Hydrate = "retrieval.hydrate", "hydrate", Internal, in "retrieval.search", [HYDRATE_ASKED];
    DuckdbHydrate = "duckdb.hydrate", "duckdb", Internal, in "retrieval.hydrate",
        [DUCKDB_ROWS, DUCKDB_SQL_BYTES, DB_SYSTEM, DB_OPERATION, DB_SUMMARY];
    Embed = "vllm.embed_batch", "embed", Client, in "ingest.build, or the interface",
        [GEN_AI_OPERATION, GEN_AI_PROVIDER, VLLM_MODE, VLLM_MODEL, VLLM_DIM, VLLM_BATCH_SIZE, VLLM_DEVICE,
         VLLM_DTYPE, VLLM_QUEUE_MS, VLLM_GPU_MEMORY_USED, VLLM_GPU_MEMORY_TOTAL, VLLM_GPU_MEMORY_PEAK,
         GEN_AI_INPUT_TOKENS, CACHE_HITS, VLLM_FALLBACK];
    Score = "vllm.score_batch", "score", Client, in "retrieval.rerank, or the interface",
        [GEN_AI_OPERATION, GEN_AI_PROVIDER, VLLM_MODE, VLLM_MODEL, VLLM_DIM, VLLM_BATCH_SIZE, VLLM_DEVICE,
         VLLM_DTYPE, VLLM_QUEUE_MS, VLLM_GPU_MEMORY_USED, VLLM_GPU_MEMORY_TOTAL, VLLM_GPU_MEMORY_PEAK,
         GEN_AI_INPUT_TOKENS, CACHE_HITS, VLLM_FALLBACK];
    Batch = "batch.run", "batch", Internal, in "none", [];
    Bench = "bench.run", "bench", Internal, in "none", [];
    Ingest = "ingest.run", "ingest", Internal, in "none", [VERSION, FILES, CHUNKS];
    Walk = "ingest.walk", "walk", Internal, in "ingest.run", [FILES];
    Diff = "ingest.diff", "diff", Internal, in "ingest.run", [FILES_CHANGED, FILES_SKIPPED];
    Build = "ingest.build", "build", Internal, in "ingest.run", [CHUNKS, CHUNKS_EMBEDDED, TOKENS];
    Facts = "ingest.facts", "facts", Internal, in "ingest.run", [];
    Index = "ingest.index", "index", Internal, in "ingest.run", [CHUNKS, FAISS_INDEX_KIND];
    Catalog = "ingest.catalog", "catalog", Internal, in "ingest.run", [];
    Publish = "ingest.publish", "publish", Internal, in "ingest.run", [VERSION];
    TextSearch = "search.text", "text_search", Internal, in "the interface", [FILES, FILES_SKIPPED, TEXT_MATCHES];
    Blame = "git.blame", "blame", Internal, in "the interface", [GIT_OP, GIT_PATH, GIT_LINE_RANGE, GIT_RESULTS];
    FileHistory = "git.file_history", "file_history", Internal, in "the interface", [GIT_OP, GIT_PATH, GIT_RESULTS];
    ChangedFiles = "git.changed_files", "changed_files", Internal, in "the interface", [GIT_OP, GIT_RESULTS];
}

impl Stage {
    /// Name of the span.
    pub fn span_name(self) -> &'static str {
        self.row().span
    }

    /// Short name for `request.stage`, reports and tables.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Name of the parent span.
    pub fn parent(self) -> &'static str {
        self.row().parent
    }

    /// The attributes that the span can carry, beside those of every span.
    pub fn attrs(self) -> &'static [Attr] {
        self.row().attrs
    }

    /// Kind of the span. By the conventions a call to an embedding model is a client span, even
    /// within one process.
    pub fn kind(self) -> SpanKind {
        self.row().kind
    }

    /// Whether the stage is a channel of a search.
    pub fn is_channel(self) -> bool {
        matches!(self, Self::Dense | Self::Lexical | Self::Symbol | Self::Path | Self::Splade)
    }
}
