//! How does a large version of an index come about without embedding it?
//!
//! As `ingest` writes one, but for the vectors: files are chunked for real, and catalog, lexical
//! index and symbols are real; the vectors are drawn from a seed.

use std::path::{Path, PathBuf};

use codeintel::index::catalog::{Catalog, CatalogWriter, ChunkRow, FileRow, RefRow, SymbolRow};

use codeintel::base::config::DenseKind;
use codeintel::base::hit::ChunkId;
use codeintel::corpus::chunk::{Chunk, Chunker, FileChunks, HEADER_VERSION, SymbolKind};
use codeintel::corpus::source::SourceFile;
use codeintel::embedding::engine::Engine;
use codeintel::index::versions::{
    DataFolder, FORMAT, IndexVersion, ModelRecord, VersionManifest, now,
};
use codeintel::index::{DenseIndex, LexicalDoc, LexicalWriter, SymbolEntry, SymbolIndex};
use rayon::prelude::*;
use tempfile::TempDir;

use super::corpus::{CHUNK_TOKENS_MAX, read, registry_sources};
use super::vectors::clustered;
use super::{ModelTokens, smoke};

/// Files that are chunked together.
const BLOCK_FILES: usize = 256;
const SEED: u64 = 1234;

/// The version of exactly `chunks` chunks, from the cargo target folder where an earlier run left it.
/// A smoke run proves that it can be built: it is built anew, in a folder that goes with the answer.
pub fn version(chunks: usize, engine: &Engine) -> (IndexVersion, Option<TempDir>) {
    let (root, paths) = registry_sources();
    let temporary = smoke().then(|| tempfile::tempdir().expect("a temporary folder"));
    let data = match &temporary {
        Some(folder) => DataFolder::new(folder.path()),
        None => DataFolder::new(kept_folder(chunks, engine, (&root, &paths))),
    };
    let version = data.current().unwrap_or_else(|_| build(&data, (&root, &paths), chunks, engine));
    (version, temporary)
}

/// Where a version of these sources and this model is kept between runs.
fn kept_folder(chunks: usize, engine: &Engine, (root, paths): (&Path, &[PathBuf])) -> PathBuf {
    let mut key = blake3::Hasher::new();
    key.update(format!("{chunks} {FORMAT} {HEADER_VERSION} {SEED}").as_bytes());
    key.update(engine.identity().index_key().as_bytes());
    for path in paths {
        key.update(path.strip_prefix(root).unwrap_or(path).as_os_str().as_encoded_bytes());
    }
    let name = format!("search-{chunks}-{}", &key.finalize().to_hex()[..12]);
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The parts of a version that are written file by file.
struct Target {
    catalog: CatalogWriter,
    lexical: LexicalWriter,
    next: usize,
    files: usize,
}

fn build(
    data: &DataFolder,
    (root, paths): (&Path, &[PathBuf]),
    chunks: usize,
    engine: &Engine,
) -> IndexVersion {
    eprintln!("building a version of {chunks} chunks once");
    let lock = data.lock().expect("nobody else builds this version");
    let staging = data.stage(&lock).expect("room on the disk");
    let folder = staging.folder().clone();
    let catalog = folder.catalog();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut target = Target {
        catalog: CatalogWriter::create(&catalog).expect("an empty folder"),
        lexical: LexicalWriter::create(&folder.lexical(), threads).expect("an empty folder"),
        next: 0,
        files: 0,
    };
    let chunker = Chunker::new(CHUNK_TOKENS_MAX, engine.tokenizer().specials());
    for block in paths.chunks(BLOCK_FILES) {
        let cut = |path: &PathBuf| {
            let file = read(root, path)?;
            let cut = chunker.chunk(&file, &ModelTokens(engine.tokenizer()));
            Some((file, cut))
        };
        let files: Vec<_> = block.par_iter().filter_map(cut).collect();
        for (file, mut cut) in files {
            shorten(&mut cut, chunks - target.next);
            target.write(&file, &cut);
        }
        if target.next == chunks {
            break;
        }
    }
    assert_eq!(target.next, chunks, "the cargo registry holds too few sources");
    target.lexical.finish().expect("room on the disk");
    target.catalog.finish().expect("room on the disk");
    write_symbols(&catalog, &folder.symbols());
    let d = engine.identity().dim;
    let vectors = clustered(chunks, d, SEED);
    let dense = DenseIndex::build(&vectors, DenseKind::Auto, SEED).expect("vectors are finite");
    dense.save(&folder.dense()).expect("room on the disk");
    let manifest = VersionManifest {
        format: FORMAT,
        version: staging.name().to_owned(),
        created_at: now(),
        roots: vec!["registry".to_owned()],
        model: ModelRecord {
            name: engine.identity().name.clone(),
            key: engine.identity().index_key(),
            dim: d,
        },
        chunk_tokens_max: CHUNK_TOKENS_MAX,
        header_version: HEADER_VERSION,
        base_chunks: chunks,
        total_chunks: chunks,
        live_chunks: chunks,
        files: target.files,
        dense_factory: dense.factory().to_owned(),
        dense_kind: dense.kind_name().to_owned(),
        parts: Vec::new(),
    };
    let version = staging.publish(manifest, None).expect("room on the disk");
    data.gc(&lock, 1).expect("old versions can be removed");
    version
}

/// Keeps the first `most` chunks and what lies in them.
fn shorten(cut: &mut FileChunks, most: usize) {
    cut.chunks.truncate(most);
    cut.symbols.retain(|symbol| (symbol.chunk as usize) < most);
    cut.references.retain(|reference| (reference.chunk as usize) < most);
}

impl Target {
    fn write(&mut self, file: &SourceFile, cut: &FileChunks) {
        let first = self.next as u32;
        let id = |ordinal: u32| ChunkId(first + ordinal);
        if cut.chunks.is_empty() {
            return;
        }
        self.next += cut.chunks.len();
        self.files += 1;
        let path = file.path.as_str().to_owned();
        let row = FileRow {
            path: path.clone(),
            root: "registry".to_owned(),
            language: file.language.name().to_owned(),
            size_bytes: file.size_bytes,
            modified_ns: file.modified_ns,
            hash: file.hash,
            lines: file.text.lines().count() as u32,
            first_chunk: ChunkId(first),
            chunk_count: cut.chunks.len() as u32,
            commit_id: None,
            commit_time_s: None,
            author: None,
            indexed_at_s: 1,
        };
        let chunks: Vec<_> =
            (0..).zip(&cut.chunks).map(|(i, chunk)| chunk_row(id(i), file, chunk)).collect();
        let symbols = cut.symbols.iter().map(|s| SymbolRow {
            name: s.name.clone(),
            qualified: s.qualified.clone(),
            kind: s.kind.as_str().to_owned(),
            signature: s.signature.clone(),
            doc: s.doc.clone(),
            path: path.clone(),
            start_line: s.start_line,
            end_line: s.end_line,
            start_col: s.start_col,
            chunk: id(s.chunk),
        });
        let references = cut.references.iter().map(|r| RefRow {
            name: r.name.clone(),
            chunk: id(r.chunk),
            line: r.line,
        });
        let (symbols, references): (Vec<_>, Vec<_>) = (symbols.collect(), references.collect());
        self.catalog.append_file(&row, &chunks, &symbols, &references).expect("room on the disk");
        for (i, chunk) in (0..).zip(&cut.chunks) {
            add_lexical(&self.lexical, id(i), file, cut, chunk);
        }
    }
}

/// Adds a chunk as `ingest` does.
pub fn add_lexical(
    writer: &LexicalWriter,
    id: ChunkId,
    file: &SourceFile,
    cut: &FileChunks,
    chunk: &Chunk,
) {
    let starts: Vec<_> =
        chunk.symbols.iter().filter_map(|&i| cut.symbols.get(i as usize)).collect();
    let join = |words: Vec<&str>| words.join(" ");
    let doc = LexicalDoc {
        id,
        name: &join(starts.iter().map(|s| s.name.as_str()).collect()),
        qualified: &chunk.enclosing.join(" "),
        signature: &join(starts.iter().map(|s| s.signature.as_str()).collect()),
        body: &chunk.text,
        comments: "",
        doc: chunk.doc.as_deref().unwrap_or_default(),
        path: file.path.as_str(),
    };
    writer.add(&doc).expect("room on the disk");
}

fn chunk_row(id: ChunkId, file: &SourceFile, chunk: &Chunk) -> ChunkRow {
    ChunkRow {
        id,
        path: file.path.as_str().to_owned(),
        language: file.language.name().to_owned(),
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

fn write_symbols(catalog: &Path, folder: &Path) {
    let catalog = Catalog::open(catalog).expect("it was just written");
    let symbols = catalog.symbols().expect("it was just written");
    let entries = symbols.iter().map(|symbol| SymbolEntry {
        name: &symbol.name,
        qualified: &symbol.qualified,
        kind: SymbolKind::parse(&symbol.kind).unwrap_or(SymbolKind::Function),
        id: symbol.chunk,
    });
    let index = SymbolIndex::build(entries).expect("names of a catalog can be indexed");
    index.save(folder).expect("room on the disk");
}
