//! The corpora of the benches: the sources of this repository, and those of its dependencies.

use std::fs;
use std::path::{Path, PathBuf};

use codeintel::corpus::chunk::{Chunker, FileChunks};
use codeintel::corpus::source::SourceFile;
use codeintel::embedding::token::Tokenizer;

use super::ModelTokens;

/// Tokens of a chunk, as the settings' default.
pub const CHUNK_TOKENS_MAX: usize = 256;

const ENDS: [&str; 6] = ["rs", "c", "cpp", "h", "py", "md"];
/// Larger files of the registry are mostly written by programs: bindings and parser tables.
const FILE_BYTES_MAX: u64 = 128 << 10;

/// This repository's `src`, in the order of the paths.
pub fn own_sources() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join("src"), u64::MAX, &mut paths);
    paths.iter().filter_map(|path| read(root, path)).collect()
}

/// The sources of the crates in the cargo registry, in the order of the paths; the folder first.
pub fn registry_sources() -> (PathBuf, Vec<PathBuf>) {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home);
    let root = cargo.expect("CARGO_HOME or HOME is set").join("registry/src");
    let mut paths = Vec::new();
    collect(&root, FILE_BYTES_MAX, &mut paths);
    assert!(!paths.is_empty(), "no sources in the cargo registry; run: cargo fetch");
    (root, paths)
}

fn collect(folder: &Path, bytes_max: u64, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        match entry.metadata() {
            Ok(about) if about.is_dir() => collect(&path, bytes_max, found),
            Ok(about) if about.is_file() && about.len() <= bytes_max && is_wanted(&path) => {
                found.push(path);
            }
            _ => {}
        }
    }
}

fn is_wanted(path: &Path) -> bool {
    path.extension().is_some_and(|end| ENDS.iter().any(|wanted| end == *wanted))
}

/// A file of text with its path relative to `root`; nothing for any other file.
pub fn read(root: &Path, path: &Path) -> Option<SourceFile> {
    let relative = path.strip_prefix(root).expect("found below the root");
    Some(SourceFile::from_text(&relative.to_string_lossy(), fs::read_to_string(path).ok()?))
}

pub fn bytes(files: &[SourceFile]) -> usize {
    files.iter().map(|file| file.text.len()).sum()
}

/// Each file with its chunks, as `codeintel index` cuts them.
pub fn chunked(files: Vec<SourceFile>, tokenizer: &Tokenizer) -> Vec<(SourceFile, FileChunks)> {
    let chunker = Chunker::new(CHUNK_TOKENS_MAX, tokenizer.specials());
    let cut = |file: SourceFile| {
        let chunks = chunker.chunk(&file, &ModelTokens(tokenizer));
        (file, chunks)
    };
    files.into_iter().map(cut).collect()
}
