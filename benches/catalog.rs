//! How long does it take to read rows of the catalog, and to write them?
//!
//! Corpus: 100,000 chunks (500 in a smoke run) of about 900 bytes of text with headers, ten per file,
//! generated from a seed. Ids are drawn uniformly from all of them. Each pass measures what a caller
//! sees: what an answer shows of each chunk, text included, in the requested order.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::path::Path;

use codeintel::base::hit::ChunkId;
use codeintel::corpus::chunk::SymbolKind;
use codeintel::corpus::source::{Channels, FileIdentity, FileKind};
use codeintel::index::catalog::{
    Catalog, CatalogWriter, ChunkRow, FileRow, FileRows, RefRow, ScopeSpec, SymbolRow,
};
use divan::{Bencher, black_box};

use support::size;

mod support;

const CHUNKS_A_FILE: u32 = 10;

fn main() {
    divan::main();
}

/// Chunks of the corpus.
fn chunks() -> u32 {
    size(100_000, 500) as u32
}

fn chunk(path: &str, id: u32, random: &mut fastrand::Rng) -> ChunkRow {
    let mut text = String::with_capacity(1200);
    while text.len() < 900 {
        text += &format!("    let value_{} = call_{}(", random.u32(0..5000), random.u32(0..900));
        text += &format!("{}, \"{}\")?;\n", random.u32(0..77), random.u32(0..u32::MAX));
    }
    ChunkRow {
        id: ChunkId(id),
        path: path.to_owned(),
        language: "rust".to_owned(),
        start_line: id,
        end_line: id + 20,
        start_byte: id,
        end_byte: id + 900,
        header: format!("{path}\nimpl Thing\nfn name_{id}(&self) -> Result<()>"),
        text,
        enclosing: vec!["Thing".to_owned()],
        signature: Some(format!("fn name_{id}(&self) -> Result<()>")),
        doc: Some(format!("What function {id} does.")),
        hash: [id as u8; 32],
        tokens: 230,
    }
}

fn write(at: &Path) {
    let mut random = fastrand::Rng::with_seed(88_172_645_463_325_252);
    let mut writer = CatalogWriter::create(at).expect("an empty folder");
    for first in (0..chunks()).step_by(CHUNKS_A_FILE as usize) {
        let path = format!("src/folder_{}/file_{first}.rs", first / 500);
        let ids = first..first + CHUNKS_A_FILE;
        let file = FileRow {
            path: path.clone(),
            root: "/repo".to_owned(),
            language: "rust".to_owned(),
            size_bytes: 9000,
            modified_ns: 1,
            hash: [7; 32],
            lines: 200,
            first_chunk: ChunkId(first),
            chunk_count: CHUNKS_A_FILE,
            commit_id: None,
            commit_time_s: None,
            author: None,
            indexed_at_s: 1,
            identity: FileIdentity::default(),
            kind: FileKind::Code,
            channels: Channels::Every,
            why: String::new(),
            marks: String::new(),
            encoding: None,
        };
        let chunks: Vec<_> = ids.clone().map(|id| chunk(&path, id, &mut random)).collect();
        let symbol = |id: u32| SymbolRow {
            name: format!("name_{id}"),
            qualified: format!("Thing::name_{id}"),
            kind: SymbolKind::Method,
            signature: format!("fn name_{id}(&self) -> Result<()>"),
            doc: None,
            path: path.clone(),
            start_line: id,
            end_line: id + 20,
            start_col: 4,
            chunk: ChunkId(id),
        };
        let symbols: Vec<_> = ids.clone().map(symbol).collect();
        let used =
            |id: u32| RefRow { name: format!("call_{}", id % 900), chunk: ChunkId(id), line: id };
        let refs: Vec<_> = ids.map(used).collect();
        let rows = FileRows { file, chunks, symbols, references: refs, occurrences: Vec::new() };
        writer.append_file(rows).expect("room on the disk");
    }
    writer.finish().expect("room on the disk");
}

fn corpus() -> (tempfile::TempDir, Catalog) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("catalog.duckdb");
    write(&path);
    let catalog = Catalog::open(&path).expect("it was just written");
    (folder, catalog)
}

#[divan::bench(args = [1, 8, 20, 64, 100, 256], sample_count = 200)]
fn hydrate(bencher: Bencher<'_, '_>, n: usize) {
    let (_folder, catalog) = corpus();
    let mut random = fastrand::Rng::with_seed(2_463_534_242);
    bencher
        .with_inputs(|| (0..n).map(|_| ChunkId(random.u32(0..chunks()))).collect::<Vec<_>>())
        .bench_local_values(|ids| black_box(catalog.rows(&ids)));
}

#[divan::bench(sample_count = 10)]
fn read_every_file_row(bencher: Bencher<'_, '_>) {
    let (_folder, catalog) = corpus();
    bencher.bench_local(|| black_box(catalog.files()));
}

#[divan::bench(sample_count = 10)]
fn read_every_symbol_name(bencher: Bencher<'_, '_>) {
    let (_folder, catalog) = corpus();
    bencher.bench_local(|| black_box(catalog.symbols()));
}

#[divan::bench(sample_count = 20)]
fn scope_by_globs(bencher: Bencher<'_, '_>) {
    let (_folder, catalog) = corpus();
    let globs = ["src/folder_1*/**", "!*7.rs"].map(str::to_owned).to_vec();
    let spec = ScopeSpec { globs, languages: vec!["rust".to_owned()] };
    bencher.bench_local(|| black_box(catalog.scope(&spec)));
}

#[divan::bench(sample_count = 5)]
fn open(bencher: Bencher<'_, '_>) {
    let (folder, catalog) = corpus();
    drop(catalog);
    let path = folder.path().join("catalog.duckdb");
    bencher.bench_local(|| black_box(Catalog::open(&path).is_ok()));
}

#[divan::bench(sample_count = 3)]
fn write_100_000_chunks(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(|| tempfile::tempdir().expect("a temporary folder"))
        .bench_local_refs(|folder| write(&folder.path().join("catalog.duckdb")));
}
