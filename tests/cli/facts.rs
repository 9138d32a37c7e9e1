//! The map of a repository and the facts about its files, through every change that they depend on.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::files_and_history::{commit, git, tool};
use crate::support::Place;

const CORE: &str = "\
/// Says where something went wrong.
pub struct CoreError;

/// Opens the store.
pub fn open_store() -> CoreError {
    CoreError
}

pub fn close_store() {}

fn private_part() {}
";

fn user(name: &str) -> String {
    format!(
        "use crate::core::{{CoreError, open_store}};\n\npub fn {name}() -> CoreError {{\n    open_store()\n}}\n"
    )
}

/// A repository of two commits in which every file uses src/core.rs.
fn committed() -> Place {
    let place = Place::new(&[
        ("src/core.rs", CORE),
        ("src/first.rs", &user("first_user")),
        ("src/second.rs", &user("second_user")),
        ("src/third.rs", &user("third_user")),
        ("README.md", "# Read me\n\nopen_store opens it.\n"),
        ("Cargo.toml", "[package]\nname = \"x\"\n"),
        (".github/workflows/test.yml", "on: push\n"),
        (".github/CODEOWNERS", "*.md @writers\n"),
    ]);
    git(place.repo(), "Ada", &["init", "-q", "-b", "main"]);
    commit(&place, "Ada", "First");
    place.write("src/core.rs", format!("{CORE}\npub fn third_part() {{}}\n"));
    commit(&place, "Grace", "Second");
    place.index();
    place
}

fn facts(place: &Place, what: &str) -> Value {
    tool(place, "repo_facts", &json!({ "what": what }))
}

/// The row of `path`.
#[track_caller]
fn row<'a>(answer: &'a Value, path: &str) -> &'a Value {
    let rows = answer["rows"].as_array().unwrap();
    rows.iter().find(|row| row["path"] == path).unwrap_or_else(|| panic!("{path}: {answer}"))
}

#[test]
fn the_map_begins_with_the_file_that_the_others_use() {
    let place = committed();
    let out = place.run(&["map"]).ok();
    let core = "4 of 6 files, most central first\nsrc/core.rs\n  2-2  pub struct CoreError\n  \
                5-7  pub fn open_store() -> CoreError\n";
    assert!(out.starts_with(core), "{out}");
    assert!(!out.contains("README.md") && !out.contains("private_part"), "{out}");
    let only = place.run(&["map", "--glob", "src/second.rs"]).ok();
    assert!(only.starts_with("1 of 1 files"), "{only}");
    let map = tool(&place, "repo_map", &json!({ "max_tokens": 256 }));
    let centrality: Vec<f64> = map["files"].as_array().unwrap().iter().map(share).collect();
    assert!(centrality.is_sorted_by(|a, b| a >= b) && centrality[0] > 0.2, "{map}");
    assert!(map["tokens"].as_u64().unwrap() <= 256, "{map}");
    place.run(&["map", "--tokens", "100"]).fails(2, &["max_tokens", "256 to 16000"]);
}

fn share(file: &Value) -> f64 {
    file["centrality"].as_f64().unwrap()
}

#[test]
fn facts_follow_the_files_and_the_commits() {
    let place = committed();
    let hotspots = facts(&place, "hotspots");
    let core = row(&hotspots, "src/core.rs");
    let figures =
        |row: &Value| ["commits", "lines", "authors", "score"].map(|key| row[key].clone());
    assert_eq!(figures(core), [2, 13, 2, 26].map(Value::from), "{hotspots}");
    assert_eq!(hotspots["rows"][0]["path"], "src/core.rs");
    assert_eq!(hotspots["rows"].as_array().unwrap().len(), 4, "code only: {hotspots}");
    assert_eq!(hotspots["notes"], json!([]));

    let owners = facts(&place, "owners");
    let owner = |path: &str| row(&owners, path)["owners"][0].clone();
    let by = |name: &str, by: &str| json!({ "name": name, "share": 1.0, "by": by });
    assert_eq!(owner("README.md"), by("@writers", "CODEOWNERS"));
    assert_eq!(owner("src/first.rs"), by("Ada", "commits"));

    let documentation = facts(&place, "documentation");
    let core = row(&documentation, "src/core.rs");
    assert_eq!((&core["definitions"], &core["documented"]), (&json!(4), &json!(2)));
    let configuration = facts(&place, "configuration");
    assert_eq!(row(&configuration, "Cargo.toml")["kind"], "build");
    assert_eq!(row(&configuration, ".github/workflows/test.yml")["kind"], "ci");
    let overview = facts(&place, "overview");
    assert_eq!(overview["languages"][0]["language"], "rust");
    assert_eq!(overview["sum"]["files"], 6);

    // An edit changes the lines; the commits stay until there is another one.
    place.write("src/core.rs", format!("{CORE}\n/// Three.\npub fn third_part() {{}}\n"));
    place.index();
    let edited = facts(&place, "hotspots");
    assert_eq!(figures(row(&edited, "src/core.rs")), [2, 14, 2, 28].map(Value::from));
    let documentation = facts(&place, "documentation");
    assert_eq!(row(&documentation, "src/core.rs")["documented"], 3);

    commit(&place, "Ada", "Third");
    place.write("src/first.rs", user("renamed_user"));
    place.index();
    let after = facts(&place, "hotspots");
    assert_eq!(figures(row(&after, "src/core.rs")), [3, 14, 2, 42].map(Value::from));
    assert_eq!(row(&after, "src/first.rs")["commits"], 1, "not committed yet");
}

#[test]
fn without_a_history_the_other_facts_are_there_and_the_answer_says_so() {
    let place = Place::indexed(&[("src/core.rs", CORE), ("src/first.rs", &user("first_user"))]);
    let none = facts(&place, "hotspots");
    assert_eq!(none["rows"], json!([]));
    assert!(none["notes"][0].as_str().unwrap().contains("no git repository"), "{none}");
    assert_eq!(row(&facts(&place, "documentation"), "src/core.rs")["definitions"], 3);

    let mut place = committed();
    place.settings.source.history = false;
    place.write("src/first.rs", user("renamed_user"));
    place.index();
    let off = facts(&place, "owners");
    assert_eq!(row(&off, "src/first.rs")["owners"], Value::Null);
    assert_eq!(row(&off, "README.md")["owners"][0]["name"], "@writers");
    assert!(off["notes"][0].as_str().unwrap().contains("source.history"), "{off}");
}

#[test]
fn a_shallow_clone_counts_the_commits_that_it_knows_the_changes_of() {
    let origin = committed();
    let place = Place::new(&[]);
    fs::remove_dir(place.repo()).unwrap();
    let from = format!("file://{}", origin.repo().display());
    git(Path::new(place.path()), "Ada", &["clone", "-q", "--depth=1", &from, "repo"]);
    place.index();
    let shallow = facts(&place, "hotspots");
    assert_eq!(shallow["rows"], json!([]));
    assert!(shallow["notes"][0].as_str().unwrap().contains("shallow"), "{shallow}");
}
