//! Calls that are wrong, or reach out of the index: each is refused, and says what to do instead.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::client::{Pipes, ask, call, calling, messages, post, stateless};
use crate::support::{Place, Serving, many};

#[test]
fn a_wrong_argument_is_named_and_an_unknown_tool_names_the_nearest() {
    let server = Serving::ready(&many(), &[]);
    for (tool, arguments, parts) in [
        ("semantic_search", json!({ "query": 5 }), &["query = 5", "string"][..]),
        ("semantic_search", json!({}), &["query"]),
        ("semantic_search", json!({ "query": "x", "limit": -1 }), &["limit = -1"]),
        ("semantic_search", json!({ "query": "x", "limt": 3 }), &["limt", "limit"]),
        (
            "semantic_search",
            json!({ "query": "x", "scope": { "globs": ["a", 7] } }),
            &["scope.globs[1] = 7"],
        ),
        ("search", json!({ "query": "x", "top_k": "many" }), &["top_k = \"many\""]),
        ("open_file", json!({ "path": ["a"] }), &["path = [\"a\"]"]),
        ("fetch", json!({ "ids": "x" }), &["ids = \"x\""]),
    ] {
        call(&server, tool, arguments).fails("invalid-parameter", parts);
    }
    call(&server, "semantic_search", json!({ "query": " " })).fails("search-query-invalid", &[]);
    let long = json!({ "query": "x".repeat(1 << 20) });
    call(&server, "semantic_search", long).fails("search-query-invalid", &[]);
    let unknown = ask(&server, "tools/call", calling("semantic_serch", json!({})));
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    let message = unknown["error"]["message"].as_str().unwrap();
    assert!(message.contains("semantic_search, the nearest"), "{message}");
    let not_an_object = stateless(calling("open_file", json!([1])), json!({}));
    let reply = post(&server, "tools/call", &not_an_object, &[]);
    let error = &messages(&reply)[0]["error"];
    assert_eq!(error["code"], -32602, "{}", reply.text);
    assert!(error["message"].as_str().unwrap().contains("arguments is an object"), "{error}");
}

#[test]
fn a_path_outside_the_index_and_a_line_past_the_end_are_refused() {
    let place = many();
    place.write("../outside.txt", "secret");
    // On disk, but not in the index.
    place.write("new.rs", "fn secret() {}");
    let server = Serving::ready(&place, &[]);
    let absolute = place.repo().join("src/header/parse.rs").display().to_string();
    let upwards = ["../outside.txt", "src/../../outside.txt", "src/header/../header/parse.rs"];
    let others = ["/etc/passwd", &absolute, "new.rs", "", ".", "src", "\0", "src/header/parse.rs/"];
    for path in upwards.iter().chain(&others) {
        for tool in ["open_file", "outline"] {
            let called = call(&server, tool, json!({ "path": path }));
            called.fails("invalid-parameter", &["path = "]);
            assert!(!called.text.contains("secret"), "{}", called.text);
        }
    }
    call(&server, "open_file", json!({ "path": "parse.rs" }))
        .fails("invalid-parameter", &["src/header/parse.rs"]);
    let lines = |start: Value, end: Value| {
        let path = "src/header/parse.rs";
        call(&server, "open_file", json!({ "path": path, "start_line": start, "end_line": end }))
    };
    assert_eq!(
        lines(json!(15), json!(99)).ok()["end_line"],
        15,
        "the last line is cut to the file"
    );
    lines(json!(16), Value::Null).fails("invalid-parameter", &["start_line = 16", "15 lines"]);
    lines(json!(0), Value::Null).fails("invalid-parameter", &["start_line = 0"]);
    lines(json!(4), json!(3)).fails("invalid-parameter", &["end_line = 3"]);
    let place = json!({ "path": "src/header/parse.rs", "line": 99, "character": 1 });
    call(&server, "definition_at", place).fails("invalid-parameter", &["line = 99"]);
}

#[test]
fn a_link_out_of_the_root_that_was_made_after_indexing_is_not_followed() {
    let files =
        [("a.py", "def first():\n    return 1\n"), ("inner/b.py", "def second():\n    return 2\n")];
    let place = Place::indexed(&files);
    let outside = place.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for name in ["a.py", "b.py"] {
        fs::write(outside.join(name), "secret = 1\n").unwrap();
    }
    place.remove("a.py");
    symlink(outside.join("a.py"), place.repo().join("a.py")).unwrap();
    fs::remove_dir_all(place.repo().join("inner")).unwrap();
    symlink(&outside, place.repo().join("inner")).unwrap();
    let server = Serving::ready(&place, &[]);
    for path in ["a.py", "inner/b.py"] {
        for tool in ["open_file", "outline"] {
            let called = call(&server, tool, json!({ "path": path }));
            assert!(!format!("{called:?}").contains("secret"), "{tool}: {called:?}");
            assert_eq!(called.links, [""; 0], "{tool}: a link to it");
        }
        let uri = url::Url::from_file_path(place.repo().join(path)).unwrap();
        let read = ask(&server, "resources/read", json!({ "uri": uri.as_str() }));
        assert!(!read.to_string().contains("secret"), "{read}");
    }
    let found = call(&server, "semantic_search", json!({ "query": "secret" }));
    assert!(!found.json.to_string().contains("secret = 1"), "{found:?}");
}

#[test]
fn a_cursor_is_refused_with_other_arguments_and_on_another_version_of_the_index() {
    let place = many();
    let mut pipes = Pipes::ready(&place, &["--no-watch"]);
    let first =
        pipes.call("semantic_search", json!({ "query": "parse a header", "limit": 3 })).ok();
    let cursor = &first["next_cursor"];
    let mut page = |query: &str, cursor: &Value| {
        let arguments = json!({ "query": query, "limit": 3, "cursor": cursor });
        pipes.call("semantic_search", arguments)
    };
    let second = page("parse a header", cursor).ok();
    let places = |page: &Value| {
        let findings = page["findings"].as_array().unwrap().clone();
        findings.iter().map(|f| f["chunk_id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(places(&second).len(), 3);
    assert!(places(&second).iter().all(|id| !places(&first).contains(id)), "pages overlap");
    page("split a body", cursor).fails("invalid-parameter", &["cursor = ", "same other arguments"]);
    let paths = pipes.call("list_paths", json!({ "max_results": 2, "cursor": cursor }));
    paths.fails("invalid-parameter", &["cursor = "]);
    let garbage = pipes.call("list_paths", json!({ "cursor": "garbage" }));
    garbage.fails("invalid-parameter", &["cursor = ", "next_cursor"]);
    place.write("more.py", "def parse_more():\n    return 1\n");
    pipes.call("reindex", json!({})).ok();
    let arguments = json!({ "query": "parse a header", "limit": 3, "cursor": cursor });
    let stale = pipes.call("semantic_search", arguments);
    stale.fails("invalid-parameter", &["cursor = ", "updated"]);
}

#[test]
fn without_an_index_every_tool_says_how_to_get_one() {
    let place = Place::new(&[("a.py", "def first():\n    return 1\n")]);
    let server = Serving::start(&place, &[]);
    server.wait_for_engine();
    for (tool, arguments) in [
        ("semantic_search", json!({ "query": "first" })),
        ("open_file", json!({ "path": "a.py" })),
        ("index_status", json!({})),
        ("reindex", json!({})),
    ] {
        call(&server, tool, arguments).fails("search-index-missing", &["codeintel index"]);
    }
}
