//! Every match is counted, the first ones are returned in order, and no input breaks a search.

use std::fs;
use std::time::Duration;

use super::*;
use crate::base::config::Settings;
use crate::base::error::Error;
use crate::base::telemetry::labels::Tool;
use crate::base::telemetry::{RunContext, Telemetry, attrs};
use crate::corpus::source::{Language, Repo, RepoPath, SkipReason};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        for (path, bytes) in files {
            let path = place.folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        place
    }

    fn repo(&self) -> Repo {
        Repo::open(&[self.folder.path().to_path_buf()], &Settings::default()).unwrap()
    }

    fn search(&self, query: &TextQuery) -> TextMatches {
        let found = self.repo().search_text(query, &cx()).unwrap();
        assert!(found.is_complete);
        found
    }

    fn fails(&self, query: &TextQuery) -> String {
        let error = self.repo().search_text(query, &cx()).unwrap_err();
        assert!(matches!(error, Error::Argument { .. }), "{error}");
        error.to_string()
    }
}

fn cx() -> RunContext {
    RunContext::new(&Telemetry::detached(), Tool::Search, &[])
}

/// `path:line` of each match.
fn places(found: &TextMatches) -> Vec<String> {
    found.matches.iter().map(|one| format!("{}:{}", one.path, one.lines.start())).collect()
}

/// The marked parts of the first match.
fn marked(found: &TextMatches) -> Vec<&str> {
    let first = &found.matches[0];
    first.spans.iter().map(|span| &first.text[span.clone()]).collect()
}

#[test]
fn matches_are_returned_by_path_and_line_with_their_parts_marked() {
    let place = Place::new(&[
        ("b.rs", b"fn one() {}\nfn two() { one(); one() }\n"),
        ("a/c.rs", b"one\n"),
        ("a.txt", "// \u{e9}\u{e9} one\n".as_bytes()),
    ]);
    let cx = cx();
    let found = place.repo().search_text(&TextQuery::literal("one"), &cx).unwrap();
    let step = &cx.report().steps[0];
    let told = step.get(attrs::TEXT_MATCHES).map(ToString::to_string);
    assert_eq!((step.stage.span_name(), told.as_deref()), ("search.text", Some("4")));
    assert_eq!(places(&found), ["a.txt:1", "a/c.rs:1", "b.rs:1", "b.rs:2"]);
    assert_eq!((found.total, found.files_matched, found.files_searched), (4, 3, 3));
    assert_eq!((found.matches[0].column, found.matches[0].text.as_str()), (7, "// éé one"));
    let last = &found.matches[3];
    assert_eq!((last.column, last.spans.clone()), (12, vec![11..14, 18..21]));
    assert_eq!(&last.text[18..21], "one");
}

#[test]
fn a_text_is_no_expression_and_case_and_words_are_kept() {
    let place = Place::new(&[("a.txt", b"a.b\nAxB\nA.B\nxa.bx\n")]);
    let lines = |query: TextQuery| place.search(&query).total;
    assert_eq!(lines(TextQuery::literal("a.b")), 3, "smart case, without capitals");
    assert_eq!(lines(TextQuery::literal("A.B")), 1, "smart case, with capitals");
    assert_eq!(lines(TextQuery { case: CaseMode::Sensitive, ..TextQuery::literal("a.b") }), 2);
    assert_eq!(lines(TextQuery { case: CaseMode::Insensitive, ..TextQuery::literal("A.B") }), 3);
    assert_eq!(lines(TextQuery { word: true, ..TextQuery::literal("a.b") }), 2);
    assert_eq!(lines(TextQuery::regex("^a.b$")), 3);
    assert_eq!(lines(TextQuery::regex(r"a\.b$")), 2);
    assert_eq!(lines(TextQuery::regex("nothing")), 0);
}

#[test]
fn all_matches_are_counted_and_the_rest_can_be_asked_for() {
    let text: String = (0..100).map(|n| format!("word {n}\n")).collect();
    let names: Vec<String> = (0..30).map(|n| format!("f{n:02}.txt")).collect();
    let files: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), text.as_bytes())).collect();
    let place = Place::new(&files);
    let mut query = TextQuery { matches_max: 70, ..TextQuery::literal("word") };
    let all = place.search(&TextQuery { matches_max: 1000, ..query.clone() });
    let mut pages = Vec::new();
    for _ in 0..15 {
        let page = place.search(&query);
        assert_eq!((page.total, page.files_matched), (3000, 30));
        let last = page.matches.last().unwrap();
        query.after = Some((last.path.clone(), *last.lines.end()));
        pages.extend(page.matches);
    }
    assert_eq!(all.matches.len(), 1000);
    assert_eq!(pages[..1000], all.matches[..]);
    query.after = Some((RepoPath::new("f29.txt"), 98));
    assert_eq!(places(&place.search(&query)), ["f29.txt:99", "f29.txt:100"]);
}

#[test]
fn only_files_of_the_index_are_searched_by_glob_and_language() {
    let place = Place::new(&[
        (".gitignore", b"*.log\n"),
        ("a.log", b"x\n"),
        (".hidden.rs", b"x\n"),
        ("src/a.rs", b"x\n"),
        ("src/deep/b.py", b"x\n"),
        ("run", b"#!/usr/bin/env python3\nx\n"),
        ("large.txt", &[b'x'; 2 << 20]),
        ("binary.rs", b"x\nx\n\0x\n"),
        ("late.rs", &[b"x\n".repeat(100_000).as_slice(), b"\0"].concat()),
    ]);
    let query = TextQuery::literal("x");
    let found = place.search(&query);
    assert_eq!(places(&found), ["run:2", "src/a.rs:1", "src/deep/b.py:1"]);
    let skipped = [SkipReason::Binary, SkipReason::TooLarge].map(|why| found.skipped.get(why));
    assert_eq!((found.total, skipped), (3, [2, 1]));
    let globs = vec!["src/**".to_owned(), "!*.py".to_owned()];
    let found = place.search(&TextQuery { globs, ..query.clone() });
    assert_eq!((places(&found), found.files_searched), (vec!["src/a.rs:1".to_owned()], 1));
    let python = TextQuery { languages: vec![Language::Python], ..query.clone() };
    assert_eq!(places(&place.search(&python)), ["run:2", "src/deep/b.py:1"]);
    let wrong = TextQuery { globs: vec!["src/[a".to_owned()], ..query };
    assert!(place.fails(&wrong).contains("src/[a"));
    let nothing = Place::new(&[]).search(&TextQuery::literal("x"));
    assert_eq!((nothing.total, nothing.files_searched), (0, 0));
}

#[test]
fn context_lines_are_told_once() {
    let text: String = (1..=20).map(|n| format!("line {n}.\n")).collect();
    let place = Place::new(&[("a.txt", text.as_bytes())]);
    let query = TextQuery { context_lines: 2, ..TextQuery::regex(r" (5|8|20)\.") };
    let found = place.search(&query);
    let around = |lines: &[ContextLine]| lines.iter().map(|line| line.line).collect::<Vec<_>>();
    let told: Vec<_> =
        found.matches.iter().map(|one| (around(&one.before), around(&one.after))).collect();
    let expected = [(vec![3, 4], vec![6, 7]), (vec![], vec![9, 10]), (vec![18, 19], vec![])];
    assert_eq!(told, expected);
    assert_eq!(found.matches[0].before[0].text, "line 3.");
    let first = place.search(&TextQuery { matches_max: 1, ..query });
    assert_eq!((around(&first.matches[0].after), first.total), (vec![6, 7], 3));
}

#[test]
fn a_match_may_span_lines_when_asked() {
    let place = Place::new(&[
        ("a.rs", b"fn a(\n    x: u8,\n) {}\nfn b() {}\n"),
        ("crlf.rs", b"one\r\ntwo\r\nthree\r\n"),
    ]);
    let expression = TextQuery::regex(r"fn a\([^)]*\)");
    assert_eq!(place.search(&expression).total, 0);
    let found = place.search(&TextQuery { multiline: true, ..expression });
    assert_eq!((found.total, found.matches[0].lines.clone()), (1, 1..=3));
    assert_eq!(found.matches[0].text, "fn a(\n    x: u8,\n) {}");
    assert_eq!(marked(&found), ["fn a(\n    x: u8,\n)"]);
    let found = place.search(&TextQuery::literal("one\ntwo"));
    assert_eq!(places(&found), ["crlf.rs:1"], "a text with line feeds, in either line end");
    assert_eq!(found.matches[0].lines, 1..=2);
    assert!(place.fails(&TextQuery::regex(r"one\ntwo")).contains("multiline"));
}

#[test]
fn every_encoding_and_line_end_is_searched() {
    let utf16: Vec<u8> = [0xFEFF]
        .into_iter()
        .chain("let gr\u{fc}n;\n".encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let place = Place::new(&[
        ("bom.py", b"\xEF\xBB\xBFimport os\n"),
        ("crlf.txt", b"the end\r\nthe end of it\r\n"),
        ("latin.txt", b"caf\xE9 au lait\n"),
        ("utf16.txt", &utf16),
        ("last.txt", b"no line feed"),
    ]);
    assert_eq!(places(&place.search(&TextQuery::regex("^import"))), ["bom.py:1"]);
    let found = place.search(&TextQuery::regex("end$"));
    assert_eq!(
        (places(&found), found.matches[0].text.as_str()),
        (vec!["crlf.txt:1".to_owned()], "the end")
    );
    assert_eq!(place.search(&TextQuery::regex(r"end\r$")).total, 1);
    let found = place.search(&TextQuery::literal("lait"));
    assert_eq!(
        (found.matches[0].text.as_str(), marked(&found)),
        ("caf\u{fffd} au lait", vec!["lait"])
    );
    assert_eq!(marked(&place.search(&TextQuery::literal("gr\u{fc}n"))), ["gr\u{fc}n"]);
    assert_eq!(places(&place.search(&TextQuery::literal("feed"))), ["last.txt:1"]);
}

#[test]
fn a_long_line_is_clipped_around_its_match() {
    let line = format!("{}needle{}\n", "\u{e9}".repeat(50_000), "z".repeat(50_000));
    let place = Place::new(&[("a.min.js", line.as_bytes()), ("b.js", "n".repeat(9000).as_bytes())]);
    let found = place.search(&TextQuery::literal("needle"));
    let one = &found.matches[0];
    assert_eq!((one.column, one.is_clipped, marked(&found)), (50_001, true, vec!["needle"]));
    assert!(one.text.len() <= 510, "{} bytes", one.text.len());
    assert!(one.text.starts_with('…') && one.text.ends_with('…'), "{}", one.text);
    let found = place.search(&TextQuery::regex("n"));
    let one = found.matches.last().unwrap();
    assert_eq!((one.spans.len(), one.is_clipped), (64, true), "marks are bounded");
    let found = place.search(&TextQuery::regex("n+$"));
    let one = found.matches.last().unwrap();
    assert_eq!((one.spans.len(), one.text.ends_with('…')), (1, true), "longer than the preview");
}

#[test]
fn a_pattern_that_is_wrong_is_named_with_the_position() {
    let place = Place::new(&[("a.txt", b"x\n")]);
    for (pattern, parts) in [
        ("caf\u{e9} (open", ["unclosed group", "character 6"]),
        ("[z-a]", ["invalid character class range", "character 2"]),
        (r"\p{Klingon}", ["Unicode property", "character 1"]),
        (r"(?=look)", ["look-around", "character 1"]),
        (r"(a)\1", ["backreferences", "character 4"]),
    ] {
        let message = place.fails(&TextQuery::regex(pattern));
        for part in parts.iter().chain([&"pattern"]) {
            assert!(message.contains(part), "{part} in {message}");
        }
    }
    assert!(place.fails(&TextQuery::literal("")).contains("pattern"));
    assert!(place.fails(&TextQuery::literal("x".repeat(20_000))).contains("20000 bytes"));
    assert!(place.fails(&TextQuery::regex(r"\w{900}")).contains("smaller expression"));
    assert!(place.fails(&TextQuery::literal("a\0b")).contains("0x00"));
    assert!(
        place.fails(&TextQuery { matches_max: 0, ..TextQuery::literal("x") }).contains("1 to 1000")
    );
    let wide = TextQuery { context_lines: 21, ..TextQuery::literal("x") };
    assert!(place.fails(&wide).contains("0 to 20"));
}

#[test]
fn a_hostile_pattern_ends_with_the_time_and_an_endless_one_is_refused() {
    // An expression with more states than fit into memory, over text that visits them.
    let mut random = fastrand::Rng::with_seed(1);
    let mut line = |bytes: usize| -> String {
        (0..bytes).map(|_| if random.bool() { 'a' } else { 'b' }).chain(['\n']).collect()
    };
    let long = line(1_000_000);
    let short: String = (0..16).map(|_| line(60_000)).collect();
    let names: Vec<String> = (0..40).map(|n| format!("f{n}.txt")).collect();
    let mut files: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), short.as_bytes())).collect();
    files.push(("a_long.txt", long.as_bytes()));
    let place = Place::new(&files);
    let hostile = TextQuery {
        time_max: Duration::from_millis(200),
        ..TextQuery::regex(r"[ab]*a[ab]{800}[cd]")
    };
    let found = place.repo().search_text(&hostile, &cx()).unwrap();
    assert!(!found.is_complete && found.files_searched < 40, "{found:?}");
    assert_eq!(found.skipped.get(SkipReason::LongLines), 1);
    let plain = place.search(&TextQuery::regex("[ab]a$"));
    assert_eq!((plain.files_searched, plain.skipped.total()), (41, 0));
    for endless in [r"[ab]*a[ab]{2000}[cd]", r"((a{10}){10}){11}", "(?:ab|cd){501}"] {
        assert!(place.fails(&TextQuery::regex(endless)).contains("characters apart"), "{endless}");
    }
    let text = "a".repeat(1001);
    assert!(place.fails(&TextQuery::literal(&text)).contains("characters apart"));
    let exact = TextQuery { case: CaseMode::Sensitive, ..TextQuery::literal(text) };
    assert_eq!(place.search(&exact).total, 0);
}

#[test]
fn time_and_cancellation_are_kept() {
    let place = Place::new(&[("a.txt", b"x\n")]);
    let query = TextQuery::literal("x");
    let late = cx().with_deadline(Duration::ZERO);
    let found = place.repo().search_text(&query, &late).unwrap();
    assert_eq!((found.is_complete, found.total), (false, 0));
    let cancelled = cx();
    cancelled.cancel();
    let error = place.repo().search_text(&query, &cancelled).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
}
