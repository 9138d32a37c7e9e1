//! Searches through the library: scores, ranks, order, and the answer.

mod failures;
mod locations;
mod names_and_paths;
mod prompts;
mod quality;
mod rerank;
mod scip;
mod scope;
mod sparse;

use codeintel::base::config::SearchSettings;
use codeintel::search::{ChannelName, Query, Searcher};

use crate::support::{Place, ask, engine, fingerprint, many, only, paths};

const QUERIES: [&str; 7] = [
    "how is the header of a packet parsed",
    "parse_header",
    "src/token/split.rs",
    "token",
    "\"A packet has a header\"",
    "TypeError: data is not iterable",
    "where does merge_frame add bytes",
];

#[test]
fn every_score_is_its_contributions_times_its_factors() {
    let place = many();
    let searcher = place.searcher();
    let mut checked = 0;
    for text in QUERIES {
        let answer = ask(&searcher, &place.query(text, 200));
        assert!(!answer.findings.is_empty(), "{text}");
        for finding in &answer.findings {
            let why = &finding.why;
            let sum: f64 = why.contributions.iter().map(|c| c.score).sum();
            let product: f64 = why.factors.iter().map(|factor| factor.value).product();
            assert!((sum * product - finding.score).abs() < 1e-12, "{text}: {why:?}");
            assert!(why.factors.iter().any(|factor| factor.name == "path"), "{text}: {why:?}");
            for c in &why.contributions {
                assert!(c.weight <= answer.plan.leg(c.channel).unwrap().weight);
                assert!((0.0..=c.weight).contains(&c.score), "{text}: {c:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 300, "only {checked} contributions");
}

#[test]
fn the_ranks_of_an_explanation_are_those_of_each_channel_alone() {
    let place = many();
    let searcher = place.searcher();
    for text in QUERIES {
        let query = place.query(text, 200);
        let together = ask(&searcher, &query);
        for channel in ChannelName::ALWAYS {
            let alone = ask(&searcher, &only(query.clone(), &[channel]));
            assert_eq!(alone.channels_used, [channel]);
            let of = |f: &codeintel::search::Finding| {
                let c = f.why.contributions.iter().find(|c| c.channel == channel);
                c.map(|c| (c.rank, f.row.id, c.raw_score))
            };
            let mut expected: Vec<_> = together.findings.iter().filter_map(of).collect();
            expected.sort_by_key(|(rank, ..)| *rank);
            let mut found: Vec<_> = alone.findings.iter().filter_map(of).collect();
            found.sort_by_key(|(rank, ..)| *rank);
            let places: Vec<usize> = found.iter().map(|(rank, ..)| *rank).collect();
            assert_eq!(places, (1..=found.len()).collect::<Vec<_>>(), "{text} {channel:?}");
            assert_eq!(found, expected, "{text} {channel:?}");
        }
    }
}

#[test]
fn scores_descend_and_equal_scores_are_ordered_by_chunk() {
    // Equal texts under paths of equal length have equal scores in every channel.
    let text = "def count_lines(path):\n    return len(open(path).readlines())\n";
    let names: Vec<String> = (0..9).map(|i| format!("copy{i}/lines.py")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), text)).collect();
    let place = Place::indexed(&files);
    let searcher = place.searcher();
    let symbol = only(place.query("count_lines", 50), &[ChannelName::Symbol]);
    let mut queries = vec![symbol];
    queries.extend(QUERIES.map(|text| place.query(text, 200)));
    queries.push(place.query("count_lines", 3));
    for query in queries {
        let answer = ask(&searcher, &query);
        assert!(answer.findings.len() <= query.limit);
        let order: Vec<_> = answer.findings.iter().map(|f| (f.score, f.row.id)).collect();
        for pair in order.windows(2) {
            let ((a, first), (b, second)) = (pair[0], pair[1]);
            assert!(a > b || a == b && first < second, "{}: {order:?}", query.text.raw);
        }
    }
}

#[test]
fn the_same_query_gives_the_same_findings_on_any_number_of_threads() {
    let place = many();
    let searchers = [1, 4].map(|threads| {
        // Without a cache each engine computes its own vectors.
        let mut settings = place.settings.clone();
        settings.engine.threads = threads;
        settings.engine.cache_bytes_max = 0;
        place.searcher_with(Some(engine(&settings)))
    });
    let answers = |searcher: &Searcher| -> Vec<String> {
        let answer = |text: &&str| fingerprint(&ask(searcher, &place.query(text, 50)));
        QUERIES.iter().map(answer).collect()
    };
    let expected = answers(&searchers[0]);
    assert_eq!(answers(&searchers[1]), expected);
    std::thread::scope(|scope| {
        let searchers = &searchers;
        let answers = &answers;
        let start = |i: usize| scope.spawn(move || answers(&searchers[i % 2]));
        let at_once: Vec<_> = (0..8).map(start).collect();
        for thread in at_once {
            assert_eq!(thread.join().unwrap(), expected);
        }
    });
}

#[test]
fn a_path_query_finds_the_file() {
    let place = many();
    let searcher = place.searcher();
    for path in ["src/token/split.rs", "lib/frame_parse.py", "cmd/writebody/main.go"] {
        assert!(place.repo().join(path).is_file(), "{path} is in the repository");
        let answer = ask(&searcher, &place.query(path, 5));
        assert_eq!(answer.query_kind.as_str(), "path");
        assert_eq!(paths(&answer)[0], path, "{:?}", paths(&answer));
    }
    let answer = ask(&searcher, &place.query("format.md", 5));
    assert_eq!(paths(&answer)[0], "docs/format.md");
}

#[test]
fn tests_rank_below_the_same_text_elsewhere_unless_asked_for() {
    let text = |attempts: &str| {
        format!(
            "/// How often a request is tried again before it fails.\n\
             pub fn retry_limit(request: &Request) -> usize {{\n    request.attempts.min({attempts})\n}}\n"
        )
    };
    // Different texts, because equal ones are one finding.
    let [tested, used] = [text("5"), text("6")];
    let files = [
        ("tests/retry.rs", tested.as_str()),
        ("worker/retry.rs", used.as_str()),
        ("tests/a.rs", "fn a() {}"),
    ];
    let place = Place::indexed(&files);
    let searcher = place.searcher();
    let lexical = [ChannelName::Lexical, ChannelName::Symbol];
    let factors = |text: &str| -> Vec<(String, f64)> {
        let answer = ask(&searcher, &only(place.query(text, 10), &lexical));
        let twins = answer.findings.iter().filter(|f| f.row.path.ends_with("retry.rs"));
        let of_path = |f: &codeintel::search::Finding| {
            f.why.factors.iter().find(|factor| factor.name == "path").unwrap().value
        };
        twins.map(|f| (f.row.path.clone(), of_path(f))).collect()
    };
    // Of a name the kind of the file counts less.
    let lowered = |text: &str| if text == "retry_limit" { 0.75f64.powf(0.45) } else { 0.75 };
    for text in ["how is the retry limit computed", "retry_limit", "the latest retry limit"] {
        let twins =
            [("worker/retry.rs".to_owned(), 1.0), ("tests/retry.rs".to_owned(), lowered(text))];
        let near =
            |(a, b): (&(String, f64), &(String, f64))| a.0 == b.0 && (a.1 - b.1).abs() < 1e-6;
        let found = factors(text);
        assert!(found.len() == 2 && found.iter().zip(&twins).all(near), "{text}: {found:?}");
    }
    for text in ["tests of the retry limit", "testing retry_limit", "TestRetry limit"] {
        let found = factors(text);
        assert!(found.len() == 2 && found.iter().all(|(_, factor)| *factor == 1.0), "{found:?}");
    }
}

#[test]
fn only_the_channels_of_the_query_answer_and_each_counts_once() {
    let place = many();
    let searcher = place.searcher();
    for channels in [&[ChannelName::Lexical][..], &[ChannelName::Symbol, ChannelName::Dense]] {
        let answer = ask(&searcher, &only(place.query("parse_header", 20), channels));
        assert_eq!(answer.channels_used, channels);
        let contributions = answer.findings.iter().flat_map(|f| &f.why.contributions);
        assert!(contributions.clone().count() > 0);
        assert!(contributions.clone().all(|c| channels.contains(&c.channel)));
    }
    use ChannelName::{Dense, Lexical};
    let twice = only(place.query("parse_header", 20), &[Dense, Lexical, Dense]);
    let once = only(place.query("parse_header", 20), &[Dense, Lexical]);
    let twice = ask(&searcher, &twice);
    let once = ask(&searcher, &once);
    assert_eq!(twice.channels_used, [Dense, Lexical]);
    assert_eq!(fingerprint(&twice), fingerprint(&once));
}

#[test]
fn an_answer_names_its_version_and_its_best_finding() {
    let place = many();
    let answer = ask(&place.searcher(), &place.query("parse_header", 10));
    let best = &answer.findings[0].row;
    let place_of_best = format!("{}:{}-{}", best.path, best.start_line, best.end_line);
    assert!(answer.summary.contains(&place_of_best), "{}", answer.summary);
    assert!(answer.summary.starts_with("10 results in "), "{}", answer.summary);
    assert_eq!(answer.freshness.version, "000001");
    assert!(answer.freshness.indexed_at.ends_with('Z'), "{}", answer.freshness.indexed_at);
    assert_eq!(answer.report.stopped_because, "completed");
    assert!(answer.limits.is_empty(), "{:?}", answer.limits);
    let source = std::fs::read_to_string(place.repo().join(&best.path)).unwrap();
    assert!(source.contains(best.text.trim_end()), "the snippet is the file's own text");
    let line = source.lines().nth(best.start_line as usize - 1).unwrap();
    assert!(best.text.starts_with(line), "{line:?}: {:?}", best.text);
}

#[test]
fn a_query_is_checked_before_it_is_searched() {
    let settings = SearchSettings { query_bytes_max: 20, ..Default::default() };
    let refused = |text: &str, limit| Query::new(text, limit, &settings).unwrap_err().to_string();
    assert!(refused("one two three four five six", 3).contains("search.query_bytes_max"));
    assert!(refused("x", 201).contains("1 to 200"));
}
