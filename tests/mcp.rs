//! The Model Context Protocol: both of its eras over both transports, and every tool.

mod bad_input;
mod client;
mod empty;
mod freshness;
mod http;
mod schema;
mod stdio;
mod traces;

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Place, Serving, many};
use client::{HANDSHAKE, Pipes, STATELESS, answer, ask, call, hello, object, post, stateless};

/// A repository with a commit, so that tools which read its history have one.
fn committed() -> Place {
    let place = many();
    let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
    for args in [&["init", "-q"][..], &["add", "-A"], &["commit", "-q", "-m", "Begin"]] {
        let git = Command::new("git").current_dir(place.repo()).args(identity).args(args).status();
        assert!(git.unwrap().success());
    }
    place
}

/// Arguments with which `tool` succeeds on [`many`]: those it requires, by their names.
fn arguments(tool: &Value) -> Value {
    let required = tool["inputSchema"]["required"].as_array();
    let mut arguments = object(json!({}));
    for name in required.into_iter().flatten().map(|name| name.as_str().unwrap()) {
        let value = match name {
            "query" | "name" | "pattern" => json!("parse_header"),
            "path" => json!("src/header/parse.rs"),
            "paths" => json!(["src/header/parse.rs"]),
            "ids" => json!(["src/header/parse.rs#L3-L8"]),
            "line" | "start_line" => json!(4),
            "end_line" => json!(6),
            other => panic!("{} needs a value for {other} in this test", tool["name"]),
        };
        arguments.insert(name.to_owned(), value);
    }
    // A symbol is asked for by its name or its place, so that the schema requires neither.
    if ["definition_at", "references_at"].contains(&tool["name"].as_str().unwrap()) {
        arguments.insert("name".to_owned(), json!("parse_header"));
    }
    Value::Object(arguments)
}

fn tools(answer: &Value) -> Vec<Value> {
    answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
}

fn names(tools: &[Value]) -> Vec<&str> {
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[test]
fn a_client_with_a_handshake_gets_its_revision_and_a_session_over_http() {
    let place = many();
    let mut pipes = Pipes::start(&place, &["--no-watch"], &[]);
    let piped = pipes.shake_hands();
    let server = Serving::ready(&place, &[]);
    let accept = ("accept", "application/json, text/event-stream");
    let reply = server.post_with("/mcp", &[accept], &client::request(1, "initialize", &hello()));
    for answer in [&piped, &answer(&reply)] {
        let result = &answer["result"];
        assert_eq!(result["protocolVersion"], HANDSHAKE, "{answer}");
        assert_eq!(result["serverInfo"]["name"], "codeintel");
        assert_eq!(result["serverInfo"]["version"], env!("CARGO_PKG_VERSION"));
        assert!(result["instructions"].as_str().unwrap().contains("semantic_search"));
        for capability in ["tools", "resources", "prompts"] {
            assert!(result["capabilities"][capability].is_object(), "{answer}");
        }
    }
    let session = reply.header("mcp-session-id");
    let in_session = [accept, ("mcp-session-id", session), ("mcp-protocol-version", HANDSHAKE)];
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(server.post_with("/mcp", &in_session, &initialized).status, 202);
    let list = client::request(2, "tools/list", &json!({}));
    let listed = answer(&server.post_with("/mcp", &in_session, &list));
    assert_eq!(tools(&listed), tools(&pipes.ask("tools/list", &json!({}))));
    let unknown = [accept, ("mcp-session-id", "none-such"), ("mcp-protocol-version", HANDSHAKE)];
    assert_eq!(server.post_with("/mcp", &unknown, &list).status, 404);
}

#[test]
fn a_client_without_a_handshake_is_answered_and_gets_no_session() {
    let place = many();
    let server = Serving::ready(&place, &[]);
    let reply = post(&server, "server/discover", &stateless(json!({}), json!({})), &[]);
    assert_eq!(reply.header("mcp-session-id"), "");
    let discovered = answer(&reply);
    let versions = discovered["result"]["supportedVersions"].as_array().unwrap();
    for version in [HANDSHAKE, STATELESS] {
        assert!(versions.contains(&json!(version)), "{discovered}");
    }
    assert_eq!(call(&server, "index_status", json!({})).ok()["files"], 41);
    let mut pipes = Pipes::start(&place, &["--no-watch"], &[]);
    let listed = pipes.ask("tools/list", &stateless(json!({}), json!({})));
    assert_eq!(tools(&listed), tools(&ask(&server, "tools/list", json!({}))));
}

#[test]
fn the_list_of_tools_is_the_same_for_every_client_and_costs_few_tokens() {
    let place = many();
    let server = Serving::ready(&place, &[]);
    let first = tools(&ask(&server, "tools/list", json!({})));
    let mut pipes = Pipes::ready(&place, &["--no-watch"]);
    for again in [
        tools(&ask(&server, "tools/list", json!({}))),
        tools(&ask(&Serving::ready(&place, &[]), "tools/list", json!({}))),
        tools(&pipes.ask("tools/list", &json!({}))),
    ] {
        assert_eq!(json!(again).to_string(), json!(first).to_string());
    }
    for tool in &first {
        let annotations = &tool["annotations"];
        assert_eq!(annotations["readOnlyHint"], tool["name"] != "reindex", "{tool}");
        assert_eq!(
            (&annotations["destructiveHint"], &annotations["openWorldHint"]),
            (&json!(false), &json!(false))
        );
    }
    // What a model reads of a tool; four bytes are about one token.
    let bytes = |tool: &Value| {
        let part = |name: &str| tool[name].to_string().len();
        part("name") + part("description") + part("inputSchema")
    };
    let tokens = first.iter().map(bytes).sum::<usize>() / 4;
    assert!(tokens < 6000, "{tokens} tokens");
}

#[test]
fn an_allow_list_leaves_only_its_tools() {
    let place = many();
    let mut pipes = Pipes::ready(&place, &["--no-watch", "--tools", "open_file,index_status"]);
    let wanted = ["open_file", "index_status"];
    assert_eq!(names(&tools(&pipes.ask("tools/list", &json!({})))), wanted);
    let refused = pipes.ask("tools/call", &client::calling("reindex", json!({})));
    assert!(refused["error"]["message"].as_str().unwrap().contains("open_file"), "{refused}");
    let server = Serving::ready(&place, &["--set", "serve.tools=open_file,index_status"]);
    assert_eq!(names(&tools(&ask(&server, "tools/list", json!({})))), wanted);
    let wrong = place.run(&["mcp", "--tools", "open_fil"]);
    wrong.fails(2, &["open_fil", "open_file"]);
}

#[test]
fn every_answer_of_every_tool_conforms_to_its_schema_and_links_to_files_that_exist() {
    let place = committed();
    let server = Serving::ready(&place, &[]);
    let mut pipes = Pipes::ready(&place, &["--no-watch"]);
    for tool in tools(&ask(&server, "tools/list", json!({}))) {
        let name = tool["name"].as_str().unwrap();
        let arguments = arguments(&tool);
        for called in [call(&server, name, arguments.clone()), pipes.call(name, arguments)] {
            assert_eq!(called.problem, None, "{name}: {}", called.text);
            schema::assert_conforms(&called.json, &tool["outputSchema"], name);
            assert!(!called.text.trim().is_empty() && called.text.len() < 256 << 10, "{name}");
            for link in &called.links {
                let uri = url::Url::parse(link).unwrap();
                assert!(uri.to_file_path().unwrap().is_file(), "{name}: {link}");
            }
        }
    }
}

#[test]
fn indexed_files_are_resources_and_no_other_file_is() {
    let place = many();
    place.write("../outside.txt", "secret");
    let server = Serving::ready(&place, &[]);
    let listed = ask(&server, "resources/list", json!({}));
    let resources = listed["result"]["resources"].as_array().unwrap();
    assert_eq!(resources.len(), 41, "{listed}");
    for resource in resources.iter().take(3) {
        let read = ask(&server, "resources/read", json!({ "uri": resource["uri"] }));
        let path = place.repo().join(resource["name"].as_str().unwrap());
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(read["result"]["contents"][0]["text"], text, "{resource}");
    }
    let outside = url::Url::from_file_path(place.path().join("outside.txt")).unwrap();
    let upwards = format!("file://{}/../outside.txt", place.repo().display());
    for uri in [outside.as_str(), &upwards, "file:///etc/passwd", "http://x/", "", "file:///%00"] {
        let params = stateless(json!({ "uri": uri }), json!({}));
        let reply = post(&server, "resources/read", &params, &[]);
        let message = &client::messages(&reply)[0]["error"]["message"];
        assert!(message.is_string() && !reply.text.contains("secret"), "{uri}: {}", reply.text);
    }
}

#[test]
fn a_resource_is_read_by_its_uri_whatever_its_name_holds() {
    let names = ["with space.py", "100%.py", "per%20cent.py", "a#b.py", "größe 日本.py"];
    let files = names.map(|name| (format!("deep & 50%/{name}"), format!("# {name}\n")));
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let place = Place::indexed(&files);
    let server = Serving::ready(&place, &[]);
    let listed = ask(&server, "resources/list", json!({}));
    let resources = listed["result"]["resources"].as_array().unwrap();
    assert_eq!(resources.len(), names.len(), "{listed}");
    for resource in resources {
        let uri = resource["uri"].as_str().unwrap();
        let plain = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b);
        assert!(uri.bytes().all(plain), "{uri}");
        let read = ask(&server, "resources/read", json!({ "uri": uri }));
        let name = resource["name"].as_str().unwrap().rsplit('/').next().unwrap();
        assert_eq!(read["result"]["contents"][0]["text"], format!("# {name}\n"), "{read}");
    }
}

#[test]
fn the_prompt_asks_for_a_review_of_an_area() {
    let server = Serving::ready(&many(), &[]);
    let listed = ask(&server, "prompts/list", json!({}));
    let prompt = &listed["result"]["prompts"][0];
    let with = |arguments: Value| {
        let params = json!({ "name": prompt["name"], "arguments": arguments });
        let params = stateless(params, json!({}));
        client::messages(&post(&server, "prompts/get", &params, &[])).pop().unwrap()
    };
    let got = with(json!({ "area": "src/header" }));
    let text = got["result"]["messages"][0]["content"]["text"].as_str().unwrap();
    assert!(text.contains("src/header") && text.contains("semantic_search"), "{text}");
    assert!(with(json!({}))["error"]["message"].as_str().unwrap().contains("area"));
}
