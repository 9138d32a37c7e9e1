//! The channel of learned sparse vectors, from the setting to the answer.

use codeintel::base::error::{Error, ErrorKind};
use codeintel::base::hit::{Hit, TopK};
use codeintel::base::telemetry::{Stage, StepStatus};
use codeintel::embedding::engine::{EmbedRequest, Engine, PromptKind};
use codeintel::index::catalog::{ChunkRow, ScopeSpec};
use codeintel::index::{Impacts, SparseIndex};
use codeintel::ingest::{Expanders, IngestOutcome};
use codeintel::search::{ChannelName, Searcher};

use crate::support::{CONTENT_CHANNELS, Place, ask, cx, fingerprint, golden, many_files, only};

const SPARSE: [ChannelName; 1] = [ChannelName::Sparse];
const QUERIES: [&str; 3] = ["how is the header of a packet parsed", "parse_header", "token"];

/// A place whose settings name a sparse model.
fn place() -> Place {
    let files = many_files();
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let mut place = Place::new(&files);
    place.settings.index.sparse_model = golden("bert_splade");
    place
}

fn expander(place: &Place) -> Engine {
    let name = &place.settings.index.sparse_model;
    Expanders::new(place.settings.clone()).get(name).unwrap().engine
}

fn impacts(engine: &Engine, text: &str, prompt: PromptKind) -> Impacts {
    let expansions = engine.expand(EmbedRequest::bulk(&[text], prompt), &cx()).unwrap();
    Impacts::new(&expansions.vectors[0]).unwrap()
}

fn live_rows(place: &Place) -> Vec<ChunkRow> {
    let catalog = place.catalog();
    let live = catalog.live().unwrap();
    let rows = catalog.rows_in(0..catalog.universe() as u32).unwrap();
    rows.into_iter().filter(|row| live.contains(row.id)).collect()
}

/// What the channel must find, from the texts of the catalog.
fn expected(engine: &Engine, rows: &[ChunkRow], query: &str, k: usize) -> Vec<u32> {
    let query = impacts(engine, query, PromptKind::Query);
    let mut best = TopK::new(k);
    for row in rows {
        let chunk = impacts(engine, &row.embedded_text(), PromptKind::Document);
        let weight = |word: &u32| {
            chunk.0.iter().find(|(other, _)| other == word).map_or(0, |(_, w)| u32::from(*w))
        };
        let product: u32 = query.0.iter().map(|(word, q)| u32::from(*q) * weight(word)).sum();
        if product > 0 {
            best.push(Hit { id: row.id, score: product as f32 });
        }
    }
    best.into_sorted().iter().map(|hit| hit.id.0).collect()
}

fn found(searcher: &Searcher, place: &Place, query: &str, k: usize) -> Vec<u32> {
    let cx = cx();
    let query = only(place.query(query, k), &SPARSE);
    let (_, rankings) = searcher.rankings(&query, &cx).unwrap();
    assert_eq!(rankings.len(), 1, "{:?}", cx.report().warnings);
    rankings[0].hits.iter().take(k).map(|hit| hit.id.0).collect()
}

#[test]
fn the_sparse_channel_finds_what_the_expansions_of_the_texts_say_after_any_update() {
    let place = place();
    let first = place.index();
    assert_eq!(first.chunks_expanded, first.chunks);
    let engine = expander(&place);
    let check = || {
        let (searcher, rows) = (place.searcher(), live_rows(&place));
        for query in QUERIES {
            let expected = expected(&engine, &rows, query, 20);
            assert!(!expected.is_empty());
            assert_eq!(found(&searcher, &place, query, 20), expected, "{query}");
        }
    };
    check();

    // Texts that are there already are not expanded again, in the delta and in a new base.
    place.write("src/fresh.rs", "/// Parses a fresh header.\nfn fresh_header() {}\n");
    place.remove("src/header/parse.rs");
    let update = place.index();
    assert_eq!((update.outcome, update.chunks_expanded), (IngestOutcome::Updated, 1));
    check();
    place.write("src/again.rs", "/// Counts frames again.\nfn again() {}\n");
    assert_eq!(place.index().chunks_expanded, 1);
    check();
    let full = place.try_index(true).unwrap();
    assert_eq!((full.outcome, full.chunks_expanded), (IngestOutcome::Built, 0));
    check();

    let scope = ScopeSpec { globs: vec!["src/token/**".to_owned()], ..ScopeSpec::default() };
    let query = only(place.query("token", 50), &SPARSE).with_scope(scope);
    let answer = ask(&place.searcher(), &query);
    assert!(!answer.findings.is_empty());
    assert!(answer.findings.iter().all(|f| f.row.path.starts_with("src/token/")));
}

#[test]
fn all_channels_are_searched_together_and_the_sparse_one_is_explained() {
    let place = place();
    place.index();
    let searcher = place.searcher();
    let answer = ask(&searcher, &place.query(QUERIES[0], 20));
    assert_eq!(answer.channels_used, [&CONTENT_CHANNELS[..], &SPARSE].concat());
    let contributes = |c: &codeintel::search::Contribution| c.channel == ChannelName::Sparse;
    assert!(answer.findings.iter().any(|f| f.why.contributions.iter().any(contributes)));
    let step = answer.report.steps.iter().find(|step| step.stage == Stage::Splade).unwrap();
    assert_eq!(step.status, StepStatus::Run);
    let again = ask(&searcher, &place.query(QUERIES[0], 20));
    assert_eq!(fingerprint(&again), fingerprint(&answer));

    // Without the model, the channel is left out and named.
    let searcher = Searcher::open(place.version(), Some(place.engine()), &place.settings).unwrap();
    let answer = ask(&searcher, &place.query(QUERIES[0], 20));
    assert_eq!(answer.channels_used, CONTENT_CHANNELS);
    let limit = |limit: &&String| limit.contains("sparse") && limit.contains("not loaded");
    assert!(answer.limits.iter().any(|l| limit(&l)), "{:?}", answer.limits);
}

#[test]
fn an_index_without_a_sparse_model_has_no_such_channel_and_says_so_only_if_it_is_named() {
    let mut place = place();
    let model = std::mem::take(&mut place.settings.index.sparse_model);
    place.index();
    let searcher = place.searcher();
    let answer = ask(&searcher, &place.query("parse_header", 5));
    assert_eq!((answer.channels_used, answer.limits), (CONTENT_CHANNELS.to_vec(), vec![]));
    assert!(answer.report.warnings.is_empty(), "{:?}", answer.report.warnings);
    let step = answer.report.steps.iter().find(|step| step.stage == Stage::Splade).unwrap();
    assert_eq!(step.status, StepStatus::Skip);

    let both = [ChannelName::Sparse, ChannelName::Lexical];
    let answer = ask(&searcher, &only(place.query("parse_header", 5), &both));
    assert_eq!(answer.channels_used, [ChannelName::Lexical]);
    assert!(answer.limits.iter().any(|limit| limit.contains("index.sparse_model")));
    let error = searcher.search(&only(place.query("x", 5), &SPARSE), &cx()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidParameter);
    assert!(error.to_string().contains("index.sparse_model"), "{error}");

    // The setting adds the channel, and no vector is computed again.
    place.settings.index.sparse_model = model;
    let added = place.index();
    assert_eq!((added.outcome, added.chunks_embedded), (IngestOutcome::Built, 0));
    assert_eq!(added.chunks_expanded, added.chunks);
    assert!(added.reasons[0].contains("index.sparse_model"), "{:?}", added.reasons);
    assert_eq!(place.index().outcome, IngestOutcome::Unchanged);
    // It stays without the setting, until the index is built anew.
    place.settings.index.sparse_model.clear();
    assert_eq!(place.index().outcome, IngestOutcome::Unchanged);
    assert!(place.searcher().has(ChannelName::Sparse));
    place.try_index(true).unwrap();
    assert!(!place.searcher().has(ChannelName::Sparse));
    assert!(!place.version().folder.sparse().exists());
}

#[test]
fn another_sparse_model_is_refused_with_both_named_and_changed_files_of_it_are_noticed() {
    let mut place = place();
    let mine = place.edited_model("bert_splade", "mine", |_| {});
    place.settings.index.sparse_model = mine.clone();
    place.index();
    place.settings.index.sparse_model = golden("distilbert_splade");
    let record = place.version().manifest.sparse.unwrap();
    let refused = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::IndexMismatch, "{error}");
        let message = error.to_string();
        assert!(message.contains("mine") && message.contains("distilbert_splade"), "{message}");
    };
    refused(place.try_index(false).unwrap_err());
    refused(Expanders::new(place.settings.clone()).for_queries(&record).err().unwrap());
    let ran = place
        .command(&["search", "token", "--set"])
        .arg(format!("index.sparse_model={}", golden("distilbert_splade")))
        .output()
        .unwrap();
    assert!(!ran.status.success());
    assert!(String::from_utf8_lossy(&ran.stderr).contains("mine"), "{ran:?}");

    place.settings.index.sparse_model = mine.clone();
    let config = std::path::Path::new(&mine).join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + "\n").unwrap();
    let done = place.index();
    assert_eq!((done.outcome, done.chunks_embedded), (IngestOutcome::Built, 0));
    assert_eq!(done.chunks_expanded, done.chunks);
    assert!(done.reasons[0].contains("sparse model"), "{:?}", done.reasons);
    assert_eq!(place.index().outcome, IngestOutcome::Unchanged);
}

#[test]
fn the_commands_show_the_sparse_model_and_search_with_it_alone() {
    let place = place();
    let model = place.settings.index.sparse_model.clone();
    place.run_index(&["--set", &format!("index.sparse_model={model}")]).ok();
    let status = place.run(&["status", "--json"]).json();
    assert_eq!(status["sparse_model"], model);
    let found = place.run(&["search", "token", "--channels", "sparse", "--json"]).json();
    let channels = &found["method"]["channels"];
    assert_eq!((channels.as_array().unwrap().len(), &channels[0]["name"]), (1, &"sparse".into()));
    assert!(!found["findings"].as_array().unwrap().is_empty());
    let folder = place.version().folder.sparse();
    assert_eq!(SparseIndex::open(&folder).unwrap().n(), place.version().manifest.total_chunks);
    let tuned = place.run(&["tune", "--json"]).json();
    assert!(tuned.is_null(), "a small index is exact: {tuned}");
}
