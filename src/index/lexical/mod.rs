//! Which chunks contain these words, and how well do the words distinguish them?
//!
//! BM25F (Robertson, Zaragoza and Taylor 2004) over tantivy. A chunk is one indexed field: the
//! terms of its parts, each repeated by the weight of the part. That is BM25F with whole weights
//! and one length norm: weighted frequencies are added up before they saturate, and the length is
//! the weighted one. A term needs one posting list instead of one for each part, and block-max
//! pruning stays possible, which tantivy cannot do over several fields. `k1` 1.2 and `b` 0.75 are
//! tantivy's own. What is lost is a length norm for each part.
//!
//! tantivy proposes candidates; [`search`] sums their scores again in one fixed order, so that an
//! answer does not depend on segments or threads. Deleted chunks still count in the document
//! frequencies until their segment is merged.
//!
//! The folder holds tantivy's own files. Segments are immutable and `meta.json` is replaced by
//! rename, so a folder of hard links can be appended to without changing the version it came from.
//! Readers take no lock and write nothing.

mod directory;
mod feedback;
mod search;
mod stop;
mod terms;
mod writer;

use std::path::Path;
use std::sync::Arc;

use tantivy::columnar::ColumnValues;
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::{Index, ReloadPolicy, Searcher, Term};

use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;

pub use feedback::{FEEDBACK_DOCS, Feedback};
pub use stop::is_stop_word;
pub use writer::LexicalWriter;

use crate::index::versions::file::corrupt;
use directory::ReadOnlyDirectory;
use writer::with_analyzer;

const TEXT: &str = "text";
const CHUNK: &str = "chunk_id";
const TOKENIZER: &str = "code";

/// The parts of a chunk that are indexed; any may be empty.
#[derive(Debug, Clone, Copy)]
pub struct LexicalDoc<'a> {
    pub id: ChunkId,
    /// The names that the chunk defines.
    pub name: &'a str,
    /// The qualified path of those names.
    pub qualified: &'a str,
    pub signature: &'a str,
    /// The text without its comments.
    pub body: &'a str,
    /// Comments and docstrings.
    pub comments: &'a str,
    pub doc: &'a str,
    pub path: &'a str,
}

impl<'a> LexicalDoc<'a> {
    /// Each part with its weight: how often its terms are repeated.
    fn weighted(&self) -> [(&'a str, usize); 7] {
        [
            (self.name, 6),
            (self.signature, 3),
            (self.doc, 3),
            (self.qualified, 2),
            (self.path, 2),
            (self.comments, 1),
            (self.body, 1),
        ]
    }
}

/// The lexical index of one version, open for searching.
pub struct LexicalIndex {
    searcher: Searcher,
    text: Field,
    /// Chunk ids of the documents of each segment.
    chunks: Vec<Arc<dyn ColumnValues<u64>>>,
}

/// The stem of each part of a word, in lower case; the part itself if it has no other stem.
pub fn stems(word: &str) -> Vec<String> {
    with_analyzer(|analyzer| analyzer.stems_of_word(word))
}

impl LexicalIndex {
    /// Opens `folder` memory-mapped and checks the checksum of every file in it.
    pub fn open(folder: &Path) -> Result<Self> {
        let meta = folder.join("meta.json");
        if !meta.try_exists().map_err(|source| Error::io("look for", &meta, source))? {
            return Err(corrupt(&meta, "it is missing"));
        }
        let damaged = |error: tantivy::TantivyError| corrupt(folder, error.to_string());
        let directory =
            ReadOnlyDirectory::open(folder).map_err(|e| corrupt(folder, e.to_string()))?;
        let index = Index::open(directory).map_err(damaged)?;
        if let Some(file) = index.validate_checksum().map_err(damaged)?.into_iter().min() {
            return Err(corrupt(&folder.join(file), "its checksum does not match its bytes"));
        }
        let (schema, text, _) = schema();
        if index.schema() != schema {
            return Err(corrupt(&meta, "it describes other fields"));
        }
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .num_warming_threads(0)
            .try_into()
            .map_err(damaged)?;
        let searcher = reader.searcher();
        let chunks = searcher
            .segment_readers()
            .iter()
            .map(|segment| segment.fast_fields().column_first_or_default::<u64>(CHUNK))
            .collect::<tantivy::Result<_>>()
            .map_err(damaged)?;
        Ok(Self { searcher, text, chunks })
    }

    /// Chunks in the index.
    pub fn n(&self) -> usize {
        self.searcher.num_docs() as usize
    }

    /// How many chunks contain `word` as a whole word or as a part of an identifier; 0 for a word that
    /// is not in the vocabulary. Chunks deleted since the last merge still count.
    pub fn doc_freq(&self, word: &str) -> Result<usize> {
        let Some(term) = with_analyzer(|analyzer| analyzer.first_of_word(word)) else {
            return Ok(0);
        };
        let freq = self.searcher.doc_freq(&self.term(&term));
        freq.map(|n| n as usize).map_err(Error::library("tantivy", "read a term"))
    }

    fn term(&self, text: &str) -> Term {
        Term::from_field_text(self.text, text)
    }
}

/// The schema and its two fields: the terms, and the chunk's id.
fn schema() -> (Schema, Field, Field) {
    let mut builder = Schema::builder();
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_index_option(IndexRecordOption::WithFreqs)
        .set_fieldnorms(true);
    let text = builder.add_text_field(TEXT, TextOptions::default().set_indexing_options(indexing));
    let chunk = builder.add_u64_field(CHUNK, INDEXED | FAST);
    (builder.build(), text, chunk)
}

#[cfg(test)]
mod tests;
