//! How long does a search take over 100,000 chunks, and where does the time go?
//!
//! Corpus: exactly 100,000 chunks of the .rs, .c, .cpp, .h, .py and .md files of at most 128 KiB in
//! the cargo registry, in the order of their paths, cut by our chunker. Catalog, lexical index and
//! symbols are real. The vectors are NOT: embedding 100,000 chunks takes too long on two cores, so
//! they are seeded clustered unit vectors of 384 values in the index that `auto` gives (ivf_flat).
//! What the dense channel finds means nothing here; what it costs does, and so does the rest.
//!
//! 200 queries drawn from the corpus by a seeded generator, a third each: identifiers, two or three
//! words, questions of eight words out of doc comments. `Searcher::search` with the real model
//! embeds each of them (no vector cache), asks all channels, fuses and reads the ten best rows.
//! Warm, one caller, three rounds after one that is not counted. The version is built once and kept
//! in the cargo target folder; remove it there after a change to the chunker.
//!
//! Channels run at once, so rows do not add up. Two rows say what a search costs beside its
//! embedding: `total - embed_query`, and `all but embedding alone`, which subtracts only the time
//! in which nothing but the embedding ran, and is never the smaller of the two.
//!
//! `cargo bench --bench search` prints a table and one line of JSON. A smoke run takes 2,000 chunks
//! and 10 queries in one round, and asserts that each has an answer.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use codeintel::base::config::Settings;
use codeintel::base::telemetry::labels::Tool;
use codeintel::base::telemetry::{RunContext, RunReport, Stage, StepStatus, Telemetry};
use codeintel::index::catalog::Catalog;
use codeintel::search::{Query, Searcher};

use support::{size, smoke, version};

mod support;

/// The rows of the table that are stages, in the order in which they begin.
const STAGES: [Stage; 10] = [
    Stage::Gate,
    Stage::EmbedQuery,
    Stage::Dense,
    Stage::Lexical,
    Stage::Symbol,
    Stage::Gather,
    Stage::Pool,
    Stage::Fuse,
    Stage::Hydrate,
    Stage::Search,
];
const WORDS_OF_A_QUESTION: usize = 8;

fn main() {
    let given = |flag: &str| std::env::args().any(|arg| arg == flag);
    if given("--list") {
        // What cargo-nextest asks before it runs this as a test.
        if !given("--ignored") {
            println!("search: benchmark");
        }
        return;
    }
    let engine = support::engine();
    let settings = Settings::default();
    let (version, _folder) = version::version(size(100_000, 2_000), &engine);
    let (kind, files) = (version.manifest.dense_kind.clone(), version.manifest.files);
    let (chunks, bytes) = (version.manifest.total_chunks, version.bytes());
    let searcher = Searcher::open(version, Some(engine), &settings).expect("the same model");
    let queries = queries(searcher.catalog(), size(200, 10));
    let rounds = size(3, 0);
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for round in 0..=rounds {
        for text in &queries {
            let measured = search(&searcher, text, &settings);
            if round > 0 || smoke() {
                for (name, ms) in measured {
                    times.entry(name).or_default().push(ms);
                }
            }
        }
    }
    println!(
        "{chunks} chunks of {files} files, {} MB, {kind}; {} queries, {rounds} rounds",
        bytes / 1_000_000,
        queries.len()
    );
    print(&mut times, (chunks, files, queries.len() * rounds.max(1)));
}

/// Milliseconds of each row of the table that this search has.
fn search(searcher: &Searcher, text: &str, settings: &Settings) -> Vec<(&'static str, f64)> {
    let query = Query::new(text, settings.search.limit, &settings.search).expect("a short text");
    let telemetry = Telemetry::detached();
    let cx = RunContext::new(&telemetry, Tool::Search, &Searcher::PLANNED);
    let began = Instant::now();
    let answer = searcher.search(&query, &cx).expect("every part is here");
    let total = began.elapsed();
    assert!(!answer.findings.is_empty(), "nothing found for {text:?}");
    let asked = answer.plan.legs.len();
    assert_eq!(answer.channels_used.len(), asked, "{text:?}: {:?}", answer.limits);
    let ms = |duration: Duration| 1e3 * duration.as_secs_f64();
    let report = &answer.report;
    let stages = STAGES.iter().filter_map(|&stage| Some((stage, report.duration_of(stage)?)));
    let mut rows: Vec<_> = stages.map(|(stage, took)| (stage.name(), ms(took))).collect();
    let embed = report.duration_of(Stage::EmbedQuery).unwrap_or_default();
    rows.push(("total", ms(total)));
    rows.push(("total - embed_query", ms(total.saturating_sub(embed))));
    rows.push(("all but embedding alone", ms(total.saturating_sub(embedding_alone(report)))));
    rows
}

/// The time in which the query was embedded and no other channel worked.
fn embedding_alone(report: &RunReport) -> Duration {
    let of = |stage: Stage| {
        let steps = report.steps.iter().filter(|step| step.status == StepStatus::Run);
        let mut steps = steps.filter(move |step| step.stage == stage);
        steps.next().map(|step| (step.started, step.started + step.duration))
    };
    let Some((start, end)) = of(Stage::EmbedQuery) else { return Duration::ZERO };
    let others = [Stage::Lexical, Stage::Symbol].into_iter().filter_map(of);
    let mut others: Vec<_> =
        others.map(|(s, e)| (s.clamp(start, end), e.clamp(start, end))).collect();
    others.sort();
    let (mut alone, mut at) = (Duration::ZERO, start);
    for (from, to) in others {
        alone += from.saturating_sub(at);
        at = at.max(to);
    }
    alone + end.saturating_sub(at)
}

/// `n` queries out of the corpus, the same in every run.
fn queries(catalog: &Catalog, n: usize) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(2_463_534_242);
    let symbols = catalog.symbols().expect("the catalog is whole");
    // A heading of a Markdown file is a symbol too, and no identifier.
    let identifier =
        |name: &&str| name.len() > 5 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let names: Vec<&str> =
        symbols.iter().map(|symbol| symbol.name.as_str()).filter(identifier).collect();
    let mut documented = Vec::new();
    while documented.len() < 4 * n {
        let id = random.usize(0..catalog.universe()) as u32;
        let rows = catalog.rows_in(id..id + 1).expect("the catalog is whole");
        documented.extend(rows.iter().filter_map(|row| words(row.doc.as_deref()?)));
    }
    let mut documented = documented.into_iter();
    (0..n)
        .map(|i| {
            let words = documented.next().expect("four for each query");
            match i % 3 {
                0 => names[random.usize(0..names.len())].to_owned(),
                1 => words[..2 + random.usize(0..2)].join(" "),
                _ => words[..WORDS_OF_A_QUESTION].join(" "),
            }
        })
        .collect()
}

/// The words of a doc comment, when it has enough of them for a question.
fn words(doc: &str) -> Option<Vec<String>> {
    let natural = |word: &&str| word.len() > 2 && word.chars().all(|c| c.is_ascii_lowercase());
    let words: Vec<String> = doc.split_whitespace().filter(natural).map(str::to_owned).collect();
    (words.len() >= WORDS_OF_A_QUESTION).then_some(words)
}

/// The value below which `share` of the sorted `times` lie, by the nearest rank.
fn percentile(times: &[f64], share: f64) -> f64 {
    let rank = (share * times.len() as f64).ceil() as usize;
    times[rank.clamp(1, times.len()) - 1]
}

fn print(times: &mut BTreeMap<&str, Vec<f64>>, (chunks, files, searches): (usize, usize, usize)) {
    println!("{:<26} {:>10} {:>10} {:>9}", "step", "p50 ms", "p95 ms", "searches");
    let sums = ["total", "total - embed_query", "all but embedding alone"];
    let mut rows = Vec::new();
    for name in STAGES.map(Stage::name).into_iter().chain(sums) {
        let Some(times) = times.get_mut(name) else { continue };
        times.sort_by(f64::total_cmp);
        let (p50, p95) = (percentile(times, 0.5), percentile(times, 0.95));
        println!("{name:<26} {p50:>10.3} {p95:>10.3} {:>9}", times.len());
        rows.push(serde_json::json!({
            "step": name, "p50_ms": p50, "p95_ms": p95, "searches": times.len(),
        }));
    }
    assert!(smoke() || rows.len() == STAGES.len() + sums.len(), "every step ran");
    let record = serde_json::json!({
        "chunks": chunks, "files": files, "searches": searches, "steps": rows,
    });
    println!("{record}");
}
