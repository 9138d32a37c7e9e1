//! An updated index equals one that is built from scratch, with less work.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use codeintel::base::config::SearchSettings;
use codeintel::base::hit::Hit;
use codeintel::embedding::engine::{EmbedRequest, PromptKind};
use codeintel::index::catalog::ShownChunk;
use codeintel::index::{DenseIndex, DenseParams, LexicalIndex, QueryText, SymbolIndex};
use codeintel::ingest::IngestOutcome;
use codeintel::search::{ChannelName, Query, Searcher};

use crate::support::{CONTENT_CHANNELS, Place, ask, cx, only, rust_file};

const EACH: [&[ChannelName]; 4] =
    [&[ChannelName::Dense], &[ChannelName::Lexical], &[ChannelName::Symbol], &CONTENT_CHANNELS];

/// A chunk that was found, without its id.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    path: String,
    start_line: u32,
    end_line: u32,
    text: String,
}

impl From<ShownChunk> for Found {
    fn from(row: ShownChunk) -> Self {
        Self { path: row.path, start_line: row.start_line, end_line: row.end_line, text: row.text }
    }
}

/// As many results of these channels as there are, best first.
pub(super) fn found(searcher: &Searcher, text: &str, channels: &[ChannelName]) -> Vec<Found> {
    let query = Query::new(text, 200, &SearchSettings::default()).unwrap();
    let answer = ask(searcher, &only(query, channels));
    assert_eq!(answer.channels_used, channels, "{:?}", answer.report.warnings);
    answer.findings.into_iter().map(|finding| finding.row.into()).collect()
}

/// Asserts that a search for `text` finds it in every channel, or in none.
#[track_caller]
fn assert_found(place: &Place, text: &str, expected: bool) {
    let searcher = place.searcher();
    for channels in EACH {
        let found = found(&searcher, text, channels);
        let is_found = found.iter().any(|chunk| chunk.text.contains(text));
        assert_eq!(is_found, expected, "{text:?} in {channels:?}: {found:?}");
    }
}

#[track_caller]
fn gone(place: &Place, text: &str) {
    assert_found(place, text, false);
}

#[track_caller]
fn here(place: &Place, text: &str) {
    assert_found(place, text, true);
}

#[test]
fn a_run_without_changes_publishes_nothing() {
    let place = Place::uncached(&[("a.rs", "fn alpha() {}\n"), ("b.py", "def beta(): pass\n")]);
    let first = place.index();
    assert_eq!(first.outcome, IngestOutcome::Built);
    let again = place.index();
    assert_eq!((again.outcome, &again.version), (IngestOutcome::Unchanged, &first.version));
    assert_eq!((again.files, again.chunks), (first.files, first.chunks));
    assert_eq!((again.chunks_written, again.chunks_embedded), (0, 0));

    let later = SystemTime::now() - Duration::from_secs(3600);
    let file = fs::File::options().write(true).open(place.repo().join("a.rs")).unwrap();
    file.set_modified(later).unwrap();
    let touched = place.index();
    assert_eq!((touched.outcome, touched.version), (IngestOutcome::Unchanged, first.version));
}

#[test]
fn only_the_changed_chunks_of_an_edited_file_are_embedded() {
    let mut place = Place::uncached(&[]);
    // Enough for one function, but not for two.
    place.settings.chunk.tokens_max = 96;
    let text = rust_file(7, 8).replace("7_3(", "old_name(");
    place.write("edited.rs", &text);
    place.write("other.rs", rust_file(8, 8));
    let first = place.index();
    place.write("edited.rs", text.replace("old_name(", "new_name("));
    let second = place.index();
    assert_eq!(second.outcome, IngestOutcome::Updated);
    assert_eq!((second.files, second.files_changed, second.files_removed), (2, 1, 0));
    assert_eq!(second.chunks, first.chunks);
    assert!(second.chunks_written > 4, "{second:?}");
    assert_eq!(second.chunks_embedded, 1, "the previous version has the other vectors");
    gone(&place, "old_name");
    here(&place, "new_name");

    let full = place.try_index(true).unwrap();
    assert_eq!((full.outcome, full.chunks_embedded), (IngestOutcome::Built, 0));
    assert_eq!(full.chunks_written, first.chunks);
}

#[test]
fn added_files_are_found_and_removed_ones_are_not() {
    let place = Place::uncached(&[
        ("keep.rs", "fn kept_as_it_is() {}\n"),
        ("delete.rs", "fn soon_deleted() {}\n"),
        ("binary.rs", "fn soon_binary() {}\n"),
    ]);
    place.index();
    for name in ["kept_as_it_is", "soon_deleted", "soon_binary"] {
        here(&place, name);
    }
    place.remove("delete.rs");
    place.write("binary.rs", b"fn soon_binary() {}\n\0\x01\x02");
    place.write("sub/new.rs", "fn newly_written() {}\n");
    let report = place.index();
    assert_eq!((report.files, report.files_removed, report.skipped.total()), (2, 2, 1));
    gone(&place, "soon_deleted");
    gone(&place, "soon_binary");
    here(&place, "newly_written");
    here(&place, "kept_as_it_is");
    let again = place.index();
    assert_eq!(again.outcome, IngestOutcome::Unchanged, "a skipped file is not a change");

    place.write("delete.rs", "fn soon_deleted() {}\n");
    place.index();
    here(&place, "soon_deleted");
}

#[test]
fn a_change_that_keeps_size_and_time_within_one_second_is_noticed() {
    let place = Place::uncached(&[("a.rs", "fn value_one() {}\n")]);
    place.engine();
    let path = place.repo().join("a.rs");
    for _ in 0..10 {
        // Starts early in a second, so that the file is written and indexed within it.
        while UNIX_EPOCH.elapsed().unwrap().subsec_millis() > 200 {
            std::thread::sleep(Duration::from_millis(10));
        }
        place.write("a.rs", "fn value_one() {}\n");
        place.try_index(true).unwrap();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        let second = written.duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        if place.catalog().file("a.rs").unwrap().unwrap().indexed_at_s != second {
            continue;
        }
        place.write("a.rs", "fn value_two() {}\n");
        fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        assert_eq!(place.index().outcome, IngestOutcome::Updated);
        here(&place, "value_two");
        return gone(&place, "value_one");
    }
    panic!("the machine is too slow to write and read a file within one second");
}

const QUERIES: [&str; 6] = [
    "where is the socket buffer taken to the cache",
    "parse_token",
    "matrix kernel shader",
    "commit branch merge",
    "signal",
    "usize input len",
];

fn answers(place: &Place) -> Vec<Vec<Found>> {
    let searcher = place.searcher();
    let each = |query| EACH.map(|channels| found(&searcher, query, channels));
    QUERIES.iter().flat_map(|query| each(*query)).collect()
}

/// A new index of the files of `place`. Because of the cache, both have the same vectors.
pub(super) fn fresh(place: &Place) -> Place {
    let fresh = place.beside();
    fresh.try_index(true).unwrap();
    fresh
}

/// All chunks that the lexical and the symbol index find for each query, by path and line.
fn known(place: &Place) -> Vec<Vec<Found>> {
    let folder = place.version().folder;
    let catalog = place.catalog();
    let n = 1000;
    let live = catalog.live().unwrap();
    let lexical = LexicalIndex::open(&folder.lexical()).unwrap();
    let symbols = SymbolIndex::open(&folder.symbols()).unwrap();
    let rows = |hits: Vec<Hit>| {
        let ids: Vec<_> = hits.iter().map(|hit| hit.id).collect();
        let rows = catalog.rows(&ids).unwrap().rows.into_iter();
        let mut rows: Vec<Found> = rows.map(Found::from).collect();
        rows.sort();
        rows
    };
    let each = |query: &&str| {
        let query = QueryText::new(query);
        [
            rows(lexical.search(&query, n, None).unwrap()),
            rows(symbols.search(&query, n, Some(&live), |_| 0.0).unwrap()),
        ]
    };
    QUERIES.iter().flat_map(each).collect()
}

/// Asserts that `place`, whose version has no delta, answers as `fresh` does.
#[track_caller]
pub(super) fn equals(place: &Place, fresh: &Place) {
    let cases = QUERIES.iter().flat_map(|query| EACH.map(|channels| (query, channels)));
    let both = answers(place).into_iter().zip(answers(fresh));
    for ((query, channels), (ours, theirs)) in cases.zip(both) {
        assert_eq!(ours, theirs, "{query:?} by {channels:?}");
    }
}

/// The score for `query` and the vector of every live chunk, by path and line.
fn dense_scores(place: &Place, query: &str) -> BTreeMap<(String, u32), (f32, Vec<f32>)> {
    let version = place.version();
    let catalog = place.catalog();
    let dim = version.manifest.model.dim;
    let dense = DenseIndex::open(&version.folder.dense(), dim).unwrap();
    let texts = [query];
    let request = EmbedRequest::query(&texts, PromptKind::Query);
    let vector = place.engine().embed(request, &cx()).unwrap().vectors;
    let live = catalog.live().unwrap();
    let params = DenseParams { filter: Some(&live), ..DenseParams::default() };
    let hits = dense.search(vector.row(0), live.count(), &params).unwrap();
    let ids: Vec<_> = hits.iter().map(|hit| hit.id).collect();
    let rows = catalog.rows(&ids).unwrap().rows.into_iter();
    let scored = |hit: &Hit| (hit.score, dense.vector(hit.id).unwrap());
    rows.zip(&hits).map(|(row, hit)| ((row.path, row.start_line), scored(hit))).collect()
}

/// Asserts that `place`, whose version has a delta, finds what `fresh` finds. The order may differ:
/// the rounding of a score in FAISS depends on the position of its row, chunks of equal score are
/// ordered by id, and deleted chunks count in the term statistics until the index is compacted.
#[track_caller]
pub(super) fn knows_the_same(place: &Place, fresh: &Place) {
    assert_eq!(known(place), known(fresh));
    for query in QUERIES {
        let ours = dense_scores(place, query);
        let theirs = dense_scores(fresh, query);
        assert!(ours.keys().eq(theirs.keys()), "{query:?}");
        for (place, (score, vector)) in &ours {
            assert_eq!(
                vector, &theirs[place].1,
                "the vector of {place:?} is the same to the last bit"
            );
            let difference = (score - theirs[place].0).abs();
            assert!(difference < 1e-5, "{query:?}: the score of {place:?} differs by {difference}");
        }
    }
}

#[test]
fn after_many_updates_the_answers_equal_those_of_a_fresh_index() {
    let mut place = Place::uncached(&[]);
    place.settings.chunk.tokens_max = 64;
    place.settings.index.delta_ratio_max = 0.0;
    place.settings.engine.cache_bytes_max = 64 << 20;
    for i in 0..20 {
        place.write(&format!("src/file_{i:02}.rs"), rust_file(i, 5));
    }
    let first = place.index();
    assert!(first.chunks >= 80, "{first:?}");
    let mut compacted = None;
    for round in 1..=12u64 {
        for i in [round % 20, (round * 7) % 20] {
            place.write(&format!("src/file_{i:02}.rs"), rust_file(1000 * round + i, 5));
        }
        match round {
            3 => place.remove("src/file_15.rs"),
            5 => place.write("src/extra.rs", rust_file(999, 6)),
            _ => {}
        }
        let report = place.index();
        assert_eq!(report.outcome, IngestOutcome::Updated);
        assert!(report.chunks_embedded < 40, "only what changed is embedded: {report:?}");
        let manifest = place.version().manifest;
        if round == 4 {
            assert!(manifest.total_chunks > manifest.base_chunks);
            knows_the_same(&place, &fresh(&place));
        }
        if manifest.base_chunks == manifest.total_chunks {
            assert_eq!(
                manifest.live_chunks, manifest.total_chunks,
                "a compacted version has no deleted chunks"
            );
            equals(&place, &fresh(&place));
            compacted = Some(round);
            break;
        }
    }
    let round = compacted.expect("so many edits compact the index");
    assert!(round > 4, "it was compacted too early, in round {round}");
}

#[test]
fn a_search_keeps_its_version_while_others_are_published_and_removed() {
    let mut place = Place::uncached(&[]);
    place.settings.data.versions_kept = 1;
    place.write("a.rs", "fn first_state() {}\n");
    place.write("b.rs", rust_file(3, 20));
    place.index();
    let searcher = place.searcher();
    let before = EACH.map(|channels| found(&searcher, "first_state", channels));
    let folder = place.version().folder;
    for state in ["second", "third"] {
        place.write("a.rs", format!("fn {state}_state() {{}}\n"));
        place.try_index(true).unwrap();
    }
    assert!(!folder.path().exists(), "the version is gone from disk");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let after = EACH.map(|channels| found(&searcher, "first_state", channels));
                assert_eq!(after, before);
            });
        }
    });
    here(&place, "third_state");
    gone(&place, "first_state");
}
