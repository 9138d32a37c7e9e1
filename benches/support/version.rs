//! A large version of an index for benches, with vectors that are drawn instead of embedded.
//!
//! The files are chunked, and the catalog, the lexical index and the symbols are written as in an
//! ingest. The vectors are drawn from a seed.

use std::path::{Path, PathBuf};

use codeintel::base::config::DenseKind;
use codeintel::corpus::chunk::{Chunker, FileChunks, HEADER_VERSION};
use codeintel::embedding::engine::Engine;
use codeintel::index::DenseIndex;
use codeintel::index::versions::{DataFolder, FORMAT, IndexVersion, ModelRecord};
use codeintel::ingest::{FileOrigin, MadeFrom, Progress, VersionWriter};
use rayon::prelude::*;
use tempfile::TempDir;

use super::corpus::{CHUNK_TOKENS_MAX, read, registry_sources};
use super::vectors::clustered;
use super::{ModelTokens, run, smoke};

/// Files that are chunked together.
const BLOCK_FILES: usize = 256;
const SEED: u64 = 1234;

/// A version of exactly `chunks` chunks. It is kept in the cargo target folder between runs. A smoke run
/// builds it in a temporary folder, which is returned with it, to prove that it can be built.
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

/// The folder in which a version of these sources and this model is kept.
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

fn build(
    data: &DataFolder,
    (root, paths): (&Path, &[PathBuf]),
    chunks_max: usize,
    engine: &Engine,
) -> IndexVersion {
    eprintln!("building a version of {chunks_max} chunks once");
    let lock = data.lock().expect("nobody else builds this version");
    let staging = data.stage(&lock).expect("room on the disk");
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut writer = VersionWriter::create(staging, threads).expect("an empty folder");
    let chunker = Chunker::new(CHUNK_TOKENS_MAX, engine.tokenizer().specials());
    let origin = FileOrigin { root: Path::new("registry"), commit: None, read_at_s: 1 };
    let mut written = 0;
    for block in paths.chunks(BLOCK_FILES) {
        let chunk = |path: &PathBuf| {
            let file = read(root, path)?;
            let chunks = chunker.chunk(&file, &ModelTokens(engine.tokenizer()));
            Some((file, chunks))
        };
        let files: Vec<_> = block.par_iter().filter_map(chunk).collect();
        for (file, mut chunks) in files {
            shorten(&mut chunks, chunks_max - written);
            if chunks.chunks.is_empty() {
                continue;
            }
            written += chunks.chunks.len();
            writer.add_file(file, chunks, Vec::new(), &origin).expect("room on the disk");
        }
        if written == chunks_max {
            break;
        }
    }
    assert_eq!(written, chunks_max, "the cargo registry holds too few sources");
    let d = engine.identity().dim;
    let dense = || DenseIndex::build(&clustered(chunks_max, d, SEED), DenseKind::Auto, SEED);
    let made_from = MadeFrom {
        roots: vec!["registry".to_owned()],
        model: ModelRecord {
            name: engine.identity().name.clone(),
            key: engine.identity().index_key(),
            dim: d,
            parts: None,
        },
        sparse: None,
        model_state: String::new(),
        policy: String::new(),
        scip: String::new(),
        chunk_tokens_max: CHUNK_TOKENS_MAX,
    };
    let version = writer.publish(dense, || Ok(None), made_from, &Progress::default(), &run());
    data.gc(&lock, 1).expect("old versions can be removed");
    version.expect("room on the disk")
}

/// Keeps the first `chunks_max` chunks and what they contain.
fn shorten(file: &mut FileChunks, chunks_max: usize) {
    file.chunks.truncate(chunks_max);
    file.symbols.retain(|symbol| (symbol.chunk as usize) < chunks_max);
    file.references.retain(|reference| (reference.chunk as usize) < chunks_max);
}
