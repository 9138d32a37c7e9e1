//! Writing a lexical index: chunks are added, deleted and committed.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use tantivy::schema::Field;
use tantivy::tokenizer::{PreTokenizedString, RawTokenizer, TextAnalyzer, Token};
use tantivy::{Index, IndexWriter, TantivyDocument, Term};

use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;
use crate::index::versions::file::{corrupt, or_disk_full, remove_if_there, sync_folder};

use super::terms::Analyzer;
use super::{LexicalDoc, TOKENIZER, schema};

/// Memory for postings before they are written as a segment, for all threads together.
const HEAP_BYTES_MAX: usize = 64 << 20;
/// tantivy requires 15 MB for each thread: four fit.
const THREADS_MAX: usize = 4;
/// Terms of one chunk, repetitions by weight included; text beyond them is not indexed.
const DOC_TERMS_MAX: usize = 1 << 14;
/// Lock files that tantivy leaves behind.
const LOCKS: [&str; 2] = [".tantivy-writer.lock", ".tantivy-meta.lock"];

thread_local! {
    static ANALYZER: RefCell<Analyzer> = RefCell::default();
}

/// Runs `work` with this thread's analyzer, which remembers stems.
pub(super) fn with_analyzer<T>(work: impl FnOnce(&mut Analyzer) -> T) -> T {
    ANALYZER.with_borrow_mut(work)
}

/// Writes a lexical index. Nothing of it is visible before [`LexicalWriter::finish`].
pub struct LexicalWriter {
    writer: IndexWriter,
    text: Field,
    chunk: Field,
    folder: PathBuf,
    fresh: bool,
}

impl LexicalWriter {
    /// A new index in an empty or missing folder.
    pub fn create(folder: &Path, threads: usize) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
        let index =
            Index::create_in_dir(folder, schema().0).map_err(failed("create an index", folder))?;
        Self::new(index, folder, threads, true)
    }

    /// Opens the index in `folder` to add to it; its files may be hard links of a published one.
    pub fn append(folder: &Path, threads: usize) -> Result<Self> {
        let index =
            Index::open_in_dir(folder).map_err(|error| corrupt(folder, error.to_string()))?;
        if index.schema() != schema().0 {
            return Err(corrupt(folder, "it describes other fields"));
        }
        Self::new(index, folder, threads, false)
    }

    fn new(index: Index, folder: &Path, threads: usize, fresh: bool) -> Result<Self> {
        // tantivy wants a tokenizer for the field, but chunks are added as terms and it never runs.
        index.tokenizers().register(TOKENIZER, TextAnalyzer::from(RawTokenizer::default()));
        let threads = threads.clamp(1, THREADS_MAX);
        let writer = index
            .writer_with_num_threads(threads, HEAP_BYTES_MAX)
            .map_err(failed("open a writer", folder))?;
        let (_, text, chunk) = schema();
        Ok(Self { writer, text, chunk, folder: folder.to_path_buf(), fresh })
    }

    /// Adds a chunk; several threads may. An earlier chunk with this id stays in the index.
    pub fn add(&self, doc: &LexicalDoc<'_>) -> Result<()> {
        let mut document = TantivyDocument::new();
        document.add_u64(self.chunk, u64::from(doc.id.0));
        document.add_pre_tokenized_text(self.text, terms_of(doc));
        self.writer.add_document(document).map(drop).map_err(failed("add a chunk", &self.folder))
    }

    /// Removes every chunk with this id that was added before, in this run or an earlier one.
    pub fn delete_chunk(&self, id: ChunkId) {
        self.writer.delete_term(Term::from_field_u64(self.chunk, u64::from(id.0)));
    }

    /// Makes all of it visible at once, on disk. A new index becomes one segment.
    pub fn finish(mut self) -> Result<()> {
        let folder = self.folder;
        let failed = || failed("commit an index", &folder);
        self.writer.commit().map_err(failed())?;
        if self.fresh {
            let segments = self.writer.index().searchable_segment_ids().map_err(failed())?;
            if segments.len() > 1 {
                self.writer.merge(&segments).wait().map_err(failed())?;
            }
        }
        let collected = self.writer.garbage_collect_files().wait();
        self.writer.wait_merging_threads().map_err(failed())?;
        collected.map_err(failed())?;
        for lock in LOCKS.map(|name| folder.join(name)) {
            remove_if_there(&lock).map_err(|source| Error::io("remove", &lock, source))?;
        }
        sync_folder(&folder)
    }
}

/// For `map_err`: tantivy failed at `action` in `folder`, perhaps because the disk is full.
fn failed(action: &'static str, folder: &Path) -> impl FnOnce(tantivy::TantivyError) -> Error {
    move |error| or_disk_full(Error::library("tantivy", action)(error), folder)
}

/// The terms of a chunk, each repeated by the weight of its part.
fn terms_of(doc: &LexicalDoc<'_>) -> PreTokenizedString {
    let mut tokens: Vec<Token> = Vec::new();
    with_analyzer(|analyzer| {
        for (text, weight) in doc.weighted() {
            analyzer.each(text, |term| {
                for _ in 0..weight.min(DOC_TERMS_MAX - tokens.len()) {
                    let position = tokens.len();
                    tokens.push(Token { text: term.to_owned(), position, ..Token::default() });
                }
            });
        }
    });
    PreTokenizedString { text: String::new(), tokens }
}

#[cfg(test)]
pub(super) fn weighted_terms(doc: &LexicalDoc<'_>) -> Vec<String> {
    terms_of(doc).tokens.into_iter().map(|token| token.text).collect()
}
