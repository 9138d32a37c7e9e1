//! VersionWriter: writes the parts of a version file by file, then publishes it.

use std::path::Path;

use super::progress::{Phase, Progress};
use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;
use crate::base::telemetry::{RunContext, Stage, attrs};
use crate::corpus::chunk::{Chunk, FileChunks, HEADER_VERSION, Symbol, fingerprint};
use crate::corpus::git::Commit;
use crate::corpus::scip::Occurrence;
use crate::corpus::source::SourceFile;
use crate::index::catalog::{
    CatalogWriter, ChunkRow, FileRow, FileRows, OccurrenceRow, RefRow, SymbolName, SymbolRow,
};
use crate::index::versions::{
    FORMAT, IndexVersion, ModelRecord, SparseRecord, Staging, VersionManifest, now,
};
use crate::index::{DenseIndex, LexicalDoc, LexicalWriter, SparseIndex, SymbolEntry, SymbolIndex};

/// Writes one version: the catalog and the lexical index with each file, the other indexes at the end.
pub struct VersionWriter<'a> {
    staging: Staging,
    /// The version whose rows this one keeps.
    parent: Option<&'a IndexVersion>,
    catalog: CatalogWriter,
    lexical: LexicalWriter,
    /// In the order of the chunks.
    symbols: Vec<SymbolName>,
}

/// Where a file comes from, and when it was read.
pub struct FileOrigin<'a> {
    pub root: &'a Path,
    /// The last commit that touched it.
    pub commit: Option<&'a Commit>,
    /// Seconds since 1970.
    pub read_at_s: i64,
}

/// What a version is made from, for its manifest.
pub struct MadeFrom {
    /// The folders and files that were indexed, as absolute paths.
    pub roots: Vec<String>,
    pub model: ModelRecord,
    /// The model of the sparse index, if the version has one.
    pub sparse: Option<SparseRecord>,
    /// As in the manifest.
    pub model_state: String,
    pub chunk_tokens_max: usize,
    /// As in the manifest.
    pub policy: String,
    /// As in the manifest.
    pub scip: String,
}

impl<'a> VersionWriter<'a> {
    /// Starts a version in which every row is new.
    pub fn create(staging: Staging, threads: usize) -> Result<Self> {
        let folder = staging.folder();
        Ok(Self {
            catalog: CatalogWriter::create(&folder.catalog())?,
            lexical: LexicalWriter::create(&folder.lexical(), threads)?,
            symbols: Vec::new(),
            parent: None,
            staging,
        })
    }

    /// Starts a version that keeps the rows of `parent`.
    pub fn append(staging: Staging, parent: &'a IndexVersion, threads: usize) -> Result<Self> {
        staging.link(parent)?;
        let folder = staging.folder();
        let mut catalog = CatalogWriter::open(&folder.catalog())?;
        Ok(Self {
            lexical: LexicalWriter::append(&folder.lexical(), threads)?,
            symbols: catalog.symbols()?,
            catalog,
            parent: Some(parent),
            staging,
        })
    }

    /// Removes files. Their vectors stay, and searches ignore them.
    ///
    /// paths: any number, relative to the roots.
    pub fn delete_files(&mut self, paths: &[String]) -> Result<()> {
        let deleted = self.catalog.delete_files(paths)?;
        deleted.iter().for_each(|id| self.lexical.delete_chunk(*id));
        self.symbols.retain(|symbol| deleted.binary_search(&symbol.chunk).is_err());
        Ok(())
    }

    /// Adds a file. Its chunks get the next ids, in order.
    pub fn add_file(
        &mut self,
        file: SourceFile,
        chunks: FileChunks,
        occurrences: Vec<Occurrence>,
        origin: &FileOrigin<'_>,
    ) -> Result<()> {
        let first = self.catalog.next_chunk().0;
        let count = u32::try_from(chunks.chunks.len()).unwrap_or(u32::MAX);
        first.checked_add(count).ok_or(Error::Overloaded {
            what: "the index",
            limit: format!("{} chunks", u32::MAX),
            retry_ms: None,
        })?;
        let id = |ordinal: u32| ChunkId(first + ordinal);
        for (ordinal, chunk) in (0..).zip(&chunks.chunks) {
            add_lexical(&self.lexical, id(ordinal), &file, &chunks, chunk)?;
        }
        let mut rows = file_rows(file, chunks, origin, ChunkId(first), count);
        rows.occurrences = occurrence_rows(occurrences, &rows.chunks);
        self.symbols.extend(rows.symbols.iter().map(|symbol| SymbolName {
            name: symbol.name.clone(),
            qualified: symbol.qualified.clone(),
            kind: symbol.kind,
            chunk: symbol.chunk,
        }));
        self.catalog.append_file(rows)
    }

    /// The catalog of the version.
    pub(super) fn catalog(&mut self) -> &mut CatalogWriter {
        &mut self.catalog
    }

    /// Whether the version has no chunk that a search could find.
    pub fn is_empty(&mut self) -> Result<bool> {
        Ok(self.catalog.counts()?.chunks == 0)
    }

    /// Writes the indexes and the manifest and makes the version current. `dense` and
    /// `sparse` make the indexes over all rows, those of the parent included.
    pub fn publish(
        mut self,
        dense: impl FnOnce() -> Result<DenseIndex>,
        sparse: impl FnOnce() -> Result<Option<SparseIndex>>,
        made_from: MadeFrom,
        progress: &Progress,
        cx: &RunContext,
    ) -> Result<IndexVersion> {
        let folder = self.staging.folder().clone();
        let total_chunks = self.catalog.next_chunk().row();
        progress.enter(Phase::Indexing);
        let lexical = self.lexical;
        let dense = cx.stage(Stage::Index, |s| {
            lexical.finish()?;
            let dense = dense()?;
            match self.parent {
                Some(_) => dense.save_delta(&folder.dense())?,
                None => dense.save(&folder.dense())?,
            }
            if let Some(sparse) = sparse()? {
                match self.parent {
                    Some(_) => sparse.save_delta(&folder.sparse())?,
                    None => sparse.save(&folder.sparse())?,
                }
            }
            s.set(attrs::CHUNKS, total_chunks);
            s.set(attrs::FAISS_INDEX_KIND, dense.kind_name());
            Ok(dense)
        })?;
        let counts = cx.stage(Stage::Catalog, |_| {
            let counts = self.catalog.counts()?;
            self.catalog.finish()?;
            let entries = self.symbols.iter().map(|symbol| SymbolEntry {
                name: &symbol.name,
                qualified: &symbol.qualified,
                kind: symbol.kind,
                id: symbol.chunk,
            });
            SymbolIndex::build(entries)?.save(&folder.symbols())?;
            Ok(counts)
        })?;
        let manifest = VersionManifest {
            format: FORMAT,
            version: self.staging.name().to_owned(),
            created_at: now(),
            roots: made_from.roots,
            model: made_from.model,
            sparse: made_from.sparse,
            chunk_tokens_max: made_from.chunk_tokens_max,
            header_version: HEADER_VERSION,
            chunker: fingerprint(),
            policy: made_from.policy,
            model_state: made_from.model_state,
            scip: made_from.scip,
            base_chunks: self.parent.map_or(total_chunks, |parent| parent.manifest.base_chunks),
            total_chunks,
            live_chunks: counts.chunks as usize,
            files: counts.files as usize,
            dense_factory: dense.factory().to_owned(),
            dense_kind: dense.kind_name().to_owned(),
            parts: Vec::new(),
        };
        progress.enter(Phase::Publishing);
        cx.stage(Stage::Publish, |s| {
            s.set(attrs::VERSION, manifest.version.clone());
            self.staging.publish(manifest, self.parent)
        })
    }
}

/// Adds one chunk of a file to a lexical index.
pub fn add_lexical(
    lexical: &LexicalWriter,
    id: ChunkId,
    file: &SourceFile,
    chunks: &FileChunks,
    chunk: &Chunk,
) -> Result<()> {
    let symbols = chunk.symbols.iter().filter_map(|&index| chunks.symbols.get(index as usize));
    // Fields stand in the code; beside it they would make a large struct the answer to each of them.
    let symbols: Vec<&Symbol> = symbols.filter(|symbol| !symbol.kind.is_member()).collect();
    let names: Vec<&str> = symbols.iter().map(|symbol| symbol.name.as_str()).collect();
    let signatures: Vec<&str> = symbols.iter().map(|symbol| symbol.signature.as_str()).collect();
    let (code, comments) = chunk.code_and_comments();
    lexical.add(&LexicalDoc {
        id,
        name: &names.join(" "),
        qualified: &chunk.enclosing.join(" "),
        signature: &signatures.join(" "),
        body: &code,
        comments: &comments,
        doc: chunk.doc.as_deref().unwrap_or_default(),
        path: file.path.as_str(),
    })
}

/// The rows of a file whose chunks are numbered from `first`.
fn file_rows(
    file: SourceFile,
    chunks: FileChunks,
    origin: &FileOrigin<'_>,
    first: ChunkId,
    chunk_count: u32,
) -> FileRows {
    let path = file.path.as_str();
    let language = file.language.name();
    let id = |ordinal: u32| ChunkId(first.0 + ordinal);
    let chunk_row = |(ordinal, chunk): (u32, Chunk)| ChunkRow {
        id: id(ordinal),
        path: path.to_owned(),
        language: language.to_owned(),
        start_line: chunk.start_line,
        end_line: chunk.end_line,
        start_byte: chunk.start_byte,
        end_byte: chunk.end_byte,
        header: chunk.header,
        text: chunk.text,
        enclosing: chunk.enclosing,
        signature: chunk.signature,
        doc: chunk.doc,
        hash: chunk.hash,
        tokens: chunk.tokens,
    };
    let symbol_row = |symbol: Symbol| SymbolRow {
        name: symbol.name,
        qualified: symbol.qualified,
        kind: symbol.kind,
        signature: symbol.signature,
        doc: symbol.doc,
        path: path.to_owned(),
        start_line: symbol.start_line,
        end_line: symbol.end_line,
        start_col: symbol.start_col,
        chunk: id(symbol.chunk),
    };
    let references = chunks.references.into_iter();
    FileRows {
        chunks: (0..).zip(chunks.chunks).map(chunk_row).collect(),
        symbols: chunks.symbols.into_iter().map(symbol_row).collect(),
        references: references
            .map(|r| RefRow { name: r.name, chunk: id(r.chunk), line: r.line })
            .collect(),
        occurrences: Vec::new(),
        file: FileRow {
            path: path.to_owned(),
            root: origin.root.to_string_lossy().into_owned(),
            language: language.to_owned(),
            size_bytes: file.size_bytes,
            modified_ns: file.modified_ns,
            hash: file.hash,
            lines: file.text.lines().count() as u32,
            first_chunk: first,
            chunk_count,
            commit_id: origin.commit.map(|commit| commit.id.clone()),
            commit_time_s: origin.commit.map(|commit| commit.time_s),
            author: origin.commit.map(|commit| commit.author.clone()),
            indexed_at_s: origin.read_at_s,
            identity: file.identity,
            kind: file.choice.kind,
            channels: file.choice.channels,
            why: file.choice.why.to_owned(),
            marks: file.marks.to_string(),
            encoding: file.encoding,
        },
    }
}

/// chunks: those of the file, in order; each line is in one of them.
fn occurrence_rows(occurrences: Vec<Occurrence>, chunks: &[ChunkRow]) -> Vec<OccurrenceRow> {
    let row = |found: Occurrence| {
        let after = chunks.partition_point(|chunk| chunk.start_line <= found.line);
        Some(OccurrenceRow {
            chunk: chunks[..after].last()?.id,
            symbol: found.symbol,
            name: found.name,
            line: found.line,
            start_col: found.start_col,
            end_col: found.end_col,
            is_definition: found.is_definition,
        })
    };
    occurrences.into_iter().filter_map(row).collect()
}
