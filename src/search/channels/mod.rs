//! Which chunks are candidates for an answer, and how does each channel rank them?
//!
//! A channel is one index and the method of searching it. To add one:
//!
//! 1. write its file here, with a type that implements [`Channel`];
//! 2. add its name to [`ChannelName`] and its value to the list in [`Channels::open`], both below;
//! 3. give it a depth and a weight for each class of query, in `plan/gate.rs`.
//!
//! Parsing, gathering, fusion, explanations and JSON use the list. A channel with a stage or an
//! attribute of its own also has rows in the tables of `base::telemetry`.

mod dense;
mod lexical;
mod path;
mod sparse;
mod symbol;

use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::plan::profile::Vocabulary;
use super::rerank::RerankEngines;
use crate::base::config::SearchSettings;
use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkSet, Hit};
use crate::base::telemetry::attrs::Attr;
use crate::base::telemetry::{RunContext, Stage};
use crate::embedding::engine::{Embeddings, Engine, Expansions, Submission};
use crate::index::catalog::Catalog;
use crate::index::versions::IndexVersion;
use crate::index::{DenseIndex, LexicalIndex, QueryText, SparseIndex, SymbolIndex};
pub(super) use dense::DenseChannel;
use lexical::LexicalChannel;
use path::PathChannel;
pub(super) use path::names_a_file;
use sparse::SparseChannel;
use symbol::SymbolChannel;

/// The name of a channel in a query, a plan or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelName {
    Dense,
    Lexical,
    Symbol,
    Path,
    /// Only in an index with a sparse model.
    Sparse,
}

impl ChannelName {
    /// The channels that every index has.
    pub const ALWAYS: [ChannelName; 4] = [Self::Dense, Self::Lexical, Self::Symbol, Self::Path];
    pub const ALL: [ChannelName; 5] =
        [Self::Dense, Self::Lexical, Self::Symbol, Self::Path, Self::Sparse];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Lexical => "lexical",
            Self::Symbol => "symbol",
            Self::Path => "path",
            Self::Sparse => "sparse",
        }
    }

    pub fn parse(word: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == word).ok_or_else(|| Error::Argument {
            name: "channel",
            value: word.to_owned(),
            expected: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// One search of a channel.
pub(super) struct ChannelSearch {
    pub query: Arc<QueryText>,
    /// Chunks to find.
    pub depth: usize,
    /// Whether words of the best chunks join the words of the query (RM3).
    pub rm3: bool,
    /// The chunks that may be found; `None` for all.
    pub scope: Option<Arc<ChunkSet>>,
    pub cx: RunContext,
}

/// A source of ranked chunks, open on one version. Any number of threads may search it
/// concurrently.
pub(super) trait Channel: Send + Sync {
    fn name(&self) -> ChannelName;

    /// The stage that a search records; it is recorded as skipped when the channel is not searched.
    fn stage(&self) -> Stage;

    /// The attribute of the event `channels.gathered` that counts its hits.
    fn hits_attribute(&self) -> Attr;

    /// Submits what the search needs from the engine, without waiting for it; `None` if it needs
    /// nothing.
    fn submit<'a>(&'a self, _asked: &'a ChannelSearch) -> Option<Encoding<'a>> {
        None
    }

    /// Returns the best `depth` chunks of the scope, best first. The channel records its own stage.
    /// encoded: the response to what [`Channel::submit`] submitted.
    fn search(&self, asked: &ChannelSearch, encoded: Option<Encoded>) -> Result<Vec<Hit>>;
}

/// What a channel submitted to an engine.
pub(super) enum Encoding<'a> {
    Embedding(Submission<'a, Embeddings>),
    Expansion(Submission<'a, Expansions>),
}

impl Encoding<'_> {
    pub fn wait(self) -> Result<Encoded> {
        match self {
            Self::Embedding(submission) => submission.wait().map(Encoded::Embedding),
            Self::Expansion(submission) => submission.wait().map(Encoded::Expansion),
        }
    }
}

/// The query as an engine encoded it.
pub(super) enum Encoded {
    Embedding(Embeddings),
    Expansion(Expansions),
}

/// The engines that encode queries.
#[derive(Clone, Default)]
pub struct Engines {
    pub dense: Option<Engine>,
    /// Expands queries; it is needed only if the version has a sparse index.
    pub sparse: Option<Engine>,
    /// Started when a search is reranked; its own if absent.
    pub rerank: Option<Arc<RerankEngines>>,
}

/// The channels of one version.
pub(super) struct Channels {
    list: Vec<Arc<dyn Channel>>,
    pub(super) dense: Arc<DenseChannel>,
    pub(super) vocabulary: IndexVocabulary,
    /// The threads that channels compute on, so that a slow channel does not block the caller's
    /// thread. None of them waits for the engine.
    pub(super) pool: ThreadPool,
}

impl Channels {
    /// Opens every channel of `version`. A channel whose engine is missing returns an error.
    pub(super) fn open(
        version: &IndexVersion,
        engines: Engines,
        settings: &SearchSettings,
    ) -> Result<Self> {
        let Engines { dense: engine, sparse: expander, .. } = engines;
        let folder = &version.folder;
        let vectors = DenseIndex::open(&folder.dense(), version.manifest.model.dim)?;
        let lexical = Arc::new(LexicalIndex::open(&folder.lexical())?);
        let symbols = Arc::new(SymbolIndex::open(&folder.symbols())?);
        let dense = Arc::new(DenseChannel::new(vectors, engine, settings));
        let mut list: Vec<Arc<dyn Channel>> =
            vec![dense.clone(), Arc::new(SymbolChannel(symbols.clone()))];
        if version.manifest.sparse.is_some() {
            let index = SparseIndex::open(&folder.sparse())?;
            let (rows, total) = (index.n(), version.manifest.total_chunks);
            if rows != total {
                let detail = format!("it has {rows} chunks, the manifest says {total}");
                return Err(Error::IndexCorrupt { path: folder.sparse(), detail });
            }
            list.push(Arc::new(SparseChannel { index, engine: expander }));
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(2 * ChannelName::ALL.len())
            .thread_name(|i| format!("channel-{i}"))
            .build()
            .map_err(Error::library("rayon", "start the channel threads"))?;
        let vocabulary = IndexVocabulary { lexical, symbols };
        Ok(Self { list, dense, vocabulary, pool })
    }

    pub(super) fn has(&self, name: ChannelName) -> bool {
        self.list.iter().any(|channel| channel.name() == name)
    }

    /// Adds the channels that need the catalog, which is opened at the same time.
    pub(super) fn add_catalog(&mut self, catalog: Arc<Catalog>) -> Result<()> {
        let index = self.vocabulary.lexical.clone();
        self.list.insert(1, Arc::new(LexicalChannel { index, catalog: catalog.clone() }));
        self.list.push(Arc::new(PathChannel::new(catalog)?));
        Ok(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<dyn Channel>> {
        self.list.iter()
    }
}

/// The words and names of one version.
pub(super) struct IndexVocabulary {
    lexical: Arc<LexicalIndex>,
    symbols: Arc<SymbolIndex>,
}

impl IndexVocabulary {
    pub(super) fn symbols(&self) -> &SymbolIndex {
        &self.symbols
    }
}

impl Vocabulary for IndexVocabulary {
    fn is_symbol(&self, word: &str) -> bool {
        self.symbols.contains(word)
    }

    fn share(&self, word: &str) -> f64 {
        // A frequency that cannot be read counts as 0. The lexical channel reports the error.
        self.lexical.doc_freq(word).unwrap_or(0) as f64 / self.lexical.n().max(1) as f64
    }

    fn chunks(&self) -> usize {
        self.lexical.n()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_parsed_from_its_name_and_an_unknown_one_is_refused_with_all_names() {
        for name in ChannelName::ALL {
            assert_eq!(ChannelName::parse(name.as_str()).unwrap(), name);
        }
        let message = ChannelName::parse("vector").unwrap_err().to_string();
        assert!(message.contains("dense, lexical, symbol, path, sparse"), "{message}");
    }
}
