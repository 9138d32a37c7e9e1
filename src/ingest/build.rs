//! How are changed files written into a version that is being staged?
//!
//! Three threads, three blocks under way: files are chunked on all cores, embedded, and written to
//! the catalog, the lexical index and the vectors, in the order of the listing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::prepare::{Block, Prepared, prepare};
use super::progress::Progress;
use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;
use crate::base::telemetry::RunContext;
use crate::base::vector::Matrix;
use crate::corpus::chunk::{Chunk, Chunker};
use crate::corpus::source::{Commit, Entry, Repo, RepoPath, Skipped};
use crate::embedding::engine::{EmbedRequest, Engine, PromptKind};
use crate::index::catalog::{CatalogWriter, ChunkRow, FileRow, RefRow, SymbolRow};
use crate::index::{DenseIndex, LexicalDoc, LexicalWriter};

/// Vectors of the version before, found by the hash of the text that they were made from.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub rows: &'a HashMap<[u8; 32], ChunkId>,
    pub dense: &'a DenseIndex,
}

impl Known<'_> {
    fn vector(&self, hash: &[u8; 32]) -> Option<Result<Vec<f32>>> {
        self.rows.get(hash).map(|id| self.dense.vector(*id))
    }
}

/// What is read to build.
pub struct Sources<'a> {
    pub repo: &'a Repo,
    pub entries: &'a [Entry],
    pub commits: HashMap<RepoPath, Commit>,
    pub chunker: Chunker,
    pub engine: &'a Engine,
    pub known: Option<Known<'a>>,
    pub progress: &'a Progress,
}

/// What is written.
pub struct Target {
    pub catalog: CatalogWriter,
    pub lexical: LexicalWriter,
    /// The vectors of the new rows, `[rows, d]`.
    pub vectors: Matrix,
    /// The id of the next new row.
    pub next: u32,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Built {
    pub files: usize,
    pub chunks: usize,
    /// Chunks whose vector neither the version before nor the cache had.
    pub embedded: usize,
    /// Tokens that the model read for them.
    pub tokens: usize,
    pub truncated: usize,
    pub skipped: Skipped,
}

struct Embedded {
    block: Block,
    /// One row for each chunk of the block, in order.
    vectors: Matrix,
    embedded: usize,
    tokens: usize,
    truncated: usize,
}

/// Chunks, embeds and writes `sources.entries`.
pub fn build(sources: &Sources<'_>, target: &mut Target, cx: &RunContext) -> Result<Built> {
    std::thread::scope(|scope| {
        let (block_sender, blocks) = sync_channel(1);
        let (embedded_sender, embedded) = sync_channel(1);
        let Sources { repo, entries, chunker, engine, .. } = sources;
        scope.spawn(move || prepare(repo, entries, chunker, engine.tokenizer(), &block_sender));
        scope.spawn(move || embed_blocks(sources, &blocks, &embedded_sender, cx));
        write_blocks(sources, target, &embedded)
    })
}

fn embed_blocks(
    sources: &Sources<'_>,
    blocks: &Receiver<Result<Block>>,
    embedded: &SyncSender<Result<Embedded>>,
    cx: &RunContext,
) {
    for block in blocks {
        let result = block.and_then(|block| embed_block(sources, block, cx));
        let failed = result.is_err();
        // The writer hangs up when it fails; either way there is nothing left to do.
        if embedded.send(result).is_err() || failed {
            return;
        }
    }
}

fn embed_block(sources: &Sources<'_>, block: Block, cx: &RunContext) -> Result<Embedded> {
    let chunks: Vec<&Chunk> = block.files.iter().flat_map(|f| &f.chunks.chunks).collect();
    let old: Vec<Option<Vec<f32>>> = chunks
        .iter()
        .map(|chunk| sources.known.and_then(|known| known.vector(&chunk.hash)).transpose())
        .collect::<Result<_>>()?;
    let texts: Vec<String> = chunks
        .iter()
        .zip(&old)
        .filter(|(_, old)| old.is_none())
        .map(|(chunk, _)| chunk.embedded_text())
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let request = EmbedRequest::bulk(&texts, PromptKind::Document);
    let computed = sources.engine.stats().tokens;
    let fresh = sources.engine.embed(request, cx)?;
    let tokens = (sources.engine.stats().tokens - computed) as usize;

    let mut vectors = Matrix::with_capacity(chunks.len(), fresh.vectors.d());
    let mut rows = fresh.vectors.rows();
    for old in &old {
        let fresh = || rows.next().expect("one vector for each text sent");
        vectors.push_row(old.as_deref().unwrap_or_else(fresh));
    }
    sources.progress.add_chunks(chunks.len(), tokens);
    Ok(Embedded {
        vectors,
        embedded: texts.len() - fresh.cache_hits,
        tokens,
        truncated: fresh.truncated,
        block,
    })
}

fn write_blocks(
    sources: &Sources<'_>,
    target: &mut Target,
    embedded: &Receiver<Result<Embedded>>,
) -> Result<Built> {
    let mut built = Built::default();
    for part in embedded {
        let part = part?;
        let mut vectors = part.vectors.rows();
        for prepared in &part.block.files {
            let commit = sources.commits.get(&prepared.file.path);
            let root = sources.repo.root_of(&prepared.file.path).unwrap_or(Path::new(""));
            target.write_file(prepared, root, commit)?;
            for _ in &prepared.chunks.chunks {
                target.vectors.push_row(vectors.next().expect("one vector for each chunk"));
            }
            built.chunks += prepared.chunks.chunks.len();
        }
        built.files += part.block.files.len();
        built.embedded += part.embedded;
        built.tokens += part.tokens;
        built.truncated += part.truncated;
        part.block.skipped.iter().for_each(|reason| built.skipped.add(*reason));
        let files = part.block.files.len() + part.block.skipped.len();
        sources.progress.add_files(files, part.block.bytes);
    }
    Ok(built)
}

impl Target {
    fn write_file(
        &mut self,
        prepared: &Prepared,
        root: &Path,
        commit: Option<&Commit>,
    ) -> Result<()> {
        let Prepared { file, chunks, read_at_s } = prepared;
        let path = file.path.as_str();
        let first = self.next;
        let id = |ordinal: u32| ChunkId(first + ordinal);
        let count = u32::try_from(chunks.chunks.len()).unwrap_or(u32::MAX);
        self.next = first.checked_add(count).ok_or(Error::Overloaded {
            what: "the index",
            limit: format!("{} chunks", u32::MAX),
            retry_ms: None,
        })?;
        let row = FileRow {
            path: path.to_owned(),
            root: root.to_string_lossy().into_owned(),
            language: file.language.name().to_owned(),
            size_bytes: file.size_bytes,
            modified_ns: file.modified_ns,
            hash: file.hash,
            lines: file.text.lines().count() as u32,
            first_chunk: ChunkId(first),
            chunk_count: count,
            commit_id: commit.map(|c| c.id.clone()),
            commit_time_s: commit.map(|c| c.time_s),
            author: commit.map(|c| c.author.clone()),
            indexed_at_s: *read_at_s,
        };
        let mut rows = Vec::with_capacity(chunks.chunks.len());
        for (ordinal, chunk) in (0..).zip(&chunks.chunks) {
            self.add_lexical(id(ordinal), prepared, chunk)?;
            rows.push(chunk_row(id(ordinal), prepared, chunk));
        }
        let symbols: Vec<SymbolRow> = chunks
            .symbols
            .iter()
            .map(|s| SymbolRow {
                name: s.name.clone(),
                qualified: s.qualified.clone(),
                kind: s.kind.as_str().to_owned(),
                signature: s.signature.clone(),
                doc: s.doc.clone(),
                path: path.to_owned(),
                start_line: s.start_line,
                end_line: s.end_line,
                start_col: s.start_col,
                chunk: id(s.chunk),
            })
            .collect();
        let references: Vec<RefRow> = chunks
            .references
            .iter()
            .map(|r| RefRow { name: r.name.clone(), chunk: id(r.chunk), line: r.line })
            .collect();
        self.catalog.append_file(&row, &rows, &symbols, &references)
    }

    fn add_lexical(&mut self, id: ChunkId, prepared: &Prepared, chunk: &Chunk) -> Result<()> {
        let starts: Vec<_> =
            chunk.symbols.iter().map(|&i| &prepared.chunks.symbols[i as usize]).collect();
        let join = |names: Vec<&str>| names.join(" ");
        self.lexical.add(&LexicalDoc {
            id,
            name: &join(starts.iter().map(|s| s.name.as_str()).collect()),
            qualified: &chunk.enclosing.join(" "),
            signature: &join(starts.iter().map(|s| s.signature.as_str()).collect()),
            body: &chunk.text,
            comments: "",
            doc: chunk.doc.as_deref().unwrap_or_default(),
            path: prepared.file.path.as_str(),
        })
    }
}

fn chunk_row(id: ChunkId, prepared: &Prepared, chunk: &Chunk) -> ChunkRow {
    ChunkRow {
        id,
        path: prepared.file.path.as_str().to_owned(),
        language: prepared.file.language.name().to_owned(),
        start_line: chunk.start_line,
        end_line: chunk.end_line,
        start_byte: chunk.start_byte,
        end_byte: chunk.end_byte,
        header: chunk.header.clone(),
        text: chunk.text.clone(),
        enclosing: chunk.enclosing.clone(),
        signature: chunk.signature.clone(),
        doc: chunk.doc.clone(),
        hash: chunk.hash,
        tokens: chunk.tokens,
    }
}
