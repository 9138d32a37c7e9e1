//! A running server follows the published version without failing a request.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::{Serving, many, wait_for};

/// Ends the searching threads, also if the test fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_request_fails_while_versions_are_published() {
    let place = many();
    let server = Serving::ready(&place, &[]);
    let done = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let seen = Mutex::new(BTreeSet::new());
    let ask = |thread: usize| {
        let queries = ["parse_header", "how is a token split", "src/frame/check.rs", "footer"];
        let mut i = thread;
        while !done.load(Ordering::Relaxed) {
            i += 1;
            let body = json!({ "query": queries[i % queries.len()], "limit": 5 });
            let reply = server.post("/v1/search", &body);
            answered.fetch_add(1, Ordering::Relaxed);
            let body = reply.json();
            // Files that are not indexed yet are no failure.
            let is_age =
                |limit: &Value| limit.as_str().unwrap().contains("since the index was made");
            let whole = body["limits"].as_array().is_some_and(|limits| limits.iter().all(is_age))
                && body["findings"].as_array().is_some_and(|findings| findings.len() == 5);
            if reply.status != 200 || !whole {
                failures.lock().unwrap().push(format!("{} {}", reply.status, reply.text));
            }
            let version = body["freshness"]["version"].as_str().unwrap_or("none").to_owned();
            seen.lock().unwrap().insert(version);
        }
    };
    std::thread::scope(|scope| {
        let ask = &ask;
        for thread in 0..4 {
            scope.spawn(move || ask(thread));
        }
        let _done = Done(&done);
        for i in 0..5 {
            place.write(
                &format!("new/file{i}.py"),
                format!("def brand_new_{i}():\n    return {i}\n"),
            );
            let report = place.index();
            // Two versions follow each other so fast that the server may never see the first.
            if i != 2 {
                let name = &report.version;
                wait_for("the new version", || seen.lock().unwrap().contains(name));
            }
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} failed, first: {}", failures.len(), failures[0]);
    assert!(answered.into_inner() > 50);
    let found = server.post("/v1/search", &json!({ "query": "brand_new_4" })).ok();
    assert_eq!(found["findings"][0]["location"]["path"], "new/file4.py");
    assert_eq!(found["freshness"]["version"], "000006");
}

#[test]
fn a_version_that_cannot_be_opened_does_not_replace_the_current_one() {
    let place = many();
    let server = Serving::ready(&place, &[]);
    place.write("new.py", "def new():\n    return 1\n");
    let hold = |name: &str| std::fs::write(place.data().path().join("CURRENT"), name).unwrap();
    hold("000077\n");
    wait_for("the error message", || {
        server.stderr_text.lock().unwrap().contains("could not be opened")
    });
    let answer = server.post("/v1/search", &json!({ "query": "parse_header" })).ok();
    assert_eq!(answer["freshness"]["version"], "000001");
    assert_eq!(server.get("/readyz").status, 200);
    hold("000001\n");
    place.index();
    let version = || server.post("/v1/search", &json!({ "query": "new" })).json();
    wait_for("the next version", || version()["freshness"]["version"] == "000002");
}
