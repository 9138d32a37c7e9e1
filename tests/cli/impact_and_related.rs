//! What a change affects, code that resembles other code, and the boost of recent changes.

use serde_json::json;

use super::files_and_history::{commit, git, refused, tool};
use super::piped;
use crate::support::Place;

const LIB: &str = "\
pub fn budget() -> usize {
    3
}

pub fn unused() {}

#[cfg(test)]
mod tests {
    #[test]
    fn the_budget_is_small() {
        assert!(super::budget() < 10);
    }
}
";
const POOL: &str = "\
pub struct Pool;

impl Pool {
    pub fn acquire(&self) -> usize {
        crate::budget()
    }
}
";
const MAIN: &str = "\
fn main() {
    println!(\"{}\", Pool.acquire());
}
";
const END_TO_END: &str = "\
#[test]
fn a_pool_hands_out() {
    assert_eq!(Pool.acquire(), 3);
}
";
/// The same name in another language, which calls no Rust.
const SCRIPT: &str = "def run():\n    return budget()\n";

fn committed() -> Place {
    let place = Place::new(&[
        ("src/lib.rs", LIB),
        ("src/pool.rs", POOL),
        ("src/main.rs", MAIN),
        ("tests/end_to_end.rs", END_TO_END),
        ("scripts/run.py", SCRIPT),
    ]);
    git(place.repo(), "Ada", &["init", "-q", "-b", "main"]);
    commit(&place, "Ada", "Add the pool");
    place.index();
    place
}

#[test]
fn impact_names_callers_and_tests_of_what_differs_from_head() {
    let place = committed();
    let nothing = place.run(&["impact"]).ok();
    assert_eq!(
        nothing,
        "0 definitions changed since HEAD; 0 callers, 0 tests\n\
         note: no file differs from HEAD; give another base, such as main\n"
    );
    place.write("src/lib.rs", LIB.replace("    3\n", "    5\n"));
    place.index();
    let expected = "\
1 definition changed since HEAD; 2 callers, 2 tests
modified  src/lib.rs:1-3  pub fn budget() -> usize
callers:
src/pool.rs:5  Pool::acquire uses budget
src/main.rs:2  main uses Pool::acquire  depth 2
tests:
src/lib.rs:11  tests::the_budget_is_small uses budget
tests/end_to_end.rs:3  a_pool_hands_out uses Pool::acquire  depth 2
";
    assert_eq!(place.run(&["impact"]).ok(), expected);
    let direct = tool(&place, "impact", &json!({ "depth": 1 }));
    assert_eq!((&direct["callers_total"], &direct["tests_total"]), (&json!(1), &json!(1)));
    // A later commit: the base is an older one, as a branch is compared with main.
    commit(&place, "Ada", "Retry more often");
    assert_eq!(place.run(&["impact", "HEAD~1"]).ok(), expected.replace("HEAD", "HEAD~1"));
    assert!(place.run(&["impact"]).ok().starts_with("0 definitions"));
}

#[test]
fn impact_tells_removed_added_and_moved_definitions_apart() {
    let place = committed();
    place.write(
        "src/lib.rs",
        LIB.replace("fn budget()", "fn allowance()").replace("pub fn unused() {}\n", ""),
    );
    place.write("src/unused.rs", "pub fn unused() {}\n");
    place.remove("src/main.rs");
    place.index();
    let answer = tool(&place, "impact", &json!({}));
    let changed: Vec<_> = answer["changed"].as_array().unwrap().iter().collect();
    let changed: Vec<_> = changed
        .iter()
        .map(|item| (item["change"].as_str().unwrap(), item["qualified"].as_str().unwrap()))
        .collect();
    let expected =
        [("removed", "budget"), ("removed", "main"), ("added", "allowance"), ("added", "unused")];
    assert_eq!(changed, expected, "{answer}");
    // The callers of what is gone are the ones that break.
    assert_eq!(answer["callers"][0]["path"], "src/pool.rs", "{answer}");
    assert_eq!(answer["callers"][0]["uses"], "budget", "{answer}");
}

#[test]
fn impact_reads_a_diff_that_is_applied_or_not_yet() {
    let place = committed();
    let diff = "--- a/src/lib.rs\n+++ b/src/lib.rs\n@@ -1,3 +1,3 @@\n \
                pub fn budget() -> usize {\n-    3\n+    5\n }\n";
    let out = piped(&place, &["impact", "--diff", "-"], diff.as_bytes()).ok();
    assert!(
        out.contains("modified  src/lib.rs:1-3") && out.contains("2 callers, 2 tests"),
        "{out}"
    );
    place.write("src/lib.rs", LIB.replace("    3\n", "    5\n"));
    place.index();
    assert_eq!(piped(&place, &["impact", "--diff", "-"], diff.as_bytes()).ok(), out);
    let other = diff.replace("usize", "u32");
    let out = piped(&place, &["impact", "--diff", "-"], other.as_bytes()).ok();
    assert!(out.contains("src/lib.rs is neither as before nor as after the diff"), "{out}");

    refused(&place, "impact", &json!({ "diff": "x" }), &["diff = line 1", "unified diff"]);
    refused(&place, "impact", &json!({ "base": "nowhere" }), &["base = \"nowhere\"", "branch"]);
    refused(&place, "impact", &json!({ "depth": 9 }), &["depth = 9", "1 to 4"]);
    let no_git = Place::indexed(&[("a.rs", "fn a() {}\n")]);
    no_git.run(&["impact"]).fails(16, &["not inside a git repository", "give a diff"]);
}

#[test]
fn related_code_is_found_from_a_line() {
    let twin = POOL.replace("Pool", "Basin");
    let place = Place::indexed(&[("pool.rs", POOL), ("basin.rs", &twin), ("main.rs", MAIN)]);
    let answer = tool(&place, "find_related", &json!({ "path": "pool.rs", "line": 4 }));
    assert_eq!(answer["source"]["path"], "pool.rs", "{answer}");
    let related = answer["related"].as_array().unwrap();
    assert_eq!(related[0]["location"]["path"], "basin.rs", "{answer}");
    assert!(related[0]["similarity"].as_f64().unwrap() <= 1.0001, "{answer}");
    assert!(related.iter().all(|item| item["location"]["path"] != "pool.rs"), "{answer}");
    let scope = json!({ "path": "pool.rs", "line": 4, "scope": { "globs": ["main.rs"] } });
    let scoped = tool(&place, "find_related", &scope);
    assert_eq!(scoped["related"][0]["location"]["path"], "main.rs", "{scoped}");
    let out = place.run(&["related", "pool.rs:4", "--limit", "1"]).ok();
    assert!(out.starts_with("1 piece of code like pool.rs:1-7\n\nbasin.rs:1-7  "), "{out}");

    place.run(&["related", "pool.rs"]).fails(2, &["a file and a line of it"]);
    place.run(&["related", "pool.rs:99"]).fails(2, &["line = 99", "1 to 7"]);
    place.run(&["related", "pol.rs:1"]).fails(2, &["path = \"pol.rs\""]);
}

#[test]
fn a_recent_change_raises_a_score_only_where_it_is_asked_for() {
    let place = committed();
    let score = |flags: &[&str], query: &str| {
        let args = [&["search", "--json", query][..], flags].concat();
        let answer = place.run(&args).json();
        let finding = &answer["findings"][0];
        let factors = finding["why"]["factors"].as_array().unwrap().clone();
        let recency = factors.iter().find(|factor| factor["name"] == "recency");
        (finding["score"].as_f64().unwrap(), recency.map(|f| f["value"].as_f64().unwrap()))
    };
    let (plain, none) = score(&[], "acquire");
    assert_eq!(none, None);
    // The commits of this repository are of 2023, so little of the boost is left.
    let (boosted, recency) = score(&["--recent"], "acquire");
    let recency = recency.unwrap();
    assert!((1.0..1.001).contains(&recency), "{recency}");
    assert!((boosted - plain * recency).abs() < 1e-12);
    let question = "which function that hands out budget was changed recently";
    assert!(score(&[], question).1.is_some());
}

#[test]
fn two_changed_definitions_of_one_name_have_their_own_callers() {
    let module = |value: usize| format!("pub fn run() -> usize {{\n    {value}\n}}\n");
    let caller = |module: &str| format!("fn call_{module}() {{\n    crate::{module}::run();\n}}\n");
    let place = Place::new(&[
        ("src/one.rs", &module(1)),
        ("src/two.rs", &module(2)),
        ("src/a.rs", &caller("one")),
        ("src/b.rs", &caller("two")),
    ]);
    git(place.repo(), "Ada", &["init", "-q", "-b", "main"]);
    commit(&place, "Ada", "Add two modules");
    place.write("src/one.rs", module(3));
    place.write("src/two.rs", module(4));
    place.index();
    let answer = tool(&place, "impact", &json!({ "depth": 1 }));
    let callers = answer["callers"].as_array().unwrap().iter();
    let within: Vec<_> = callers.map(|caller| caller["within"].as_str().unwrap()).collect();
    assert_eq!(within, ["call_one", "call_two"], "{answer}");
}
