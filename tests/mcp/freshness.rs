//! How fresh an answer is: the files that differ from the version that answered.

use std::fs::File;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::client::Pipes;
use crate::support::{Place, many, wait_for};

fn place() -> Place {
    let place = Place::new(&[
        (".gitignore", "out/\n"),
        ("a.py", "def first():\n    return 1\n"),
        ("b.py", "def second():\n    return 2\n"),
        ("c.py", "def third():\n    return 3\n"),
    ]);
    place.write("picture.bin", b"\0\x01\x02");
    place.index();
    place
}

fn changed(place: &Place) -> Value {
    place.run(&["status", "--json"]).json()["dirty_files"].clone()
}

#[test]
fn edited_new_and_deleted_files_count_and_no_others() {
    let place = place();
    assert_eq!(changed(&place), 0);
    let touched = File::options().write(true).open(place.repo().join("a.py")).unwrap();
    touched.set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
    place.write("out/ignored.py", "def ignored():\n    return 0\n");
    place.write("more.bin", b"\0\x01\x02");
    assert_eq!(changed(&place), 0, "the text of every indexed file is the same");
    place.write("a.py", "def first():\n    return 7\n");
    assert_eq!(changed(&place), 1);
    place.write("d.py", "def fourth():\n    return 4\n");
    assert_eq!(changed(&place), 2);
    place.remove("c.py");
    assert_eq!(changed(&place), 3);
    let line = place.run(&["status"]).ok();
    assert!(line.contains("changed   3 files since then"), "{line}");
    place.index();
    assert_eq!(changed(&place), 0);
    std::fs::rename(place.repo(), place.path().join("elsewhere")).unwrap();
    assert_eq!(changed(&place), Value::Null);
}

#[test]
fn an_answer_says_that_files_have_changed_until_the_index_is_updated() {
    let place = place();
    let mut pipes = Pipes::ready(&place, &["--no-watch"]);
    place.write("a.py", "def first():\n    return 7\n");
    let mut answer = Value::Null;
    wait_for("the count of changes", || {
        answer = pipes.call("semantic_search", json!({ "query": "second" })).ok();
        answer["freshness"]["dirty_files"] == 1
    });
    let limits = answer["limits"].to_string();
    assert!(limits.contains("1 file has changed since the index was made"), "{answer}");
    assert!(answer["next_steps"].to_string().contains("reindex"), "{answer}");
    pipes.call("reindex", json!({})).ok();
    wait_for("a count of no changes", || {
        answer = pipes.call("semantic_search", json!({ "query": "second" })).ok();
        answer["freshness"]["dirty_files"] == 0
    });
    assert_eq!((&answer["limits"], &answer["next_steps"]), (&json!([]), &json!([])));
}

#[test]
fn a_process_that_watches_its_files_knows_when_none_has_changed() {
    let place = many();
    let mut pipes = Pipes::ready(&place, &["repo"]);
    let mut files_when_fresh = |files: usize| {
        wait_for("a fresh index", || {
            let status = pipes.call("index_status", json!({})).ok();
            status["files"] == files && status["dirty_files"] == 0
        });
    };
    files_when_fresh(41);
    place.write("more.py", "def parse_more():\n    return 1\n");
    files_when_fresh(42);
}
