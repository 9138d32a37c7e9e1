//! Requests with a deadline, and an embedder that does not answer in time.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::{Endpoint, Place, Reply, Serving, many, wait_for};

const TIMEOUT: &str = "X-Request-Timeout-Ms";

/// A place whose index was embedded by `endpoint`, which hangs afterwards, and its server. set:
/// more settings of the server.
fn serving_from(endpoint: &Endpoint, set: &[&str]) -> (Place, Serving) {
    let place = many();
    let flags = endpoint.flags();
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    place.run_index(&[&flags[..], &["--full"]].concat()).ok();
    flags.extend(set.iter().flat_map(|setting| ["--set", setting]));
    let server = Serving::ready(&place, &flags);
    endpoint.hang();
    (place, server)
}

/// The names of the channels that answered.
fn answered(answer: &Value) -> Vec<&str> {
    let channels = answer["method"]["channels"].as_array().unwrap();
    let answered = channels.iter().filter(|channel| channel["answered"] == true);
    answered.map(|channel| channel["name"].as_str().unwrap()).collect()
}

#[track_caller]
fn assert_dense_is_late(answer: &Value, budget: &str) {
    assert_eq!(answered(answer), ["lexical", "symbol"]);
    assert!(!answer["findings"].as_array().unwrap().is_empty());
    let warnings = answer["run_report"]["warnings"].as_array().unwrap();
    let late = |warning: &&Value| {
        let message = warning["message"].as_str().unwrap();
        warning["code"] == "channel-late" && message.contains("dense") && message.contains(budget)
    };
    assert_eq!(warnings.iter().filter(late).count(), 1, "{warnings:?}");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn searches_answer_without_vectors_however_many_wait_for_an_endpoint_that_hangs() {
    const SEARCHES: usize = 32;
    let endpoint = Endpoint::start();
    let (_place, server) = serving_from(&endpoint, &["search.deadline_ms=15000"]);
    let done = AtomicUsize::new(0);
    let begin = Barrier::new(SEARCHES);
    std::thread::scope(|scope| {
        let (done, begin, server) = (&done, &begin, &server);
        let ask = move |i: usize| {
            begin.wait();
            let query = format!("how is header {i} parsed");
            let reply = server.post("/v1/search", &json!({ "query": query }));
            done.fetch_add(1, Ordering::SeqCst);
            reply
        };
        let searches: Vec<_> = (0..SEARCHES).map(|i| scope.spawn(move || ask(i))).collect();
        // The endpoint gets four requests at a time; the others wait in the queue.
        wait_for("all searches to wait", || {
            let waiting = server.probe("engine")["waiting"]["sequences"].as_u64().unwrap();
            endpoint.asked().len() + waiting as usize == SEARCHES
        });
        let words = json!({ "query": "parse_header", "channels": ["lexical", "symbol"] });
        let answer = server.post("/v1/search", &words).ok();
        assert_eq!(done.load(Ordering::SeqCst), 0, "it waited for the others");
        assert_eq!(answered(&answer), ["lexical", "symbol"]);
        for search in searches {
            assert_dense_is_late(&search.join().unwrap().ok(), "15000 ms");
        }
    });
    // The client gives up at the deadline, long before its own timeout.
    wait_for("the client to give up", || endpoint.given_up() == endpoint.asked().len());
    for request in endpoint.asked() {
        let left_ms: u64 = request.headers[&TIMEOUT.to_lowercase()].parse().unwrap();
        assert!((1..=15_000).contains(&left_ms), "{left_ms}");
    }
}

#[test]
fn the_header_shortens_the_deadline_of_a_search_and_never_extends_it() {
    let endpoint = Endpoint::start();
    let (place, server) = serving_from(&endpoint, &["search.deadline_ms=4000"]);
    let query = json!({ "query": "how is a header parsed" });
    for (header, budget_ms) in [(Some("1500"), 1500), (Some("600000"), 4000), (None, 4000)] {
        let headers: Vec<_> = header.iter().map(|value| (TIMEOUT, *value)).collect();
        let reply = server.post_with("/v1/search", &headers, &query);
        let run_id = reply.header("x-run-id").to_owned();
        assert_dense_is_late(&reply.ok(), &format!("{budget_ms} ms"));
        let run = server.get(&format!("/v1/runs/{run_id}")).ok();
        assert_eq!(run["budgets"]["deadline_ms"], budget_ms);
    }
    let dense = json!({ "query": "how is a header parsed", "channels": ["dense"] });
    let late = server.post_with("/v1/search", &[(TIMEOUT, "300")], &dense);
    assert_eq!((late.status, &late.json()["code"]), (504, &json!("search-timeout")));
    assert!(late.json()["detail"].as_str().unwrap().contains("300 ms"), "{}", late.text);

    // The command line has the same deadline.
    let flags = endpoint.flags();
    let mut args = vec!["search", "how is a header parsed", "--json"];
    args.extend(["--set", "search.deadline_ms=1500"]);
    args.extend(flags.iter().map(String::as_str));
    assert_dense_is_late(&place.run(&args).json(), "1500 ms");
}

#[test]
fn an_embedding_that_is_late_is_status_504_and_is_not_asked_for() {
    let endpoint = Endpoint::start();
    let (_place, server) = serving_from(&endpoint, &[]);
    let embed = |headers: &[(&str, &str)], text: &str| {
        server.post_with("/v1/embeddings", headers, &json!({ "input": text }))
    };
    std::thread::scope(|scope| {
        // Four requests occupy the client of the endpoint.
        let waiting = (0..4)
            .map(|i| scope.spawn(move || embed(&[(TIMEOUT, "5000")], &format!("waiting {i}"))));
        let waiting: Vec<_> = waiting.collect();
        wait_for("four requests", || endpoint.asked().len() == 4);
        for timeout_ms in ["1", "40", "400"] {
            let late = embed(&[(TIMEOUT, timeout_ms)], "nobody computes this");
            let error = &late.json()["error"];
            assert_eq!((late.status, &error["code"]), (504, &json!("search-timeout")), "{error}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(&format!(" {timeout_ms} ms")), "{message}");
        }
        for search in waiting {
            assert_eq!(search.join().unwrap().status, 504);
        }
    });
    wait_for("the client to give up", || endpoint.given_up() == 4);
    let texts: Vec<String> = endpoint.asked().into_iter().flat_map(|asked| asked.texts).collect();
    assert!(!texts.iter().any(|text| text.contains("nobody")), "{texts:?}");
}

#[test]
fn a_late_embedding_behind_a_backlog_is_not_computed_in_this_process() {
    let place = Place::uncached(&[]);
    let server = Serving::start(&place, &["--set", "engine.cache_bytes_max=0"]);
    server.wait_for_engine();
    let count = |name: &str| server.probe("engine")[name].as_u64().unwrap();
    let texts: Vec<String> = (0..2048).map(|i| format!("{i} {}", "word ".repeat(60))).collect();
    let (before, late) = (count("sequences"), "this is late");
    std::thread::scope(|scope| {
        let backlog = scope.spawn(|| server.post("/v1/embeddings", &json!({ "input": texts })));
        wait_for("the backlog", || {
            server.probe("engine")["waiting"]["sequences"].as_u64().unwrap() > 1000
        });
        for _ in 0..5 {
            let body = json!({ "input": [late, late, late, late, late] });
            let reply = server.post_with("/v1/embeddings", &[(TIMEOUT, "1")], &body);
            assert_eq!(reply.status, 504, "{}", reply.text);
            assert!(reply.text.contains("within 1 ms"), "{}", reply.text);
        }
        backlog.join().unwrap().ok();
    });
    assert_eq!(count("sequences") - before, 2048, "only the backlog was computed");
    // Without the header there is no deadline.
    server.post("/v1/embeddings", &json!({ "input": late })).ok();
}

#[test]
fn a_wrong_timeout_is_refused_with_its_value_and_the_range_by_every_tool() {
    let server = Serving::ready(&many(), &[]);
    let tools = [
        ("/v1/search", json!({ "query": "parse_header" })),
        ("/v1/embeddings", json!({ "input": "parse_header" })),
    ];
    for (route, body) in tools {
        for wrong in ["0", "-1", "1.5", "soon", "600001", "99999999999999999999"] {
            let reply: Reply = server.post_with(route, &[(TIMEOUT, wrong)], &body);
            assert_eq!(reply.status, 400, "{route} {wrong}: {}", reply.text);
            for part in ["invalid-parameter", TIMEOUT, wrong, "1 to 600000"] {
                assert!(reply.text.contains(part), "{part}: {}", reply.text);
            }
            let run = server.get(&format!("/v1/runs/{}", reply.header("x-run-id"))).ok();
            assert_eq!(run["run_id"], reply.header("x-run-id"), "a refused request is a run");
        }
        let twice = [(TIMEOUT, "1000"), (TIMEOUT, "2000")];
        assert_eq!(server.post_with(route, &twice, &body).status, 400, "{route}");
        server.post_with(route, &[(TIMEOUT, "60000")], &body).ok();
    }
}

#[test]
fn embedding_requests_beyond_their_limit_are_refused_and_keep_no_search_out() {
    let endpoint = Endpoint::start();
    let (_place, server) = serving_from(&endpoint, &["serve.requests_max=2"]);
    let embed = |timeout_ms: &str, text: &str| {
        server.post_with("/v1/embeddings", &[(TIMEOUT, timeout_ms)], &json!({ "input": text }))
    };
    std::thread::scope(|scope| {
        let waiting: Vec<_> =
            ["one", "two"].map(|text| scope.spawn(move || embed("8000", text))).into();
        wait_for("two requests", || endpoint.asked().len() == 2);
        let refused = embed("8000", "three");
        assert_eq!(refused.status, 429, "{}", refused.text);
        assert!(!refused.header("retry-after").is_empty());
        for part in ["overloaded", "2 requests to embed", "serve.requests_max"] {
            assert!(refused.text.contains(part), "{part}: {}", refused.text);
        }
        let words = json!({ "query": "parse_header", "channels": ["lexical", "symbol"] });
        server.post("/v1/search", &words).ok();
        for request in waiting {
            assert_eq!(request.join().unwrap().status, 504);
        }
    });
    // Their places are free again.
    assert_eq!(embed("300", "four").status, 504);
}
