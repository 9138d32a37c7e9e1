//! Empty answers: each says what was searched, what removed the results, and what to try.

use serde_json::{Value, json};

use super::client::Pipes;
use crate::support::Place;

/// Asserts that `tool` finds nothing, and that its JSON and its text have all of `parts`.
#[track_caller]
fn finds_nothing(pipes: &mut Pipes, tool: &str, arguments: Value, list: &str, parts: &[&str]) {
    let called = pipes.call(tool, arguments);
    assert_eq!(called.problem, None, "{}", called.text);
    assert_eq!(called.json[list], json!([]), "{}", called.json);
    for part in parts {
        let escaped = serde_json::to_string(part).unwrap();
        let escaped = escaped.trim_matches('"');
        assert!(called.json.to_string().contains(escaped), "{part:?}: {}", called.json);
        assert!(called.text.contains(part), "{part:?}: {}", called.text);
    }
}

#[test]
fn an_empty_answer_names_what_removed_the_results_and_a_next_step() {
    let place = Place::indexed(&[
        (".gitignore", "out/\n"),
        (
            "src/net/pool.rs",
            "/// Takes a connection.\npub fn acquire() -> u32 {\n    release()\n}\n",
        ),
        ("src/net/say.py", "def say_hello():\n    return 'Needle in hay'\n"),
        ("notes.md", "# Notes\n\nThe zebra is here.\n"),
    ]);
    place.write("out/built.txt", "a walrus\n");
    let mut pipes = Pipes::ready(&place, &["--no-watch"]);
    let mut check = |tool: &str, arguments: Value, list: &str, parts: &[&str]| {
        finds_nothing(&mut pipes, tool, arguments, list, parts);
    };
    let globs = |glob: &str| json!({ "globs": [glob] });

    for tool in ["semantic_search", "semantic_search_pro"] {
        check(
            tool,
            json!({ "query": "acquire", "scope": globs("net/*.rs") }),
            "findings",
            &[
                "of 3 indexed files, none matches the globs net/*.rs",
                "use the glob **/net/*.rs instead",
                "without the scope",
                "src/net/pool.rs:1-4",
                "search again without the scope",
            ],
        );
    }
    let of_other_language = json!({
        "query": "acquire",
        "scope": { "globs": ["*.rs"], "languages": ["python"] },
    });
    let parts = ["1 file of the globs *.rs, none of them python", "of these files: rust"];
    check("semantic_search", of_other_language, "findings", &parts);
    let words_only = json!({
        "query": "zebra",
        "scope": globs("src"),
        "options": { "channels": ["lexical"] },
    });
    let parts = ["searched 2 chunks of 2 files, the scope, of 3 files", "the best is notes.md:"];
    check("semantic_search_pro", words_only, "findings", &parts);
    let filters = json!({ "query": "acquire", "filters": { "include": ["nowhere"] } });
    check("search", filters, "results", &["none matches the globs nowhere", "list_paths"]);

    let text = |query: &str| json!({ "query": query });
    let parts = ["in another case 1 line in 1 file would match, such as src/net/say.py:2"];
    check("search_text", text("NEEDLE"), "matches", &[parts[0], "set case_sensitive to false"]);
    let parts = ["in ignored or hidden files 1 line in 1 file would match", "out/built.txt:1"];
    check("search_text", text("walrus"), "matches", &parts);
    let parts = ["as a regular expression 1 line", "set regex to true"];
    check("search_text", text("zeb.a is"), "matches", &parts);
    let scoped = json!({ "query": "zebra", "scope": globs("*.py") });
    let parts = ["searched 1 chunk of 1 file, the scope", "without the scope 1 line", "notes.md:3"];
    check("search_text", scoped, "matches", &parts);
    check("search_text", text("unicorn"), "matches", &["semantic_search"]);

    let listed = json!({ "scope": globs("nowhere/**") });
    check("list_paths", listed, "items", &["none matches the globs nowhere/**", "list_paths"]);
    let kind = json!({ "query": "acquire", "kind": "class" });
    let parts = ["without kind and language 1 definition would match", "src/net/pool.rs:2"];
    check("symbol_search", kind, "symbols", &parts);
    let parts = ["none of", "has a name like \"unicorn\"", "search_text finds the name"];
    check("symbol_search", text("unicorn"), "symbols", &parts);
    let parts = ["\"release\" is used in the index but not defined", "references_at"];
    check("symbol_search", text("release"), "symbols", &parts);
    let named = |name: &str| json!({ "name": name });
    let parts = ["is named \"release\"", "references_at shows where it is used"];
    check("definition_at", named("release"), "symbols", &parts);
    let parts = ["similar names are defined: acquire", "search_text finds the name"];
    check("definition_at", named("acquir"), "symbols", &parts);
    let parts = ["no use of \"acquire\" in 3 indexed files", "it is defined in src/net/pool.rs:2"];
    check("references_at", named("acquire"), "references", &parts);
}
