//! Text search, blame, history, and the short commands, in a small git repository.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::assert_fields;
use crate::support::Place;

const POOL: &str = "\
/// Hands out connections.
pub struct Pool;

impl Pool {
    pub fn acquire(&self) -> usize {
        retry_budget()
    }
}

fn retry_budget() -> usize {
    3
}
";

/// Runs git with a fixed author and without the user's configuration.
#[track_caller]
pub fn git(folder: &Path, author: &str, args: &[&str]) {
    let mut git = Command::new("git");
    git.current_dir(folder).args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), author).env(format!("GIT_{role}_EMAIL"), "a@b.c");
        git.env(format!("GIT_{role}_DATE"), "1700000000 +0000");
    }
    git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let ran = git.output().unwrap();
    assert!(ran.status.success(), "git {args:?}: {ran:?}");
}

#[track_caller]
pub fn commit(place: &Place, author: &str, message: &str) {
    git(place.repo(), author, &["add", "-A"]);
    git(place.repo(), author, &["commit", "-q", "-m", message]);
}

/// A repository of three commits, in which a file was renamed, with its index.
fn committed() -> Place {
    let place =
        Place::new(&[("src/pool.rs", POOL), ("notes.md", "# Notes\n\nretry_budget is 3.\n")]);
    git(place.repo(), "Ada", &["init", "-q", "-b", "main"]);
    commit(&place, "Ada", "Add the pool");
    git(place.repo(), "Ada", &["mv", "src/pool.rs", "src/connections.rs"]);
    commit(&place, "Ada", "Rename the pool's file");
    place.write("src/connections.rs", POOL.replace("    3\n", "    5\n"));
    commit(&place, "Grace", "Retry more often");
    place.index();
    place
}

#[track_caller]
pub fn tool(place: &Place, name: &str, arguments: &Value) -> Value {
    place.run(&["tool", name, "--json", &arguments.to_string()]).json()
}

#[track_caller]
pub fn refused(place: &Place, name: &str, arguments: &Value, parts: &[&str]) {
    place.run(&["tool", name, "--json", &arguments.to_string()]).fails(2, parts);
}

#[test]
fn grep_prints_every_match_with_its_place() {
    let place = committed();
    let out = place.run(&["grep", "retry_budget"]).ok();
    assert_eq!(
        out,
        "3 of 3 matches in 2 files\n\
         notes.md:3:1  retry_budget is 3.\n\
         src/connections.rs:6:9          retry_budget()\n\
         src/connections.rs:10:4  fn retry_budget() -> usize {\n"
    );
    let out = place.run(&["grep", "-e", r"fn \w+\(\)", "-C", "1", "--lang", "rust"]).ok();
    assert!(out.contains("1 of 1 match in 1 file\nsrc/connections.rs-9-  \n"), "{out}");
    assert!(out.contains("src/connections.rs-11-      5\n"), "{out}");
    // Case counts if the pattern has a capital letter.
    assert!(place.run(&["grep", "POOL"]).ok().starts_with("0 of 0"));
    assert!(place.run(&["grep", "-i", "POOL"]).ok().starts_with("2 of 2"));
    assert!(place.run(&["grep", "pool"]).ok().starts_with("2 of 2"));
    assert!(place.run(&["grep", "-s", "pool"]).ok().starts_with("0 of 0"));
    // Files that are not in the index yet are searched, ignored ones are not.
    place.write("new.py", "retry_budget = 4\n");
    place.write("ignored.py", "retry_budget = 5\n");
    place.write(".gitignore", "ignored.py\n");
    let found = place.run(&["grep", "retry_budget", "--glob", "*.py", "--json"]).json();
    assert_fields(
        &found,
        &[
            "matches",
            "total",
            "files_matched",
            "files_searched",
            "skipped",
            "truncated",
            "is_complete",
            "notes",
            "next_steps",
        ],
    );
    assert_eq!(found["total"], 1);
    let expected =
        json!([{ "path": "new.py", "line": 1, "column": 1, "preview": "retry_budget = 4" }]);
    assert_eq!(found["matches"], expected);
}

#[test]
fn pages_of_a_text_search_have_each_match_once_even_if_the_index_changes() {
    let files: Vec<(String, String)> = (0..5)
        .map(|file| {
            let lines = (0..9).fold(String::new(), |mut text, line| {
                writeln!(text, "needle {line} of {file}").unwrap();
                text
            });
            (format!("f{file}.txt"), lines)
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let place = Place::indexed(&files);
    let mut found = Vec::new();
    let mut cursor = Value::Null;
    for page in 0.. {
        let input = json!({ "query": "needle", "max_results": 10, "cursor": cursor });
        let answer = tool(&place, "search_text", &input);
        assert_eq!((&answer["total"], &answer["is_complete"]), (&json!(45), &json!(true)));
        for item in answer["matches"].as_array().unwrap() {
            found.push((item["path"].as_str().unwrap().to_owned(), item["line"].as_u64().unwrap()));
        }
        assert_eq!(answer["truncated"], page < 4);
        cursor = answer["next_cursor"].clone();
        if page == 1 {
            place.write("other.txt", "nothing\n");
            place.index();
        }
        if cursor.is_null() {
            break;
        }
        let other = json!({ "query": "other", "cursor": cursor });
        refused(&place, "search_text", &other, &["cursor", "same other arguments"]);
    }
    let expected: Vec<(String, u64)> =
        (0..5).flat_map(|file| (1..=9).map(move |line| (format!("f{file}.txt"), line))).collect();
    assert_eq!(found, expected);
}

#[test]
fn long_answers_of_a_text_search_are_cut_and_continue() {
    let line = format!("needle {}\n", "of x ".repeat(80));
    let place = Place::indexed(&[("long.txt", &line.repeat(450))]);
    let input = json!({ "query": "needle", "max_results": 500 });
    let first = tool(&place, "search_text", &input);
    let n = first["matches"].as_array().unwrap().len();
    assert!((100..450).contains(&n) && first["truncated"] == true, "{n}");
    let input = json!({ "query": "needle", "max_results": 500, "cursor": first["next_cursor"] });
    let second = tool(&place, "search_text", &input);
    assert_eq!(n + second["matches"].as_array().unwrap().len(), 450);
    assert_eq!((&second["total"], &second["truncated"]), (&json!(450), &json!(false)));
}

#[test]
fn wrong_text_searches_name_the_argument_and_the_remedy() {
    let place = committed();
    let cases = [
        (json!({ "query": "a(b", "regex": true }), &["query", "a(b", "at character 2"][..]),
        (json!({ "query": "(?=a)", "regex": true }), &["query", "look-around"]),
        (json!({ "query": "" }), &["query", "a text or a regular expression"]),
        (json!({ "query": "a", "max_results": 0 }), &["max_results = 0", "1 to 500"]),
        (json!({ "query": "a", "context_lines": 21 }), &["context_lines = 21", "0 to 20"]),
        (json!({ "query": "a", "cursor": "x" }), &["cursor", "next_cursor of the previous page"]),
        (json!({ "query": "a", "scope": { "languages": ["klingon"] } }), &["language", "klingon"]),
        (json!({ "query": "a", "scope": { "globs": ["[x"] } }), &["glob", "[x"]),
        (json!({ "query": "a", "globs": ["x"] }), &["globs", "scope"]),
    ];
    for (arguments, parts) in cases {
        refused(&place, "search_text", &arguments, parts);
    }
    // An empty answer proposes nothing that would find nothing, either.
    let answer = tool(&place, "search_text", &json!({ "query": "Nowhere|else", "word": true }));
    let steps = json!(["semantic_search finds code by what it does"]);
    assert_eq!(answer["next_steps"], steps, "{answer}");
}

#[test]
fn blame_names_the_commit_of_each_line_through_a_rename() {
    let place = committed();
    place.write("src/connections.rs", POOL.replace("    3\n", "    5\n    // soon\n"));
    let answer = tool(&place, "blame_range", &json!({ "path": "src/connections.rs" }));
    let blame = answer["blame"].as_array().unwrap();
    let seen: Vec<_> = blame
        .iter()
        .map(|item| {
            let lines = (item["start_line"].as_u64().unwrap(), item["end_line"].as_u64().unwrap());
            (lines, item["state"].as_str().unwrap(), item["summary"].as_str().unwrap_or_default())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ((1, 10), "committed", "Add the pool"),
            ((11, 11), "committed", "Retry more often"),
            ((12, 12), "uncommitted", ""),
            ((13, 13), "committed", "Add the pool"),
        ]
    );
    let first = &blame[0];
    assert_eq!((&first["author"], &first["original_path"]), (&json!("Ada"), &json!("src/pool.rs")));
    assert_eq!(first["date"], "2023-11-14T22:13:20Z");
    assert_eq!(first["commit"].as_str().unwrap().len(), 40);

    let text = place.run(&["blame", "src/connections.rs:10-12"]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("src/connections.rs:10-10  "), "{text}");
    assert!(lines[0].ends_with("2023-11-14  Ada  Add the pool  (from src/pool.rs)"), "{text}");
    assert!(lines[1].ends_with("  2023-11-14  Grace  Retry more often"), "{text}");
    assert_eq!(lines[2], "src/connections.rs:12-12  uncommitted");
    // A path from the current folder is understood, too.
    assert_eq!(place.run(&["blame", "repo/src/connections.rs:10-12"]).ok(), text);
}

#[test]
fn the_history_of_a_file_follows_its_rename() {
    let place = committed();
    let text = place.run(&["log", "src/connections.rs"]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "3 commits of src/connections.rs");
    assert!(lines[1].ends_with("  2023-11-14  Grace  modified  Retry more often"), "{text}");
    assert!(lines[2].ends_with("(src/pool.rs → src/connections.rs)"), "{text}");
    assert!(lines[3].ends_with("  Ada  added  Add the pool"), "{text}");
    let answer = tool(&place, "file_history", &json!({ "path": "src/connections.rs", "limit": 1 }));
    assert_eq!(
        (answer["commits"].as_array().unwrap().len(), &answer["truncated"]),
        (1, &json!(true))
    );
    assert!(answer["notes"][0].as_str().unwrap().contains("larger limit"), "{answer}");
    place.write("new.rs", "fn new() {}\n");
    let answer = tool(&place, "file_history", &json!({ "path": "new.rs" }));
    assert_eq!(answer["commits"], json!([]));
    assert!(answer["notes"][0].as_str().unwrap().contains("not in the last commit"), "{answer}");
}

#[test]
fn the_history_of_files_stays_inside_the_roots() {
    let place = committed();
    std::fs::write(place.path().join("secret.rs"), "fn secret() {}\n").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(place.path(), place.repo().join("out")).unwrap();
    let outside =
        ["../secret.rs", "/etc/passwd", ".git/config", "out/secret.rs", "src/../../secret.rs"];
    for path in outside {
        for name in ["blame_range", "file_history"] {
            refused(&place, name, &json!({ "path": path }), &["path", path, "list_paths"]);
        }
    }
    refused(&place, "blame_range", &json!({ "path": "connections.rs" }), &["src/connections.rs"]);
    let path = "src/connections.rs";
    for (arguments, parts) in [
        (json!({ "path": path, "start_line": 99 }), &["start_line = 99", "1-12"][..]),
        (json!({ "path": path, "start_line": 0 }), &["start_line = 0", "1 or more"]),
        (
            json!({ "path": path, "start_line": 5, "end_line": 4 }),
            &["end_line = 4", "5 (start_line)"],
        ),
        (json!({ "path": path, "start_line": "x" }), &["start_line = \"x\""]),
        (json!({ "path": "src" }), &["path", "folder"]),
    ] {
        refused(&place, "blame_range", &arguments, parts);
    }
    refused(
        &place,
        "file_history",
        &json!({ "path": path, "limit": 0 }),
        &["limit = 0", "1 to 1000"],
    );
    // The last line is meant by an end beyond it.
    let answer =
        tool(&place, "blame_range", &json!({ "path": path, "start_line": 12, "end_line": 99 }));
    assert_eq!(answer["blame"][0]["end_line"], 12);
}

#[test]
fn a_folder_without_git_and_a_shallow_clone_are_named() {
    let place = Place::indexed(&[("a.rs", "fn a() {}\n")]);
    for command in ["blame", "log"] {
        place.run(&[command, "a.rs"]).fails(16, &["a.rs", "not inside a git repository"]);
    }
    assert!(place.run(&["grep", "fn a"]).ok().contains("a.rs:1:1  fn a() {}"));

    let origin = committed();
    let shallow = Place::new(&[]);
    std::fs::remove_dir(shallow.repo()).unwrap();
    let url = format!("file://{}", origin.repo().display());
    git(shallow.path(), "Ada", &["clone", "-q", "--depth", "1", &url, "repo"]);
    shallow.index();
    let log = shallow.run(&["log", "src/connections.rs"]).ok();
    assert!(log.contains("1 commit of") && log.contains("git fetch --unshallow"), "{log}");
    let blame = shallow.run(&["blame", "src/connections.rs:1-1"]).ok();
    assert!(blame.contains("or older: shallow clone"), "{blame}");
}

#[test]
fn symbols_refs_and_open_print_places_and_lines() {
    let place = committed();
    let out = place.run(&["symbols", "acquire"]).ok();
    assert!(
        out.contains("src/connections.rs:5-7  method  pub fn acquire(&self) -> usize"),
        "{out}"
    );
    let out = place.run(&["refs", "retry_budget"]).ok();
    assert!(out.contains("src/connections.rs:6:9  retry_budget()"), "{out}");
    let out = place.run(&["open", "src/connections.rs:10-11"]).ok();
    assert_eq!(out, "src/connections.rs:10-11 of 12 lines\nfn retry_budget() -> usize {\n    5\n");
    let out = place.run(&["open", "repo/src/connections.rs:12", "--json"]).json();
    assert_eq!((&out["path"], &out["content"]), (&json!("src/connections.rs"), &json!("}\n")));
    place.run(&["open", "nothing.rs"]).fails(2, &["nothing.rs", "list_paths"]);
}
