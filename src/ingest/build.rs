//! Chunks, embeds and writes the changed files of a version.
//!
//! Three threads work on three blocks of files at once: one is chunked on all cores, one is embedded,
//! and one is written, in the order of the listing.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::expand::{Expanded, expand};
use super::prepare::{Block, prepare};
use super::progress::{BlockProgress, Progress};
use super::version_writer::{FileOrigin, VersionWriter};
use crate::base::error::{Error, ErrorKind, Result, Warning};
use crate::base::hit::ChunkId;
use crate::base::panic::guarded;
use crate::base::telemetry::RunContext;
use crate::base::vector::Matrix;
use crate::corpus::chunk::{Chunk, Chunker};
use crate::corpus::git::Commit;
use crate::corpus::scip::ScipIndex;
use crate::corpus::source::{Channels, Entry, Repo, RepoPath, Skipped};
use crate::embedding::engine::{EmbedRequest, Embeddings, Engine, PromptKind};
use crate::index::{DenseIndex, Impacts, SparseIndex};

/// Chunks of a block that may stay without a vector; more are an error. Each costs a request with the
/// other texts of its block.
const NOT_EMBEDDED_MAX: usize = 32;

/// Vectors of the previous version, by the hash of the embedded text.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub rows: &'a HashMap<[u8; 32], ChunkId>,
    pub dense: &'a DenseIndex,
    /// The sparse index, if its model is still the same.
    pub sparse: Option<&'a SparseIndex>,
}

impl Known<'_> {
    /// The vector of a text. Zeros stand for none.
    fn vector(&self, hash: &[u8; 32]) -> Result<Option<Vec<f32>>> {
        let vector = self.rows.get(hash).map(|id| self.dense.vector(*id)).transpose()?;
        Ok(vector.filter(|vector| vector.iter().any(|value| *value != 0.0)))
    }
}

/// The files to build from, and what chunks and embeds them.
pub struct Sources<'a> {
    pub repo: &'a Repo,
    pub entries: &'a [Entry],
    pub commits: HashMap<RepoPath, Commit>,
    pub chunker: Chunker,
    pub scip: &'a ScipIndex,
    pub engine: &'a Engine,
    /// What expands the chunks, if there is a sparse index.
    pub expander: Option<&'a Engine>,
    pub known: Option<Known<'a>>,
    pub progress: &'a Arc<Progress>,
}

/// The vectors and counts of a build.
#[derive(Debug)]
pub struct Built {
    /// The vectors of the new rows, `[chunks, d]`.
    pub vectors: Matrix,
    /// The impacts of the new rows, `[chunks]`; none without a sparse index.
    pub impacts: Vec<Impacts>,
    /// Chunks that were expanded, because the previous version does not have them.
    pub expanded: usize,
    /// Those of them that exceeded what the sparse model reads.
    pub expansions_truncated: usize,
    pub files: usize,
    pub chunks: usize,
    /// Chunks whose vector was neither in the previous version nor in the cache.
    pub embedded: usize,
    /// Tokens that were embedded for them.
    pub tokens: usize,
    pub truncated: usize,
    pub skipped: Skipped,
    /// Files that `index.scip` describes as they are not.
    pub scip_misfits: Vec<RepoPath>,
}

struct Embedded {
    block: Block,
    /// One row per chunk of the block, in order.
    vectors: Matrix,
    expanded: Expanded,
    embedded: usize,
    tokens: usize,
    truncated: usize,
}

/// Chunks, embeds and writes `sources.entries`.
pub fn build(
    sources: &Sources<'_>,
    writer: &mut VersionWriter<'_>,
    cx: &RunContext,
) -> Result<Built> {
    std::thread::scope(|scope| {
        let (block_sender, blocks) = sync_channel(1);
        let (embedded_sender, embedded) = sync_channel(1);
        let Sources { repo, entries, chunker, scip, engine, .. } = sources;
        let tokenizer = engine.tokenizer();
        scope.spawn(move || prepare(repo, entries, chunker, scip, tokenizer, &block_sender));
        scope.spawn(move || embed_blocks(sources, &blocks, &embedded_sender, cx));
        write_blocks(sources, writer, &embedded)
    })
}

fn embed_blocks(
    sources: &Sources<'_>,
    blocks: &Receiver<Result<Block>>,
    embedded: &SyncSender<Result<Embedded>>,
    cx: &RunContext,
) {
    for block in blocks {
        let embed = |block| guarded("the embedding of files", || embed_block(sources, block, cx));
        let result = block.and_then(embed);
        let failed = result.is_err();
        // If sending fails, the writer has failed and nothing is left to do.
        if embedded.send(result).is_err() || failed {
            return;
        }
    }
}

fn embed_block(sources: &Sources<'_>, block: Block, cx: &RunContext) -> Result<Embedded> {
    let chunks = block.files.iter().flat_map(|prepared| {
        let channels = prepared.file.choice.channels;
        prepared.chunks.chunks.iter().map(move |chunk| (chunk, channels))
    });
    let chunks: Vec<(&Chunk, Channels)> = chunks.collect();
    let expanded = match sources.expander {
        Some(engine) => expand(engine, &chunks, sources.known, cx)?,
        None => Expanded::default(),
    };
    for (chunk, error) in &expanded.failed {
        cx.warn(left_out(&block, *chunk, "sparse vector", error));
    }
    let zeros = vec![0.0; sources.engine.identity().dim];
    let known = |(chunk, channels): &(&Chunk, Channels)| match (channels, sources.known) {
        (Channels::Words, _) => Ok(Some(zeros.clone())),
        (Channels::Every, Some(known)) => known.vector(&chunk.hash),
        (Channels::Every, None) => Ok(None),
    };
    let old: Vec<Option<Vec<f32>>> = chunks.iter().map(known).collect::<Result<_>>()?;
    let texts: Vec<String> = chunks
        .iter()
        .zip(&old)
        .filter(|(_, old)| old.is_none())
        .map(|((chunk, _), _)| chunk.embedded_text())
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let counted = Arc::new(count_block(sources, &block, &old));
    let cx = &cx.with_items_done({
        let counted = counted.clone();
        move |texts| counted.embedded(texts)
    });
    let Fresh { embeddings, failed } = embed_texts(sources.engine, &texts, cx)?;
    let mut vectors = Matrix::with_capacity(chunks.len(), zeros.len());
    let mut rows = embeddings.vectors.rows();
    let mut fresh = (0..texts.len()).map(|text| match failed.get(&text) {
        None => Ok(rows.next().expect("one vector for each text that did not fail")),
        Some(error) => Err(error),
    });
    for (row, old) in old.iter().enumerate() {
        let vector = old.as_deref().map(Ok);
        match vector.unwrap_or_else(|| fresh.next().expect("a result for each text")) {
            Ok(vector) => vectors.push_row(vector),
            Err(error) => {
                vectors.push_row(&zeros);
                cx.warn(left_out(&block, row, "vector", error));
            }
        }
    }
    let tokens = embeddings.computed_tokens;
    counted.finish(tokens);
    Ok(Embedded {
        vectors,
        expanded,
        embedded: embeddings.vectors.n() - embeddings.cache_hits,
        tokens,
        truncated: embeddings.truncated,
        block,
    })
}

/// What `block` adds to the progress. known: `[chunks]`, the vectors that need not be computed.
fn count_block(sources: &Sources<'_>, block: &Block, known: &[Option<Vec<f32>>]) -> BlockProgress {
    let mut chunks = known.iter();
    let mut texts = 0;
    let ends = block.files.iter().map(|file| {
        let chunks = chunks.by_ref().take(file.chunks.chunks.len());
        texts += chunks.filter(|known| known.is_none()).count();
        texts
    });
    let ends = ends.collect();
    let skipped = block.skipped.len();
    BlockProgress::new(sources.progress.clone(), ends, skipped, known.len(), block.bytes)
}

/// The vectors of some texts.
struct Fresh {
    /// Those of the texts that are not in `failed`.
    embeddings: Embeddings,
    /// By text, why the model cannot embed it.
    failed: BTreeMap<usize, Arc<Error>>,
}

/// Embeds `texts`, without those that the model cannot embed.
fn embed_texts(engine: &Engine, texts: &[&str], cx: &RunContext) -> Result<Fresh> {
    let compute =
        |texts: &[&str]| engine.embed(EmbedRequest::bulk(texts, PromptKind::Document), cx);
    let (embeddings, failed) = without_failing(texts, compute)?;
    Ok(Fresh { embeddings: embeddings.unit(engine.identity()), failed })
}

/// The results of `compute` for `texts` without those that the model refuses, and why by text: one of
/// them must not end the run.
pub(super) fn without_failing<T>(
    texts: &[&str],
    compute: impl Fn(&[&str]) -> Result<T>,
) -> Result<(T, BTreeMap<usize, Arc<Error>>)> {
    let mut failed = BTreeMap::new();
    loop {
        let (kept, texts): (Vec<usize>, Vec<&str>) =
            texts.iter().enumerate().filter(|(text, _)| !failed.contains_key(text)).unzip();
        match compute(&texts) {
            Err(Error::Input { index, source })
                if source.kind() == ErrorKind::InvalidParameter
                    && failed.len() < NOT_EMBEDDED_MAX =>
            {
                failed.insert(kept[index], source);
            }
            results => return Ok((results?, failed)),
        }
    }
}

/// The warning about a chunk without a vector. chunk: its position in `block`; what: the vector that it
/// does not have.
fn left_out(block: &Block, chunk: usize, what: &str, error: &Error) -> Warning {
    let chunks = block.files.iter().flat_map(|prepared| {
        prepared.chunks.chunks.iter().map(|chunk| (&prepared.file.path, chunk))
    });
    let (path, chunk) = chunks.into_iter().nth(chunk).expect("a chunk of the block");
    let (first, last) = (chunk.start_line, chunk.end_line);
    let message = format!("{path} lines {first} to {last} have no {what}: {error}");
    Warning::new("not-embedded", message)
}

fn write_blocks(
    sources: &Sources<'_>,
    writer: &mut VersionWriter<'_>,
    embedded: &Receiver<Result<Embedded>>,
) -> Result<Built> {
    let mut built = Built {
        vectors: Matrix::with_capacity(0, sources.engine.identity().dim),
        impacts: Vec::new(),
        expanded: 0,
        expansions_truncated: 0,
        files: 0,
        chunks: 0,
        embedded: 0,
        tokens: 0,
        truncated: 0,
        skipped: Skipped::default(),
        scip_misfits: Vec::new(),
    };
    for part in embedded {
        let mut part = part?;
        let mut vectors = part.vectors.rows();
        let files = part.block.files.len();
        for prepared in part.block.files {
            let chunks = prepared.chunks.chunks.len();
            for _ in 0..chunks {
                built.vectors.push_row(vectors.next().expect("one vector for each chunk"));
            }
            let path = prepared.file.path.clone();
            let origin = FileOrigin {
                root: sources.repo.root_of(&path).unwrap_or(Path::new("")),
                commit: sources.commits.get(&path),
                read_at_s: prepared.read_at_s,
            };
            writer.add_file(prepared.file, prepared.chunks, prepared.occurrences, &origin)?;
            built.chunks += chunks;
        }
        built.impacts.append(&mut part.expanded.impacts);
        built.expanded += part.expanded.computed;
        built.expansions_truncated += part.expanded.truncated;
        built.files += files;
        built.embedded += part.embedded;
        built.tokens += part.tokens;
        built.truncated += part.truncated;
        built.scip_misfits.append(&mut part.block.scip_misfits);
        part.block.skipped.iter().for_each(|reason| built.skipped.add(*reason));
    }
    Ok(built)
}
