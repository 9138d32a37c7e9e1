//! How long does it take to build and to search each index?
//!
//! Measured: chunking files, with the tokenizer of the default model and with an estimate of tokens in
//! its place, to show the cost of the rest; the dense index, flat over 10,000 and ivf_flat over 100,000
//! seeded, clustered unit vectors of 384 values; the lexical and the symbol index over the chunks and
//! definitions of this repository's `src`. Recall is not measured here: tests hold a floor.
//!
//! Building a lexical index includes a sync of the disk. Searches are warm and come from one caller.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::sync::LazyLock;

use codeintel::base::hit::ChunkId;
use codeintel::base::vector::Matrix;
use codeintel::corpus::chunk::{Chunker, FileChunks, TokenCount};
use codeintel::corpus::source::SourceFile;
use codeintel::index::{
    DenseIndex, DenseParams, LexicalIndex, LexicalWriter, QueryText, SymbolEntry, SymbolIndex,
    dense::DenseKind,
};
use codeintel::ingest::add_lexical;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

use support::{ModelTokens, corpus, size, vectors};

mod support;

const D: usize = 384;
/// How deep a search asks its channels at the default limit.
const K: usize = 100;

type Files = Vec<(SourceFile, FileChunks)>;

static FILES: LazyLock<Files> =
    LazyLock::new(|| corpus::chunked(own_sources(), &support::tokenizer()));

fn main() {
    divan::main();
}

/// All of them in a full run, some in a smoke run.
fn own_sources() -> Vec<SourceFile> {
    corpus::own_sources().into_iter().take(size(usize::MAX, 20)).collect()
}

/// Four bytes a token.
struct Guess;

impl TokenCount for Guess {
    fn count_lines(&self, lines: &[&str]) -> Vec<u32> {
        lines.iter().map(|line| line.len().div_ceil(4) as u32).collect()
    }
}

fn cut(bencher: Bencher<'_, '_>, tokens: &dyn TokenCount) {
    let files = own_sources();
    let chunker = Chunker::new(corpus::CHUNK_TOKENS_MAX, 2);
    bencher
        .counter(BytesCount::new(corpus::bytes(&files)))
        .bench_local(|| files.iter().map(|f| chunker.chunk(f, tokens).chunks.len()).sum::<usize>());
}

#[divan::bench(max_time = 5)]
fn chunking(bencher: Bencher<'_, '_>) {
    cut(bencher, &ModelTokens(&support::tokenizer()));
}

#[divan::bench(max_time = 5)]
fn chunking_without_tokenizer(bencher: Bencher<'_, '_>) {
    cut(bencher, &Guess);
}

fn flat() -> Matrix {
    vectors::clustered(size(10_000, 500), D, 1)
}

fn ivf() -> Matrix {
    vectors::clustered(size(100_000, 2_000), D, 2)
}

fn build(bencher: Bencher<'_, '_>, vectors: &Matrix, kind: DenseKind) {
    bencher
        .counter(ItemsCount::new(vectors.n()))
        .bench_local(|| DenseIndex::build(vectors, kind, 1).expect("vectors are finite"));
}

fn search(bencher: Bencher<'_, '_>, vectors: &Matrix, kind: DenseKind) {
    let index = DenseIndex::build(vectors, kind, 1).expect("vectors are finite");
    let queries = vectors::clustered(64, D, 3);
    let mut next = (0..queries.n()).cycle();
    bencher.bench_local(|| {
        let query = queries.row(next.next().expect("they go round"));
        let hits = index.search(query, K, &DenseParams::default()).expect("a query of 384 values");
        assert_eq!(hits.len(), K);
        hits
    });
}

#[divan::bench(max_time = 5)]
fn dense_flat_10_000_build(bencher: Bencher<'_, '_>) {
    build(bencher, &flat(), DenseKind::Flat);
}

#[divan::bench]
fn dense_flat_10_000_search(bencher: Bencher<'_, '_>) {
    search(bencher, &flat(), DenseKind::Flat);
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn dense_ivf_flat_100_000_build(bencher: Bencher<'_, '_>) {
    build(bencher, &ivf(), DenseKind::IvfFlat);
}

#[divan::bench]
fn dense_ivf_flat_100_000_search(bencher: Bencher<'_, '_>) {
    search(bencher, &ivf(), DenseKind::IvfFlat);
}

/// Writes every chunk into `folder` and gives their number.
fn write_lexical(folder: &std::path::Path) -> usize {
    let writer = LexicalWriter::create(folder, 2).expect("an empty folder");
    let chunks =
        FILES.iter().flat_map(|(file, cut)| cut.chunks.iter().map(move |c| (file, cut, c)));
    let mut n = 0;
    for (file, cut, chunk) in chunks {
        add_lexical(&writer, ChunkId(n), file, cut, chunk).expect("room on the disk");
        n += 1;
    }
    writer.finish().expect("room on the disk");
    n as usize
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn lexical_add(bencher: Bencher<'_, '_>) {
    let chunks: usize = FILES.iter().map(|(_, cut)| cut.chunks.len()).sum();
    bencher
        .counter(ItemsCount::new(chunks))
        .with_inputs(|| tempfile::tempdir().expect("a temporary folder"))
        .bench_local_refs(|folder| assert_eq!(write_lexical(folder.path()), chunks));
}

#[divan::bench(args = ["chunk", "vector cache", "how is a step of a run timed and recorded"])]
fn lexical_search(bencher: Bencher<'_, '_>, query: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_lexical(folder.path());
    let index = LexicalIndex::open(folder.path()).expect("it was just written");
    let query = QueryText::new(query);
    bencher.bench_local(|| {
        let hits = index.search(&query, K, None).expect("a query of words");
        assert!(!hits.is_empty());
        hits
    });
}

fn symbols() -> SymbolIndex {
    let entries = FILES.iter().flat_map(|(_, cut)| &cut.symbols).zip(0..);
    let entries = entries.map(|(symbol, id)| SymbolEntry {
        name: &symbol.name,
        qualified: &symbol.qualified,
        id: ChunkId(id),
        kind: symbol.kind,
    });
    SymbolIndex::build(entries).expect("names can be indexed")
}

#[divan::bench(max_time = 5)]
fn symbols_build(bencher: Bencher<'_, '_>) {
    let count: usize = FILES.iter().map(|(_, cut)| cut.symbols.len()).sum();
    bencher.counter(ItemsCount::new(count)).bench_local(|| black_box(symbols().n()));
}

#[divan::bench(args = ["CatalogWriter", "catalgo_writer", "how is a ChunkRow written"])]
fn symbols_search(bencher: Bencher<'_, '_>, query: &str) {
    let (index, query) = (symbols(), QueryText::new(query));
    bencher.bench_local(|| index.search(&query, K, None, |_| 0.0).expect("a query of words"));
}
