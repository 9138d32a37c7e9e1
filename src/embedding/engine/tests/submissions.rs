//! Tests of requests that are submitted first and waited for later.

use super::*;

fn submit<'a>(engine: &'a Engine, text: &'a str, cx: &RunContext) -> Submission<'a, Embeddings> {
    engine.submit(EmbedRequest::query(&[text], PromptKind::None), None, cx)
}

#[test]
fn one_thread_can_have_many_requests_in_the_queue() {
    let gate = Gate::default();
    let door = gate.clone();
    let engine = fake(&settings(), None, move || door.pass());
    let texts: Vec<_> = (0..50).map(|i| format!("number {i}")).collect();
    let submitted: Vec<_> = texts.iter().map(|text| submit(&engine, text, &run())).collect();
    gate.wait_for_worker();
    assert!(engine.stats().queue_depth >= 50 - settings().engine.max_batch_seqs);
    gate.open();
    for (text, submission) in texts.iter().zip(submitted) {
        let answer = submission.wait().unwrap();
        assert_eq!(answer.vectors.as_slice(), expected(&engine, &[text]));
    }
}

#[test]
fn a_submission_that_is_dropped_withdraws_its_request() {
    let gate = Gate::default();
    let door = gate.clone();
    let engine = fake(&settings(), None, move || door.pass());
    let first = submit(&engine, "first", &run());
    gate.wait_for_worker();
    let exporter = InMemorySpanExporter::default();
    let cx =
        RunContext::new(&Telemetry::with_exporter(exporter.clone()), Tool::Embed, &[Stage::Embed]);
    drop(submit(&engine, "dropped", &cx));
    let spans = exporter.get_finished_spans().unwrap();
    assert_eq!(spans.len(), 1);
    assert!(matches!(spans[0].status, Status::Error { .. }));
    assert_eq!(cx.report().steps.len(), 1);
    gate.open();
    first.wait().unwrap();
    wait_until(|| engine.stats().queue_depth == 0);
    assert_eq!(engine.stats().sequences, 1);
}

#[test]
fn a_refusal_is_the_result_of_the_wait() {
    let engine = fake(&settings(), None, || ());
    engine.stop();
    let submission = submit(&engine, "x", &run());
    assert_eq!(submission.wait().unwrap_err().kind(), ErrorKind::Unavailable);
}
