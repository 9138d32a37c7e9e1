//! Ranking by the formula, scopes, order, appending, and damaged files.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::base::hit::{ChunkSet, Hit};
use crate::index::QueryText;

const WORDS: &[&str] = &[
    "pool",
    "connection",
    "acquire",
    "HttpServer",
    "parse_config",
    "token",
    "buffer",
    "release",
    "index",
    "search",
    "vector",
    "chunk",
    "merge_segments",
    "lock",
    "retry",
    "timeout",
];

fn doc(id: u32) -> LexicalDoc<'static> {
    LexicalDoc {
        id: ChunkId(id),
        name: "",
        qualified: "",
        signature: "",
        body: "",
        comments: "",
        doc: "",
        path: "",
    }
}

/// A text of random words, decided by `id`, so that frequencies and lengths differ.
fn text(id: u32) -> String {
    let mut rng = fastrand::Rng::with_seed(u64::from(id));
    let n = 3 + id % 23;
    let draw = |_| {
        let at = rng.usize(0..WORDS.len());
        WORDS[at * at / WORDS.len()]
    };
    (0..n).map(draw).collect::<Vec<_>>().join(" ")
}

struct Corpus {
    folder: TempDir,
    texts: Vec<(String, String)>,
}

impl Corpus {
    fn new(n: u32) -> Self {
        let texts = (0..n).map(|id| (text(id), WORDS[id as usize % 5].to_owned())).collect();
        Self { folder: tempfile::tempdir().unwrap(), texts }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("lexical")
    }

    fn doc(&self, id: u32) -> LexicalDoc<'_> {
        let (body, name) = &self.texts[id as usize];
        LexicalDoc { name, body, ..doc(id) }
    }

    fn write(&self, threads: usize, ids: impl IntoIterator<Item = u32>) {
        let writer = LexicalWriter::create(&self.path(), threads).unwrap();
        ids.into_iter().for_each(|id| writer.add(&self.doc(id)).unwrap());
        writer.finish().unwrap();
    }

    fn open(&self) -> LexicalIndex {
        LexicalIndex::open(&self.path()).unwrap()
    }
}

fn search(index: &LexicalIndex, query: &str, k: usize) -> Vec<Hit> {
    index.search(&QueryText::new(query), k, None).unwrap()
}

fn ids(hits: &[Hit]) -> Vec<u32> {
    hits.iter().map(|hit| hit.id.0).collect()
}

/// BM25F as the documentation of this folder states it, with lengths rounded as in tantivy.
fn brute_force(docs: &[LexicalDoc<'_>], query: &str) -> Vec<(u32, f64)> {
    let bags: Vec<Vec<String>> = docs.iter().map(writer::weighted_terms).collect();
    let mean = bags.iter().map(Vec::len).sum::<usize>() as f64 / bags.len() as f64;
    let terms: BTreeSet<String> = terms::Analyzer::default().terms(query).into_iter().collect();
    let mut scores: HashMap<u32, f64> = HashMap::new();
    for term in terms {
        let tf = |bag: &Vec<String>| bag.iter().filter(|t| **t == term).count() as f64;
        let df = bags.iter().filter(|bag| tf(bag) > 0.0).count() as f64;
        let idf = (1.0 + (bags.len() as f64 - df + 0.5) / (df + 0.5)).ln();
        for (doc, bag) in docs.iter().zip(&bags).filter(|(_, bag)| tf(bag) > 0.0) {
            use tantivy::fieldnorm::FieldNormReader as Norm;
            let length = f64::from(Norm::id_to_fieldnorm(Norm::fieldnorm_to_id(bag.len() as u32)));
            let norm = 1.2 * (1.0 - 0.75 + 0.75 * length / mean);
            *scores.entry(doc.id.0).or_default() += idf * 2.2 * tf(bag) / (tf(bag) + norm);
        }
    }
    let mut ranking: Vec<(u32, f64)> = scores.into_iter().collect();
    ranking.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ranking
}

#[test]
fn the_ranking_is_bm25f_by_its_formula() {
    let corpus = Corpus::new(400);
    corpus.write(2, 0..400);
    let index = corpus.open();
    let docs: Vec<LexicalDoc<'_>> = (0..400).map(|id| corpus.doc(id)).collect();
    for query in ["pool", "http server timeout", "acquire a connection pool", "merge_segments"] {
        let expected = brute_force(&docs, query);
        let found = search(&index, query, 400);
        assert_eq!(found.len(), expected.len(), "{query}");
        let by_id: HashMap<u32, f64> = expected.iter().copied().collect();
        for (hit, (_, score)) in found.iter().zip(&expected) {
            assert!((f64::from(hit.score) - score).abs() < 1e-4, "{query}: {hit:?} {score}");
            assert!((f64::from(hit.score) - by_id[&hit.id.0]).abs() < 1e-4, "{query}: {hit:?}");
        }
        for k in [1, 7, 50] {
            assert_eq!(search(&index, query, k), found[..k.min(found.len())], "{query} at {k}");
        }
    }
}

#[test]
fn a_name_that_matches_beats_a_body_that_does() {
    let folder = tempfile::tempdir().unwrap();
    let writer = LexicalWriter::create(folder.path(), 1).unwrap();
    let body = "let x = connection_pool(); use it as a pool of such connection";
    writer.add(&LexicalDoc { body, name: "run", ..doc(0) }).unwrap();
    let body = "let x = thing(); use it as a list of other things and then";
    writer.add(&LexicalDoc { body, name: "ConnectionPool", ..doc(1) }).unwrap();
    let filler = LexicalDoc { body: "nothing to see here", name: "other", ..doc(2) };
    writer.add(&filler).unwrap();
    writer.finish().unwrap();
    let index = LexicalIndex::open(folder.path()).unwrap();
    assert_eq!(ids(&search(&index, "connection pool", 5)), [1, 0]);
    assert_eq!(ids(&search(&index, "pooled connections", 5)), [1, 0], "stems match");
}

#[test]
fn words_of_comments_are_found_and_count_beside_those_of_the_code() {
    let folder = tempfile::tempdir().unwrap();
    let writer = LexicalWriter::create(folder.path(), 1).unwrap();
    let [drains, runs] = ["// Drains pools.", "// Runs."];
    writer.add(&LexicalDoc { body: "fn run() {}", comments: drains, ..doc(0) }).unwrap();
    writer.add(&LexicalDoc { body: "fn drain() {}", comments: runs, ..doc(1) }).unwrap();
    writer.finish().unwrap();
    let index = LexicalIndex::open(folder.path()).unwrap();
    assert_eq!(ids(&search(&index, "pool", 5)), [0]);
    let mut both = ids(&search(&index, "drain", 5));
    both.sort_unstable();
    assert_eq!(both, [0, 1]);
}

#[test]
fn a_scope_is_complete_and_nothing_else() {
    let corpus = Corpus::new(300);
    corpus.write(2, 0..300);
    let index = corpus.open();
    let all = search(&index, "pool connection acquire", 300);
    for step in [1, 2, 7, 100] {
        let mut set = ChunkSet::none(300);
        (0..300).step_by(step).for_each(|id| set.insert(ChunkId(id)));
        let expected: Vec<Hit> =
            all.iter().filter(|hit| set.contains(hit.id)).take(20).copied().collect();
        let query = QueryText::new("pool connection acquire");
        let found = index.search(&query, 20, Some(&set)).unwrap();
        assert_eq!(found, expected, "every {step}");
    }
}

#[test]
fn equal_chunks_are_ordered_by_id_however_they_were_written() {
    let ids_of = |threads, order: &mut dyn Iterator<Item = u32>| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lexical");
        let writer = LexicalWriter::create(&path, threads).unwrap();
        for id in order {
            let body = ["alpha beta gamma delta", "beta alpha"][id as usize % 2];
            writer.add(&LexicalDoc { body, ..doc(id) }).unwrap();
        }
        writer.finish().unwrap();
        ids(&search(&LexicalIndex::open(&path).unwrap(), "alpha gamma beta", 40))
    };
    let expected: Vec<u32> = (0..200).step_by(2).take(40).collect();
    assert_eq!(ids_of(1, &mut (0..200)), expected);
    assert_eq!(ids_of(3, &mut (0..200).rev()), expected);
}

#[test]
fn the_segments_do_not_show_in_the_ranking() {
    let corpus = Corpus::new(300);
    corpus.write(1, 0..300);
    let whole = corpus.open();
    let pieces = Corpus::new(300);
    pieces.write(1, 0..100);
    for part in [100..110, 110..250, 250..300] {
        let writer = LexicalWriter::append(&pieces.path(), 1).unwrap();
        part.for_each(|id| writer.add(&pieces.doc(id)).unwrap());
        writer.finish().unwrap();
    }
    let pieces = pieces.open();
    assert!(pieces.searcher.segment_readers().len() > 1);
    for query in ["pool connection acquire lock", "http retry vector chunk buffer search index"] {
        assert_eq!(search(&pieces, query, 100), search(&whole, query, 100));
    }
}

#[test]
fn what_is_appended_is_found_and_what_is_deleted_is_not() {
    let corpus = Corpus::new(120);
    corpus.write(1, 0..100);
    let writer = LexicalWriter::append(&corpus.path(), 1).unwrap();
    (100..120).for_each(|id| writer.add(&corpus.doc(id)).unwrap());
    (0..50).for_each(|id| writer.delete_chunk(ChunkId(id)));
    writer.finish().unwrap();
    let index = corpus.open();
    assert_eq!(index.n(), 70);
    let found = ids(&search(&index, &WORDS.join(" "), 200));
    let found: BTreeSet<u32> = found.into_iter().collect();
    assert_eq!(found, (50..120).collect());
}

fn bytes_of(folder: &Path) -> HashMap<PathBuf, Vec<u8>> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.clone(), fs::read(path).unwrap())
    };
    fs::read_dir(folder).unwrap().map(read).collect()
}

#[test]
fn appending_to_hard_links_leaves_the_version_they_came_from_alone() {
    let corpus = Corpus::new(120);
    corpus.write(1, 0..100);
    let before = bytes_of(&corpus.path());
    assert!(before.keys().all(|path| !path.to_string_lossy().ends_with(".lock")));
    let staging = tempfile::tempdir().unwrap();
    for path in before.keys() {
        fs::hard_link(path, staging.path().join(path.file_name().unwrap())).unwrap();
    }
    let writer = LexicalWriter::append(staging.path(), 1).unwrap();
    (100..120).for_each(|id| writer.add(&corpus.doc(id)).unwrap());
    (0..90).for_each(|id| writer.delete_chunk(ChunkId(id)));
    writer.finish().unwrap();
    assert_eq!(LexicalIndex::open(staging.path()).unwrap().n(), 30);
    assert_eq!(bytes_of(&corpus.path()), before);
    assert_eq!(corpus.open().n(), 100);
    assert_eq!(bytes_of(&corpus.path()), before, "opening writes nothing");
}

#[test]
fn without_finish_the_old_index_stays() {
    let corpus = Corpus::new(120);
    corpus.write(1, 0..100);
    let writer = LexicalWriter::append(&corpus.path(), 1).unwrap();
    (100..120).for_each(|id| writer.add(&corpus.doc(id)).unwrap());
    (0..90).for_each(|id| writer.delete_chunk(ChunkId(id)));
    drop(writer);
    assert_eq!(corpus.open().n(), 100);
    let writer = LexicalWriter::append(&corpus.path(), 1).unwrap();
    writer.add(&corpus.doc(100)).unwrap();
    writer.finish().unwrap();
    assert_eq!(corpus.open().n(), 101, "it can be appended to again");
}

#[test]
fn a_damaged_index_is_refused_when_it_is_opened() {
    let corpus = Corpus::new(100);
    corpus.write(1, 0..100);
    for (path, whole) in bytes_of(&corpus.path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        for length in [0, 1, whole.len() / 2, whole.len() - 2] {
            fs::write(&path, &whole[..length]).unwrap();
            refused(&corpus, &format!("{name} cut to {length}"));
        }
        for at in (0..whole.len()).step_by(whole.len().div_ceil(20)).filter(|_| name != "meta.json")
        {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            fs::write(&path, bytes).unwrap();
            refused(&corpus, &format!("{name} flipped at {at}"));
        }
        fs::remove_file(&path).unwrap();
        refused(&corpus, &format!("{name} missing"));
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(corpus.open().n(), 100);
}

fn refused(corpus: &Corpus, how: &str) {
    match LexicalIndex::open(&corpus.path()) {
        Err(Error::IndexCorrupt { .. }) => {}
        Err(other) => panic!("{how}: {other}"),
        Ok(_) => panic!("{how}: opened"),
    }
}

#[test]
fn the_vocabulary_tells_how_rare_a_word_is() {
    let corpus = Corpus::new(100);
    corpus.write(1, 0..100);
    let index = corpus.open();
    assert_eq!(index.doc_freq("nonsense").unwrap(), 0);
    let server = index.doc_freq("Server").unwrap();
    assert!(server > 0 && server == index.doc_freq("HttpServer").unwrap());
    assert!(index.doc_freq("pool").unwrap() >= index.doc_freq("timeout").unwrap());
}

#[test]
fn questions_without_a_known_word_have_no_answer_and_long_ones_are_bounded() {
    let corpus = Corpus::new(100);
    corpus.write(1, 0..100);
    let index = corpus.open();
    for query in ["", "   ", "?!", "zzz qqq", "the of and"] {
        assert_eq!(search(&index, query, 10), [], "{query:?}");
    }
    let long: String = (0..50_000).map(|i| format!("w{i} ")).collect::<String>() + "pool";
    search(&index, &long, 10);
    let twice = search(&index, "pool pool POOL", 10);
    assert_eq!(twice, search(&index, "pool", 10), "repetition changes nothing");
}
