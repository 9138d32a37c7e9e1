//! A scope restricts every channel.

use codeintel::index::catalog::ScopeSpec;
use codeintel::search::ChannelName;

use crate::support::{Place, ask, cx, many, only};

fn spec(globs: &[&str], languages: &[&str]) -> ScopeSpec {
    let owned = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
    ScopeSpec { globs: owned(globs), languages: owned(languages) }
}

type Inside = fn(&str) -> bool;

#[test]
fn a_scope_restricts_every_channel_and_does_not_shorten_the_answer() {
    let place = many();
    let searcher = place.searcher();
    let cases: [(ScopeSpec, Inside); 7] = [
        (spec(&["src/**"], &[]), |path| path.starts_with("src/")),
        (spec(&["*.py"], &[]), |path| path.ends_with(".py")),
        (spec(&["!src/**"], &[]), |path| !path.starts_with("src/")),
        (spec(&["src", "lib", "!*.py"], &[]), |path| path.starts_with("src/")),
        (spec(&[], &["go"]), |path| path.ends_with(".go")),
        (spec(&[], &["Python", "rust"]), |path| path.ends_with(".py") || path.ends_with(".rs")),
        (spec(&["!**/parse.rs"], &["rust"]), |path| {
            path.ends_with(".rs") && !path.ends_with("/parse.rs")
        }),
    ];
    for (scope, inside) in cases {
        let live = searcher.catalog().scope(&scope).unwrap().count();
        assert!((6..90).contains(&live), "{scope:?} leaves {live}");
        for text in ["parse_header", "how is a token split", "merge frame"] {
            let query = place.query(text, 5).with_scope(scope.clone());
            let answer = ask(&searcher, &query);
            let limit = format!("the scope left {live} of ");
            assert!(answer.limits.iter().any(|l| l.starts_with(&limit)), "{:?}", answer.limits);
            assert_eq!(answer.findings.len(), 5, "{scope:?} {text}");
            for channels in
                [&ChannelName::ALWAYS[..], &[ChannelName::Dense], &[ChannelName::Lexical]]
            {
                let answer = ask(&searcher, &only(query.clone(), channels));
                let outside = answer.findings.iter().find(|f| !inside(&f.row.path));
                assert!(outside.is_none(), "{scope:?} {text} {channels:?}: {outside:?}");
            }
            // The nearest vectors of the scope are found, even if many outside it are nearer.
            let dense = only(query.clone(), &[ChannelName::Dense]);
            assert_eq!(ask(&searcher, &dense).findings.len(), 5);
        }
    }
    // The name is defined in every folder, but the symbol channel searches only the scope.
    let query = only(place.query("parse_header", 5), &[ChannelName::Symbol]);
    let everywhere = ask(&searcher, &query);
    let best = everywhere.findings[0].row.path.clone();
    let without = ask(&searcher, &query.with_scope(spec(&[&format!("!{best}")], &[])));
    assert!(without.findings.iter().all(|f| f.row.path != best));
}

#[test]
fn an_invalid_scope_is_refused_with_its_value() {
    let place = Place::indexed(&[("a.py", "x = 1\n"), ("b.rs", "fn b() {}\n")]);
    let searcher = place.searcher();
    for (scope, value, suggestion) in [
        (spec(&[], &["pyhton"]), "pyhton", "python"),
        (spec(&[], &["rust", "cobol"]), "cobol", "rust"),
        (spec(&["src/[z-a].rs"], &[]), "src/[z-a].rs", ""),
        (spec(&["{a,b"], &[]), "{a,b", ""),
        (spec(&["!"], &[]), "!", ""),
    ] {
        let query = place.query("anything", 5).with_scope(scope);
        let error = searcher.search(&query, &cx()).unwrap_err();
        assert_eq!(error.kind().http_status(), 400, "{error}");
        let message = error.to_string();
        assert!(message.contains(value) && message.contains(suggestion), "{message}");
    }
}

#[test]
fn an_empty_answer_names_what_was_searched_and_what_to_try() {
    let place = many();
    let searcher = place.searcher();
    let words = [ChannelName::Lexical, ChannelName::Symbol];
    let query = only(place.query("zzqqxxv", 5), &words);
    let answer = ask(&searcher, &query);
    assert!(answer.findings.is_empty());
    let manifest = &searcher.version().manifest;
    let chunks = manifest.live_chunks;
    let files = manifest.files;
    assert_eq!(answer.summary, format!("Nothing found in {chunks} chunks of {files} files."));
    assert!(answer.next_steps.iter().any(|s| s.contains("every channel")));
    assert!(!answer.next_steps.iter().any(|s| s.contains("scope")));

    let nowhere = place.query("parse_header", 5).with_scope(spec(&["nowhere/**"], &[]));
    let answer = ask(&searcher, &nowhere);
    assert!(answer.findings.is_empty());
    assert!(answer.limits.iter().any(|l| l.contains("the scope left 0 of")), "{:?}", answer.limits);
}
