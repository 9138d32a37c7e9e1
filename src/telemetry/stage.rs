//! Which steps are there, and what is each one's span called?

/// One step of a journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// A request that was refused before its journey began.
    Request,
    Search,
    Gate,
    Gather,
    EmbedQuery,
    Dense,
    Lexical,
    Symbol,
    Fuse,
    Hydrate,
    DuckdbHydrate,
    Rerank,
    Embed,
    Ingest,
    Walk,
    Diff,
    Build,
    Index,
    Catalog,
    Publish,
}

impl Stage {
    /// The span's name.
    pub fn span_name(self) -> &'static str {
        self.row().0
    }

    /// The short name for `request.stage`, reports and tables.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::Request => ("http.request", "request"),
            Self::Search => ("retrieval.search", "search"),
            Self::Gate => ("retrieval.gating", "gate"),
            Self::Gather => ("retrieval.gather_channels", "gather"),
            Self::EmbedQuery => ("vllm.embed_batch", "embed_query"),
            Self::Dense => ("faiss.search", "dense"),
            Self::Lexical => ("bm25.search", "lexical"),
            Self::Symbol => ("symbol.search", "symbol"),
            Self::Fuse => ("retrieval.fuse", "fuse"),
            Self::Hydrate => ("retrieval.hydrate", "hydrate"),
            Self::DuckdbHydrate => ("duckdb.hydrate", "duckdb"),
            Self::Rerank => ("retrieval.rerank", "rerank"),
            Self::Embed => ("vllm.embed_batch", "embed"),
            Self::Ingest => ("ingest.run", "ingest"),
            Self::Walk => ("ingest.walk", "walk"),
            Self::Diff => ("ingest.diff", "diff"),
            Self::Build => ("ingest.build", "build"),
            Self::Index => ("ingest.index", "index"),
            Self::Catalog => ("ingest.catalog", "catalog"),
            Self::Publish => ("ingest.publish", "publish"),
        }
    }

    /// Whether the work is a call to an embedding model, which the conventions call a client span.
    pub(super) fn is_client(self) -> bool {
        matches!(self, Self::Embed | Self::EmbedQuery)
    }
}
