//! Reranking, the pool, and the feedback of words, from the setting to the answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use codeintel::base::config::{RerankMethod, Secret, process_env};
use codeintel::base::hit::ChunkId;
use codeintel::base::telemetry::{Stage, StepRecord, StepStatus, attrs};
use codeintel::embedding::engine::{
    EmbedRequest, Engine, EngineOptions, Lane, PromptKind, ScoreRequest, Task,
};
use codeintel::embedding::models;
use codeintel::index::catalog::ShownChunk;
use codeintel::search::{Answer, ChannelName, Query, RerankChoice};
use serde_json::{Value, json};

use crate::support::{Place, ask, fingerprint, golden, many, only, paths};

const QUERY: &str = "how is the header of a packet parsed";

fn by(query: Query, method: RerankMethod, top_k: usize) -> Query {
    query.with_rerank(RerankChoice { method: Some(method), top_k: Some(top_k) }).unwrap()
}

fn step(answer: &Answer, stage: Stage) -> &StepRecord {
    answer.report.steps.iter().find(|step| step.stage == stage).unwrap()
}

fn ids(answer: &Answer) -> Vec<ChunkId> {
    answer.findings.iter().map(|finding| finding.row.id).collect()
}

/// The text that a method compares.
fn text(row: &ShownChunk) -> String {
    let names = row.enclosing.join(" > ");
    let signature = row.signature.clone().unwrap_or_default();
    let lines = [row.path.clone(), names, signature, row.text.clone()];
    lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn engine(place: &Place, model: &str, task: Task) -> Engine {
    let folder = models::resolve(model, &place.settings.model.places(process_env)).unwrap();
    let options = EngineOptions { task, ..EngineOptions::default() };
    Engine::start_with(&folder, &place.settings, None, options).unwrap()
}

/// The mean over the tokens of the query of the greatest cosine with a token of the text.
fn max_sim(engine: &Engine, query: &str, text: &str) -> f64 {
    let vectors = |text: &str, prompt| {
        let found =
            engine.token_vectors(EmbedRequest::query(&[text], prompt), &crate::support::cx());
        found.unwrap().vectors.remove(0)
    };
    let (query, text) = (vectors(query, PromptKind::Query), vectors(text, PromptKind::Document));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let cosine = |a: &[f32], b: &[f32]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    let best = |row: &[f32]| text.rows().map(|other| cosine(row, other)).fold(f32::MIN, f32::max);
    query.rows().map(|row| f64::from(best(row))).sum::<f64>() / query.n() as f64
}

/// Whether the first `top_k` findings are those of `before` by falling `score`, and the others in their
/// order.
fn check_order(before: &Answer, after: &Answer, top_k: usize, score: impl Fn(&str) -> f64) {
    let mut first: Vec<ChunkId> = ids(after)[..top_k].to_vec();
    assert_eq!(ids(after)[top_k..], ids(before)[top_k..]);
    assert_eq!(after.reranked.as_ref().unwrap().candidates, ids(before)[..top_k]);
    let scores: Vec<f64> = after.findings[..top_k].iter().map(|f| score(&text(&f.row))).collect();
    assert!(scores.windows(2).all(|pair| pair[0] > pair[1] - 1e-4), "{scores:?}");
    assert!(scores[0] > scores[top_k - 1] + 1e-4, "all texts have the same score");
    for finding in &after.findings {
        let why = &finding.why;
        assert!((why.score() - finding.score).abs() < 1e-12, "{why}");
    }
    first.sort_unstable();
    let mut seen = ids(before)[..top_k].to_vec();
    seen.sort_unstable();
    assert_eq!(first, seen);
    let reranked = |f: &&codeintel::search::Finding| {
        f.why.factors.iter().any(|factor| factor.name == "rerank")
    };
    assert_eq!(after.findings.iter().filter(reranked).count(), top_k);
}

#[test]
fn the_best_chunks_are_ordered_by_max_sim_or_by_a_cross_encoder() {
    let mut place = many();
    place.settings.search.rerank_weight = 1.0;
    place.settings.search.rerank_budget_ms = 600_000;
    place.settings.search.rerank_model = golden("bert_rerank");
    let searcher = place.searcher();
    let query = place.query(QUERY, 40);
    let before = ask(&searcher, &query);
    assert_eq!(step(&before, Stage::Rerank).status, StepStatus::Skip);
    assert_eq!(before.reranked, None);

    let engine_of = |task, model: &str| engine(&place, model, task);
    let tokens = engine_of(Task::TokenVectors, &place.settings.model.name);
    let after = ask(&searcher, &by(query.clone(), RerankMethod::MaxSim, 20));
    check_order(&before, &after, 20, |text| max_sim(&tokens, QUERY, text));
    let record = step(&after, Stage::Rerank);
    assert_eq!(record.status, StepStatus::Run);
    assert_eq!(record.get(attrs::RERANK_METHOD), Some(&"maxsim".into()));
    for attribute in [attrs::RERANK_CANDIDATES, attrs::RERANK_SCORED] {
        assert_eq!(record.get(attribute), Some(&20usize.into()));
    }
    assert!(after.limits.is_empty(), "{:?}", after.limits);

    let pairs = engine_of(Task::Score, &place.settings.search.rerank_model);
    let score = |text: &str| {
        let request = ScoreRequest { pairs: &[(QUERY, text)], lane: Lane::Interactive };
        f64::from(pairs.score(request, &crate::support::cx()).unwrap().logits.row(0)[0])
    };
    let after = ask(&searcher, &by(query.clone(), RerankMethod::CrossEncoder, 12));
    check_order(&before, &after, 12, score);

    // The settings decide where the query does not.
    place.settings.search.rerank = RerankMethod::CrossEncoder;
    place.settings.search.rerank_top_k = 12;
    let searcher = place.searcher();
    assert_eq!(fingerprint(&ask(&searcher, &query)), fingerprint(&after));
    let off = ask(&searcher, &by(query, RerankMethod::Off, 12));
    assert_eq!(fingerprint(&off), fingerprint(&before));
}

#[test]
fn what_cannot_rerank_is_left_out_with_a_warning_and_the_answer_stays() {
    let mut place = many();
    let searcher = place.searcher();
    let query = place.query(QUERY, 20);
    let before = ask(&searcher, &query);
    let lexical = only(query.clone(), &[ChannelName::Lexical]);
    let before_lexical = ask(&searcher, &lexical);
    for (method, query, before, part) in [
        (RerankMethod::CrossEncoder, &query, &before, "search.rerank_model"),
        (RerankMethod::Listwise, &query, &before, "search.rerank_url"),
        (RerankMethod::Exact, &lexical, &before_lexical, "the dense channel found nothing"),
    ] {
        let after = ask(&searcher, &by(query.clone(), method, 10));
        assert_eq!(fingerprint(&after), fingerprint(before), "{method}");
        assert!(after.limits.iter().any(|limit| limit.contains(part)), "{:?}", after.limits);
        assert_eq!(after.report.warnings.last().unwrap().code, "rerank-failed");
        assert_eq!(step(&after, Stage::Rerank).status, StepStatus::Error);
        assert_eq!(after.report.stopped_because, "completed");
    }
    place.settings.search.rerank_model = place.settings.model.name.clone();
    let after = ask(&place.searcher(), &by(query.clone(), RerankMethod::CrossEncoder, 10));
    assert!(after.limits[0].contains("ForSequenceClassification"), "{:?}", after.limits);

    // What there was no time for is named.
    place.settings.search.rerank_budget_ms = 1;
    let after = ask(&place.searcher(), &by(query, RerankMethod::MaxSim, 20));
    let seen = after.reranked.as_ref().map_or(0, |reranked| reranked.scored);
    assert_eq!(after.limits.len(), usize::from(seen < 20), "{seen}: {:?}", after.limits);
    assert_eq!(paths(&after).len(), 20);
}

#[test]
fn vectors_in_full_precision_change_nothing_where_the_index_is_exact() {
    let place = many();
    let searcher = place.searcher();
    let query = place.query(QUERY, 200);
    let (before, after) =
        (ask(&searcher, &query), ask(&searcher, &by(query.clone(), RerankMethod::Exact, 200)));
    assert_eq!(fingerprint(&before), fingerprint(&after));
    let reranked = after.reranked.as_ref().unwrap();
    assert_eq!((reranked.scored, &reranked.candidates), (before.total, &ids(&before)));
}

/// The head and the body of each request.
type Requests = Arc<Mutex<Vec<(String, Value)>>>;

/// A chat endpoint that answers each request with the next of `answers`, a status and a text, and
/// keeps what it was asked.
fn chat(answers: Vec<(u16, String)>) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Requests::default();
    let seen = asked.clone();
    std::thread::spawn(move || {
        for ((status, text), stream) in answers.into_iter().zip(listener.incoming()) {
            let stream = stream.unwrap();
            let mut reader = BufReader::new(&stream);
            let (mut head, mut line) = (String::new(), String::new());
            while reader.read_line(&mut line).unwrap() > 2 {
                head += &std::mem::take(&mut line).to_lowercase();
            }
            let length = head.split("content-length: ").nth(1).unwrap();
            let length = length.lines().next().unwrap().parse().unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            seen.lock().unwrap().push((head, serde_json::from_slice(&body).unwrap()));
            let body = json!({ "choices": [{ "message": { "content": text } }] }).to_string();
            let head = format!(
                "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            (&stream).write_all((head + &body).as_bytes()).unwrap();
        }
    });
    (url, asked)
}

#[test]
fn a_chat_model_orders_the_chunks_and_one_that_fails_changes_nothing() {
    let mut place = many();
    let answers =
        [(200, "Best first: [3] > [1]"), (500, "[1]"), (200, "the first"), (200, "[2] > [2]")];
    let (url, asked) = chat(answers.map(|(status, text)| (status, text.to_owned())).into());
    place.settings.search.rerank_url = url;
    place.settings.search.rerank_chat_model = "a-model".to_owned();
    place.settings.search.rerank_api_key = Secret::new(Some("sesame".to_owned()));
    place.settings.search.rerank_budget_ms = 600_000;
    let searcher = place.searcher();
    let query = place.query(QUERY, 20);
    let before = ask(&searcher, &query);
    let reranked = || ask(&searcher, &by(query.clone(), RerankMethod::Listwise, 5));
    let old = ids(&before);
    let after = reranked();
    assert_eq!(ids(&after)[..6], [old[2], old[0], old[1], old[3], old[4], old[5]]);
    for part in ["500", "names no passage"] {
        let after = reranked();
        assert_eq!(fingerprint(&after), fingerprint(&before));
        assert!(after.limits[0].contains(part), "{:?}", after.limits);
        assert!(!format!("{:?}", after.report).contains("sesame"));
    }
    assert_eq!(ids(&reranked())[..3], [old[1], old[0], old[2]]);

    let asked = asked.lock().unwrap();
    let (head, body) = &asked[0];
    assert!(head.starts_with("post /v1/chat/completions"), "{head}");
    assert!(head.contains("authorization: bearer sesame"), "{head}");
    assert_eq!(body["model"], "a-model");
    let question = body["messages"][1]["content"].as_str().unwrap();
    assert!(question.contains(QUERY) && question.contains("[5]\n") && !question.contains("[6]\n"));
    assert!(question.contains(before.findings[0].row.text.trim()), "{question}");
}

#[test]
fn the_pool_holds_each_chunk_once_and_at_most_so_many() {
    let mut place = many();
    place.settings.search.pool_max = 200;
    let answer = ask(&place.searcher(), &place.query(QUERY, 200));
    let record = step(&answer, Stage::Pool);
    assert_eq!(record.get(attrs::POOL_DOCS), Some(&answer.total.into()));
    assert_eq!(record.get(attrs::POOL_DROPPED), Some(&0usize.into()));
}

#[test]
fn words_of_the_best_chunks_are_searched_too_if_it_is_asked_for() {
    let mut files: Vec<(String, String)> = (0..60)
        .map(|i| (format!("src/other_{i}.py"), format!("def other_{i}():\n    return {i}\n")))
        .collect();
    for i in 0..3 {
        let text =
            format!("# quaternion slerp\ndef blend_{i}(a, b):\n    return slerp(a, b, {i})\n");
        files.push((format!("src/rotation_{i}.py"), text));
    }
    let text = "def turn(a, b):\n    return slerp(a, b, 0.5) + slerp(b, a, 0.5)\n".to_owned();
    files.push(("src/turn.py".to_owned(), text));
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let mut place = Place::indexed(&files);
    let query = only(place.query("quaternion", 20), &[ChannelName::Lexical]);
    let searcher = place.searcher();
    let without = ask(&searcher, &query);
    assert!(
        !without.plan.rm3 && !paths(&without).contains(&"src/turn.py"),
        "{:?}",
        paths(&without)
    );
    let with = ask(&searcher, &query.clone().with_rm3(Some(true)));
    assert!(with.plan.rm3 && paths(&with).contains(&"src/turn.py"), "{:?}", paths(&with));
    assert!(paths(&with)[0].starts_with("src/rotation"), "{:?}", paths(&with));
    assert!(
        matches!(step(&with, Stage::Lexical).get(attrs::RM3_TERMS), Some(terms) if *terms != 0usize.into())
    );
    assert_eq!(step(&with, Stage::Gate).get(attrs::RM3), Some(&true.into()));
    place.settings.search.rm3 = true;
    assert_eq!(fingerprint(&ask(&place.searcher(), &query)), fingerprint(&with));
    // A query that finds nothing has nothing to learn from.
    let nothing = only(place.query("zzyzx", 20), &[ChannelName::Lexical]);
    assert!(ask(&place.searcher(), &nothing).findings.is_empty());
}
