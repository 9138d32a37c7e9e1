//! The protocol over standard input and output: nothing else on it, progress, cancellation.

use serde_json::{Value, json};

use super::client::{Called, Pipes, calling};
use crate::support::{Endpoint, Place, many, rust_file, wait_for};

#[test]
fn standard_output_has_nothing_but_the_protocol_at_any_log_level_and_exporter() {
    let place = many();
    let variables = [
        ("RUST_LOG", "trace"),
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_LOGS_EXPORTER", "console"),
        ("OTEL_METRICS_EXPORTER", "console"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
    ];
    let mut pipes = Pipes::start(&place, &["-vv", "--report"], &variables);
    pipes.shake_hands();
    pipes.wait_for_index();
    pipes.call("semantic_search", json!({ "query": "how is a header parsed" })).ok();
    place.write("more.py", "def parse_more():\n    return 1\n");
    pipes.call("reindex", json!({ "full": true })).ok();
    pipes.call("open_file", json!({ "path": "../x" })).fails("invalid-parameter", &["path"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let (code, rest) = pipes.close();
    assert_eq!((code, rest), (Some(0), Vec::new()));
}

#[test]
fn reindex_reports_its_progress_to_a_client_that_asks_for_it() {
    let place = Place::uncached(&[("src/first.rs", &rust_file(0, 2))]);
    place.index();
    let mut pipes = Pipes::ready(&place, &["--no-watch"]);
    for seed in 1..150 {
        place.write(&format!("src/file_{seed}.rs"), rust_file(seed, 20));
    }
    let mut params = calling("reindex", json!({}));
    params["_meta"] = json!({ "progressToken": "p-1" });
    let response = pipes.ask("tools/call", &params);
    assert_eq!(Called::from(&response).ok()["files"], 150);
    let mut last = 0.0;
    for notification in &pipes.notifications {
        let (method, params) = (&notification["method"], &notification["params"]);
        assert_eq!(
            (method, &params["progressToken"]),
            (&json!("notifications/progress"), &json!("p-1"))
        );
        let progress = params["progress"].as_f64().unwrap();
        assert!(progress > last, "{notification}");
        let message = params["message"].as_str().unwrap();
        assert!(message == "waiting" || message.contains("files"), "{notification}");
        last = progress;
    }
    assert!(last > 0.0, "no progress was reported");
    let seen = pipes.notifications.len();
    place.write("src/last.rs", rust_file(99, 40));
    pipes.call("reindex", json!({})).ok();
    assert_eq!(pipes.notifications.len(), seen, "a client that did not ask");
}

#[test]
fn the_first_call_waits_until_the_index_is_open_or_built() {
    let place = many();
    let mut pipes = Pipes::start(&place, &["--no-watch"], &[]);
    pipes.shake_hands();
    pipes.call("semantic_search", json!({ "query": "how is a header parsed" })).ok();
    let place = Place::new(&[("a.py", "def first():\n    return 1\n")]);
    let mut pipes = Pipes::start(&place, &["repo"], &[]);
    pipes.shake_hands();
    let listed = pipes.ask("resources/list", &json!({}));
    assert_eq!(listed["result"]["resources"][0]["name"], "a.py", "{listed}");
    assert_eq!(pipes.call("index_status", json!({})).ok()["files"], 1);
}

#[test]
fn a_call_that_cannot_wait_for_the_first_index_says_how_far_it_is_or_why_there_is_none() {
    let endpoint = Endpoint::start();
    endpoint.hang();
    let place = Place::new(&[("a.py", "def first():\n    return 1\n")]);
    let flags = endpoint.flags();
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    flags.extend(["--set", "search.deadline_ms=200", "repo"]);
    let mut pipes = Pipes::start(&place, &flags, &[]);
    pipes.shake_hands();
    wait_for("the texts to be sent", || !endpoint.asked().is_empty());
    let called = pipes.call("semantic_search", json!({ "query": "first" }));
    called.fails("resource-unavailable", &["being built: 0 of 1 files", "try again in"]);

    let empty = Place::new(&[]);
    let mut pipes = Pipes::start(&empty, &["repo"], &[]);
    pipes.shake_hands();
    pipes.call("index_status", json!({})).fails("nothing-to-index", &["there are no files"]);
}

#[test]
fn reindex_waits_for_another_run_and_can_be_cancelled_meanwhile() {
    let place = many();
    let mut pipes = Pipes::ready(&place, &["--no-watch"]);
    place.write("more.py", "def parse_more():\n    return 1\n");
    let lock = place.data().lock().unwrap();
    let mut params = calling("reindex", json!({}));
    params["_meta"] = json!({ "progressToken": "p-1", "baggage": "session.id=session-9" });
    let cancelled = pipes.send("tools/call", &params);
    while pipes.notifications.len() < 3 {
        let message = pipes.message();
        assert_eq!(message["params"]["message"], "waiting", "{message}");
        pipes.notifications.push(message);
    }
    pipes.notify("notifications/cancelled", &json!({ "requestId": cancelled }));
    wait_for("the end of the run", || {
        let session = json!({ "session_id": "session-9" });
        let report = pipes.send("tools/call", &calling("report.latest_run", session));
        let mut message = pipes.message();
        while message["id"] != report {
            message = pipes.message();
        }
        let report = Called::from(&message).json;
        report["stopped_because"].as_str().is_some_and(|why| why.ends_with(":cancelled"))
    });
    let waiting = pipes.send("tools/call", &params);
    assert_eq!(pipes.message()["params"]["message"], "waiting");
    drop(lock);
    let answer = Called::from(&pipes.response(waiting)).ok();
    assert_eq!((&answer["outcome"], &answer["files"]), (&json!("updated"), &json!(42)));
}

/// A client whose reindex waits for an endpoint that hangs.
fn waiting(endpoint: &Endpoint) -> (Place, Pipes, u64) {
    let place = many();
    let flags = endpoint.flags();
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    place.run_index(&[&flags[..], &["--full"]].concat()).ok();
    flags.push("--no-watch");
    let mut pipes = Pipes::ready(&place, &flags);
    endpoint.hang();
    place.write("more.py", "def parse_more():\n    return 1\n");
    let mut params = calling("reindex", json!({}));
    params["_meta"] = json!({ "baggage": "session.id=session-9" });
    let id = pipes.send("tools/call", &params);
    wait_for("the texts to be sent", || !endpoint.asked().is_empty());
    (place, pipes, id)
}

#[test]
fn a_cancelled_reindex_ends_and_the_server_goes_on() {
    let endpoint = Endpoint::start();
    let (place, mut pipes, id) = waiting(&endpoint);
    let before = place.version().manifest.version;
    pipes.notify("notifications/cancelled", &json!({ "requestId": id, "reason": "test" }));
    let mut report = Value::Null;
    wait_for("the report of the run", || {
        let session = json!({ "session_id": "session-9" });
        let asked = pipes.send("tools/call", &calling("report.latest_run", session));
        let mut message = pipes.message();
        while message["id"] != asked {
            // A response to a cancelled request is allowed and not needed.
            assert_eq!(message["id"], id, "{message}");
            message = pipes.message();
        }
        let called = Called::from(&message);
        report = called.json;
        called.problem.is_none()
    });
    assert_eq!(report["tool"], "index:reindex");
    assert!(report["stopped_because"].as_str().unwrap().ends_with(":cancelled"), "{report}");
    wait_for("the request to end", || endpoint.given_up() == endpoint.asked().len());
    assert_eq!(pipes.call("index_status", json!({})).ok()["version"], before);
}

#[test]
fn a_client_that_closes_its_pipe_ends_the_server_whatever_it_is_doing() {
    let endpoint = Endpoint::start();
    let (place, pipes, _) = waiting(&endpoint);
    let before = place.version().manifest.version;
    let (code, _) = pipes.close();
    assert_eq!(code, Some(0));
    assert_eq!(place.version().manifest.version, before);
    wait_for("the request to end", || endpoint.given_up() == endpoint.asked().len());
}

#[test]
fn garbage_lines_are_skipped_or_refused_and_the_next_call_is_answered() {
    let mut pipes = Pipes::ready(&many(), &["--no-watch"]);
    let long = format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{}\"}}", "x".repeat(1 << 20));
    let nested = "[".repeat(100_000);
    for line in ["", "garbage", "{", "[]", "null", "{}", "\u{fffd}\0", &long, &nested] {
        pipes.write(line);
    }
    let asked = pipes.send("tools/call", &calling("index_status", json!({})));
    let mut message = pipes.message();
    while message["id"] != asked {
        assert!(message["error"]["code"].is_i64(), "{message}");
        message = pipes.message();
    }
    assert_eq!(Called::from(&message).ok()["files"], 41);
    let unknown = pipes.ask("tools/nope", &json!({}));
    assert_eq!(unknown["error"]["code"], -32601, "{unknown}");
}

#[test]
fn two_clients_of_one_index_get_the_same_answers_and_both_see_a_new_file() {
    let place = many();
    let mut clients = [Pipes::ready(&place, &[]), Pipes::ready(&place, &[])];
    let ask = |pipes: &mut Pipes| {
        let answers = (0..10).map(|i| {
            let query = json!({ "query": format!("how is header {i} parsed"), "limit": 3 });
            pipes.call("semantic_search", query).ok()["findings"].to_string()
        });
        answers.collect::<Vec<_>>()
    };
    let [first, second] = std::thread::scope(|scope| {
        let asking = clients.each_mut().map(|pipes| scope.spawn(|| ask(pipes)));
        asking.map(|client| client.join().unwrap())
    });
    assert_eq!(first, second);
    place.write("lib/more.py", "def parse_more():\n    return 1\n");
    let more = json!({ "scope": { "globs": ["lib/more.py"] } });
    for pipes in &mut clients {
        wait_for("the new file", || pipes.call("list_paths", more.clone()).json["total"] == 1);
    }
}
