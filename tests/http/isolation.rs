//! One text for which the model's output is not a finite number, among the texts of other clients.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::support::{Place, Serving, overflow_token};

#[test]
fn a_text_on_which_the_model_overflows_fails_its_own_request_with_its_index() {
    let place = Place::new(&[]);
    let model = place.edited_model("bert", "overflows", |folder| overflow_token(folder, "python"));
    let server = Serving::start(&place, &["--model", &model]);
    server.wait_for_engine();
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for client in 0..12 {
            let (server, answered) = (&server, &answered);
            scope.spawn(move || {
                for round in 0..8 {
                    let texts: Vec<_> =
                        (0..6).map(|i| format!("fn client_{client}_{round}_{i}() {{}}")).collect();
                    let is_bad = client % 3 == 0;
                    let mut input = json!(texts);
                    if is_bad {
                        input[4] = json!(format!("a python of client {client} in round {round}"));
                    }
                    let reply = server.post("/v1/embeddings", &json!({ "input": input }));
                    if is_bad {
                        assert_eq!(reply.status, 400, "{}", reply.text);
                        assert!(reply.text.contains("input 4"), "{}", reply.text);
                        assert!(reply.text.contains("not a finite number"), "{}", reply.text);
                    } else {
                        assert_eq!(reply.status, 200, "{}", reply.text);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(answered.load(Ordering::Relaxed), 8 * 8);
}
