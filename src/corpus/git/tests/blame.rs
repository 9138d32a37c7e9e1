//! Lines are blamed on the commit that wrote them, also where that is not plain.

use std::time::Duration;

use super::*;

fn check(place: &Place, path: &str) {
    let expected = blame_of_git(place.folder.path(), path);
    assert_eq!(lines(&place.blame(path)), expected, "{path}");
}

/// The summary of the commit of each line; "-" if it is not committed.
fn summaries(blame: &Blame) -> Vec<String> {
    let mut summaries = Vec::new();
    for hunk in &blame.hunks {
        let summary = match &hunk.origin {
            BlameOrigin::Commit { commit, .. } => commit.summary.clone(),
            BlameOrigin::Uncommitted => "-".to_owned(),
            BlameOrigin::NotFound => "?".to_owned(),
        };
        summaries.extend(hunk.lines.clone().map(|_| summary.clone()));
    }
    summaries
}

#[test]
fn each_line_is_blamed_on_its_commit() {
    let place = Place::committed(&[("a.rs", b"one\ntwo\nthree\n")]);
    place.write("a.rs", b"one\n2\nthree\nfour");
    place.commit(2000, "Second\n\nWith a body");
    assert_eq!(summaries(&place.blame("a.rs")), ["First", "Second", "First", "Second"]);
    let blame = place.blame("a.rs");
    let BlameOrigin::Commit { commit, path, line, is_boundary } = &blame.hunks[2].origin else {
        panic!("{blame:?}");
    };
    assert_eq!((commit.author.as_str(), commit.time_s, commit.id.len()), ("Ada", 1000, 40));
    assert_eq!((path.as_str(), *line, *is_boundary), ("a.rs", 3, false));
    assert_eq!(blame.head, Some(place.git(0, &["rev-parse", "HEAD"]).trim().to_owned()));
}

#[test]
fn lines_that_are_not_committed_are_said_so() {
    let place = Place::committed(&[("a.rs", b"one\ntwo\nthree\n"), ("gone.rs", b"x\n")]);
    place.write("a.rs", b"zero\none\nthree\nfour\n");
    assert_eq!(summaries(&place.blame("a.rs")), ["-", "First", "First", "-"]);
    check(&place, "a.rs");
    place.git(0, &["add", "a.rs"]);
    check(&place, "a.rs");
    place.write("new.rs", b"1\n2\n");
    assert_eq!(summaries(&place.blame("new.rs")), ["-", "-"]);
    place.write("empty.rs", b"");
    assert_eq!(place.blame("empty.rs").hunks, []);

    fs::remove_file(place.path("gone.rs")).unwrap();
    let gone = RepoPath::new("gone.rs");
    let error = place.repo().blame(&gone, 1..=1, &BlameCache::default(), &cx()).unwrap_err();
    assert!(matches!(error, Error::PathNotFound { .. }), "{error}");

    let unborn = Place::new(&[("a.rs", b"one\n")]);
    unborn.git(0, &["init", "-q"]);
    assert_eq!(summaries(&unborn.blame("a.rs")), ["-"]);
    assert_eq!(unborn.blame("a.rs").head, None);
}

#[test]
fn line_ends_of_a_checkout_are_no_change_but_a_commit_of_line_ends_is() {
    let place = Place::committed(&[("a.rs", b"one\ntwo\n")]);
    place.write("a.rs", b"one\r\ntwo\r\nthree\r\n");
    assert_eq!(summaries(&place.blame("a.rs")), ["First", "First", "-"]);
    place.git(0, &["config", "core.autocrlf", "false"]);
    place.write("a.rs", b"one\r\ntwo\r\n");
    place.commit(2000, "Second");
    assert_eq!(summaries(&place.blame("a.rs")), ["Second", "Second"]);
    check(&place, "a.rs");
}

#[test]
fn a_rename_that_meets_a_merge_loses_no_line() {
    let text: String = (0..30).map(|n| format!("line {n}\n")).collect();
    let place = Place::committed(&[("old.rs", text.as_bytes())]);
    place.git(1500, &["checkout", "-qb", "side"]);
    place.write("old.rs", text.replace("line 25\n", "line 25 of the side\n").as_bytes());
    place.commit(2000, "Side");
    place.git(2100, &["checkout", "-q", "main"]);
    place.git(2200, &["mv", "old.rs", "new.rs"]);
    place.write("new.rs", text.replace("line 3\n", "line 3 of main\n").as_bytes());
    place.commit(3000, "Rename");
    place.git(4000, &["merge", "-q", "--no-ff", "side", "-m", "Merge"]);
    let found = summaries(&place.blame("new.rs"));
    assert_eq!(
        (found[3].as_str(), found[25].as_str(), found[4].as_str()),
        ("Rename", "Side", "First")
    );
    check(&place, "new.rs");
}

#[test]
fn histories_that_began_apart_are_both_followed() {
    let place = Place::committed(&[("a.rs", b"1\n2\n3\n")]);
    place.git(1500, &["checkout", "-q", "--orphan", "other"]);
    place.git(1500, &["rm", "-qrf", "."]);
    place.write("b.rs", b"4\n5\n6\n");
    place.commit(2000, "Other");
    place.write("b.rs", b"4\n5\n6\n7\n");
    place.commit(2500, "More");
    place.git(3000, &["merge", "-q", "--allow-unrelated-histories", "main", "-m", "Merge"]);
    assert_eq!(summaries(&place.blame("a.rs")), ["First"; 3]);
    assert_eq!(summaries(&place.blame("b.rs")), ["Other", "Other", "Other", "More"]);
    check(&place, "a.rs");
    check(&place, "b.rs");
}

#[test]
fn what_cannot_be_blamed_is_an_error_that_says_why() {
    let place = Place::committed(&[("a.rs", b"one\ntwo\n"), ("sub/b.bin", b"a\0b\n")]);
    let cache = BlameCache::default();
    let fails = |path: &str, lines: std::ops::RangeInclusive<u32>, part: &str| {
        let error = place.repo().blame(&RepoPath::new(path), lines, &cache, &cx()).unwrap_err();
        assert!(error.to_string().contains(part), "{path}: {error}");
        error.kind().code()
    };
    #[allow(clippy::reversed_empty_ranges)]
    for lines in [0..=1, 3..=4, 2..=1] {
        assert_eq!(fails("a.rs", lines, "within 1-2"), "invalid-parameter");
    }
    assert_eq!(fails("sub", 1..=1, "not a folder"), "invalid-parameter");
    assert_eq!(fails("sub/b.bin", 1..=1, "binary"), "invalid-parameter");
    assert_eq!(fails("missing/c.rs", 1..=1, "missing/c.rs"), "path-not-found");
    assert_eq!(fails("../x", 1..=1, "../x"), "path-not-found");
    assert_eq!(fails(".git/config", 1..=1, ".git/config"), "path-not-found");
    #[cfg(unix)]
    {
        let outside = Place::committed(&[("secret.rs", b"x\n")]);
        std::os::unix::fs::symlink(outside.path("secret.rs"), place.path("link.rs")).unwrap();
        std::os::unix::fs::symlink(outside.folder.path(), place.path("out")).unwrap();
        assert_eq!(fails("link.rs", 1..=1, "a link"), "invalid-parameter");
        assert_eq!(fails("out/secret.rs", 1..=1, "out/secret.rs"), "path-not-found");
    }
}

#[test]
fn time_and_cancellation_are_kept_and_leave_nothing_wrong_behind() {
    let place = Place::committed(&[("a.rs", b"one\ntwo\n")]);
    let (repo, path, cache) = (place.repo(), RepoPath::new("a.rs"), BlameCache::default());
    let late = cx().with_deadline(Duration::ZERO);
    let blame = repo.blame(&path, 1..=2, &cache, &late).unwrap();
    assert_eq!((summaries(&blame), blame.is_complete()), (vec!["?".to_owned(); 2], false));
    let blame = repo.blame(&path, 1..=2, &cache, &cx()).unwrap();
    assert_eq!((summaries(&blame), blame.is_complete()), (vec!["First".to_owned(); 2], true));
    let cancelled = cx();
    cancelled.cancel();
    let error = repo.blame(&path, 1..=2, &cache, &cancelled).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    let error = repo.file_history(&path, 9, &cancelled).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    let history = repo.file_history(&path, 9, &late).unwrap();
    assert_eq!((history.changes.len(), history.stopped), (0, Some(HistoryStop::Time)));
}

#[test]
fn the_cache_is_bounded_and_a_new_head_is_looked_up_anew() {
    let text: String = (0..200).map(|n| format!("line {n}\n")).collect();
    let names: Vec<String> = (0..20).map(|n| format!("f{n}.rs")).collect();
    let files: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), text.as_bytes())).collect();
    let place = Place::committed(&files);
    let (repo, cache) = (place.repo(), BlameCache::new(16_000));
    let blame = |name: &str| repo.blame(&RepoPath::new(name), 1..=200, &cache, &cx()).unwrap();
    for name in &names {
        assert_eq!(summaries(&blame(name)), vec!["First"; 200]);
        assert!((1..=16_000).contains(&cache.bytes()), "{} bytes", cache.bytes());
    }
    assert_eq!(blame("f19.rs"), blame("f19.rs"));
    place.write("f19.rs", b"line 0\nfresh\n");
    assert_eq!(summaries(&blame("f19.rs")), ["First", "-"]);
    place.commit(2000, "Second");
    assert_eq!(summaries(&blame("f19.rs")), ["First", "Second"]);
}
