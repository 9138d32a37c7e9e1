//! A history has the commits that changed the file, and follows it to its earlier names.

use super::*;

fn summaries(history: &FileHistory) -> Vec<&str> {
    history.changes.iter().map(|change| change.commit.summary.as_str()).collect()
}

#[test]
fn a_renamed_file_keeps_its_history() {
    let text: String = (0..30).map(|n| format!("line {n}\n")).collect();
    let place = Place::committed(&[("old.rs", text.as_bytes()), ("other.rs", b"x\n")]);
    place.write("old.rs", text.replace("line 7\n", "line seven\n").as_bytes());
    place.commit(2000, "Change");
    place.write("other.rs", b"y\n");
    place.commit(2500, "Unrelated");
    fs::create_dir(place.path("src")).unwrap();
    place.git(3000, &["mv", "old.rs", "src/new.rs"]);
    place.write("src/new.rs", (text + "more\n").as_bytes());
    place.commit(3000, "Move");
    let history = place.history("src/new.rs");
    assert_eq!(summaries(&history), ["Move", "Change", "First"]);
    let kinds: Vec<&ChangeKind> = history.changes.iter().map(|change| &change.kind).collect();
    let renamed = ChangeKind::Renamed { from: "old.rs".to_owned() };
    assert_eq!(kinds, [&renamed, &ChangeKind::Modified, &ChangeKind::Added]);
    assert_eq!(history.changes[2].path, "old.rs");
    assert_eq!(history.stopped, None);
}

#[test]
fn a_limit_is_kept_and_told() {
    let place = Place::committed(&[("a.rs", b"0\n")]);
    for n in 1..5 {
        place.write("a.rs", format!("{n}\n").as_bytes());
        place.commit(1000 + n, &n.to_string());
    }
    let history = |limit| place.repo().file_history(&RepoPath::new("a.rs"), limit, &cx()).unwrap();
    assert_eq!(summaries(&history(2)), ["4", "3"]);
    assert_eq!(history(2).stopped, Some(HistoryStop::Limit));
    assert_eq!((history(5).changes.len(), history(5).stopped), (5, None));
    for limit in [0, 1001] {
        let error = place.repo().file_history(&RepoPath::new("a.rs"), limit, &cx()).unwrap_err();
        assert!(matches!(error, Error::Argument { name: "limit", .. }), "{error}");
    }
}

#[test]
fn a_file_that_is_not_in_head_has_an_empty_history_and_one_that_is_nowhere_none() {
    let place = Place::committed(&[("a.rs", b"0\n"), ("gone.rs", b"0\n")]);
    place.write("new.rs", b"1\n");
    assert_eq!(place.history("new.rs").changes, []);
    fs::remove_file(place.path("gone.rs")).unwrap();
    assert_eq!(summaries(&place.history("gone.rs")), ["First"], "it is in HEAD");
    let missing = RepoPath::new("sub/missing.rs");
    let error = place.repo().file_history(&missing, 9, &cx()).unwrap_err();
    assert!(matches!(error, Error::PathNotFound { .. }), "{error}");
}

#[test]
fn a_copy_and_a_file_of_the_same_name_are_no_renames() {
    let text: String = (0..30).map(|n| format!("line {n}\n")).collect();
    let place = Place::committed(&[("a/mod.rs", text.as_bytes()), ("b/mod.rs", b"b\n")]);
    place.write("copy.rs", text.as_bytes());
    place.commit(2000, "Copy");
    assert_eq!(summaries(&place.history("copy.rs")), ["Copy"], "the original is still there");
    fs::remove_file(place.path("b/mod.rs")).unwrap();
    place.write("c/mod.rs", b"something else\n");
    place.commit(3000, "Other");
    assert_eq!(summaries(&place.history("c/mod.rs")), ["Other"], "nothing in common");
}
