//! Tests of one text on which a device fails, in a batch with the texts of other requests.

use super::*;
use crate::base::hit::ChunkId;
use crate::base::vector::SparseVec;
use crate::device::DeviceIndex;
use crate::embedding::engine::worker::compute::SearchOutput;

/// The device fails on sequences with more tokens than this.
const GOOD_TOKENS_MAX: usize = 30;

/// How the device fails.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fails {
    /// The results hold this number.
    With(f32),
    /// A search finds nothing, as one for NaN does.
    WithoutHits,
    Panics,
    PanicsLater,
    WithError,
    WithoutMemory,
}

/// A device that fails on long sequences. The first batch waits at a gate.
struct Frail {
    task: Task,
    fails: Fails,
    gate: Gate,
}

fn is_bad(batch: &Ragged, i: usize) -> bool {
    batch.seq(i).len() > GOOD_TOKENS_MAX
}

impl Compute for Frail {
    fn launch(&mut self, batch: &Ragged, request: &BatchRequest) -> Result<Launch> {
        self.gate.pass();
        let n = batch.n();
        if (0..n).any(|i| is_bad(batch, i)) {
            match self.fails {
                Fails::Panics => panic!("no kernel for this text"),
                Fails::PanicsLater => {
                    return Ok(Launch::Running(Box::new(|| panic!("no kernel for this text"))));
                }
                Fails::WithError => {
                    let (name, value) = ("token id", "1000".to_owned());
                    return Err(Error::Argument { name, value, expected: "less".to_owned() });
                }
                Fails::WithoutMemory => {
                    return Err(Error::OutOfMemory { tokens: batch.tokens(), bytes: 1 });
                }
                Fails::With(_) | Fails::WithoutHits => {}
            }
        }
        let value = |i| match self.fails {
            Fails::With(value) if is_bad(batch, i) => value,
            _ => batch.seq(i).len() as f32,
        };
        let rows = match self.task {
            Task::Embed | Task::Score => {
                BatchRows::Dense(Matrix::new((0..n).flat_map(|i| [1.0, value(i)]).collect(), 2)?)
            }
            Task::Expand => {
                let row = |i| SparseVec { ids: vec![3], weights: vec![value(i)] };
                BatchRows::Sparse((0..n).map(row).collect())
            }
            Task::TokenVectors => {
                let row = |i| Matrix::new(vec![1.0, 1.0, 1.0, value(i)], 2);
                BatchRows::Tokens((0..n).map(row).collect::<Result<_>>()?)
            }
        };
        let searches = request.searches.iter().map(|(search, rows)| SearchOutput {
            search: search.clone(),
            rows: rows.clone(),
            took: Duration::ZERO,
            scores: rows.clone().map(value).collect(),
            ids: rows
                .clone()
                .map(|i| {
                    if self.fails == Fails::WithoutHits && is_bad(batch, i) { -1 } else { i as i64 }
                })
                .collect(),
        });
        let rows = request.vectors.then_some(rows);
        Ok(Launch::Done(BatchOutput::new(rows, searches.collect())))
    }
}

/// An index without rows; the device above does not read it.
struct NoIndex;

impl DeviceIndex for NoIndex {
    #[cfg(feature = "cuda")]
    fn search(
        &self,
        _: &crate::device::cuda::DeviceRows<f32>,
        _: std::ops::Range<usize>,
        _: usize,
        _: &mut crate::device::Neighbors,
    ) -> Result<()> {
        unreachable!("the device does not search")
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Asks {
    For(Task),
    /// The nearest rows of an index.
    Nearest,
}

/// Requests of several clients in one batch. Returns the errors of those with only good texts, the
/// error of the one whose third text is bad, and the engine.
fn shared_batch(
    asks: Asks,
    fails: Fails,
    cache: Option<&Path>,
) -> (Vec<Result<()>>, Error, Engine) {
    let gate = Gate::default();
    let task = if let Asks::For(task) = asks { task } else { Task::Embed };
    let mut settings = settings();
    settings.engine.max_batch_tokens = 4096;
    settings.engine.max_batch_seqs = 256;
    settings.engine.batch_ms = 0;
    let identity = ModelIdentity { task, ..fake(&settings, None, || ()).identity().clone() };
    let frail = Box::new(Frail { task, fails, gate: gate.clone() });
    let engine = engine_for(identity, &bert(), &settings, cache, None, vec![frail]);
    let search = Search { index: Arc::new(NoIndex), k: 1 };
    let ask = |texts: &[&str]| -> Result<()> {
        let request = EmbedRequest::bulk(texts, PromptKind::None);
        match asks {
            Asks::Nearest => engine.nearest(request, &search, &run()).map(|found| {
                assert_eq!(found.nearest.len(), texts.len());
                assert!(found.nearest.iter().all(|hits| hits[0].id >= ChunkId(0)));
            }),
            Asks::For(Task::Embed) => engine.embed(request, &run()).map(|embeddings| {
                assert!(embeddings.vectors.as_slice().iter().all(|v| v.is_finite()));
            }),
            Asks::For(Task::Expand) => engine.expand(request, &run()).map(|expansions| {
                assert!(expansions.vectors.iter().all(|v| v.weights[0].is_finite()));
            }),
            Asks::For(Task::TokenVectors) => engine.token_vectors(request, &run()).map(|found| {
                assert!(found.vectors.iter().all(|v| v.check_finite("vectors").is_ok()));
            }),
            Asks::For(Task::Score) => {
                let pairs: Vec<_> = texts.iter().map(|text| (*text, "")).collect();
                let request = ScoreRequest { pairs: &pairs, lane: Lane::Bulk };
                engine.score(request, &run()).map(|scores| {
                    assert!(scores.logits.check_finite("logits").is_ok());
                })
            }
        }
    };
    let bad = "word ".repeat(50);
    let (good, error) = std::thread::scope(|scope| {
        let first = scope.spawn(|| ask(&["a gate"]));
        gate.wait_for_worker();
        let clients: Vec<_> = (0..6)
            .map(|client| {
                let texts = [0, 1, 2].map(|i| format!("client {client} text {i}"));
                scope.spawn(move || ask(&texts.each_ref().map(String::as_str)))
            })
            .collect();
        let frail = scope.spawn(|| ask(&["good", "also good", &bad, "good as well"]));
        wait_until(|| engine.stats().queue_depth == 6 * 3 + 4);
        gate.open();
        let mut good: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        good.push(first.join().unwrap());
        (good, frail.join().unwrap().unwrap_err())
    });
    (good, error, engine)
}

#[test]
fn a_text_whose_result_is_not_finite_fails_alone_with_its_index_in_any_task() {
    let tasks = [Task::Embed, Task::Score, Task::Expand, Task::TokenVectors].map(Asks::For);
    for asks in tasks.into_iter().chain([Asks::Nearest]) {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (good, error, engine) = shared_batch(asks, Fails::With(value), None);
            assert!(good.iter().all(Result::is_ok), "{asks:?}: {good:?}");
            assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{asks:?}: {error}");
            for part in ["input 2", "not a finite number", "engine.dtype"] {
                assert!(error.to_string().contains(part), "{asks:?}: {error}");
            }
            assert_eq!(engine.stats().batches, 2, "nothing is computed again");
        }
    }
    let (good, error, _) = shared_batch(Asks::Nearest, Fails::WithoutHits, None);
    assert!(good.iter().all(Result::is_ok), "{good:?}");
    assert!(error.to_string().contains("input 2"), "{error}");
}

#[test]
fn a_text_on_which_the_device_fails_fails_alone_with_its_index_and_the_reason() {
    for (fails, kind, reason) in [
        (Fails::Panics, ErrorKind::Internal, "no kernel for this text"),
        (Fails::PanicsLater, ErrorKind::Internal, "no kernel for this text"),
        (Fails::WithError, ErrorKind::InvalidParameter, "token id = 1000"),
        (Fails::WithoutMemory, ErrorKind::OutOfMemory, "out of memory"),
    ] {
        for asks in [Asks::For(Task::Embed), Asks::For(Task::Score), Asks::Nearest] {
            let (good, error, engine) = shared_batch(asks, fails, None);
            assert!(good.iter().all(Result::is_ok), "{fails:?}: {good:?}");
            assert_eq!(error.kind(), kind, "{fails:?}: {error}");
            assert!(error.to_string().starts_with("input 2: "), "{fails:?}: {error}");
            assert!(error.to_string().contains(reason), "{fails:?}: {error}");
            let (batches, halvings) = (engine.stats().batches, 22_u64.ilog2() + 1);
            assert!(batches <= 2 + u64::from(halvings), "{fails:?}: {batches} batches");
        }
    }
}

#[test]
fn a_text_that_fails_is_not_cached_and_those_of_others_are() {
    let folder = tempfile::tempdir().unwrap();
    let (_, _, engine) =
        shared_batch(Asks::For(Task::Embed), Fails::With(f32::NAN), Some(folder.path()));
    let bad = "word ".repeat(50);
    for (text, hits) in [("client 3 text 1", 1), ("a gate", 1)] {
        assert_eq!(embed(&engine, Lane::Bulk, &[text], &run()).unwrap().cache_hits, hits);
    }
    let error = embed(&engine, Lane::Bulk, &["client 3 text 1", &bad], &run()).unwrap_err();
    assert!(error.to_string().starts_with("input 1: "), "{error}");
}

#[test]
fn requests_that_share_an_engine_each_report_the_tokens_computed_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::default();
    let door = gate.clone();
    let engine = fake(&settings(), Some(folder.path()), move || door.pass());
    let texts = |job: usize| -> Vec<String> {
        let own = (0..50).map(|i| format!("job {job} text {i} {}", "x ".repeat(i % 7)));
        own.chain((0..50).map(|i| format!("text {i} of both jobs"))).collect()
    };
    let count = |texts: &[String]| {
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        engine.tokenizer().encode_batch(&texts).unwrap().tokens()
    };
    let ask = |texts: &[String]| {
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        embed(&engine, Lane::Bulk, &texts, &run()).unwrap()
    };
    let jobs: Vec<_> = std::thread::scope(|scope| {
        let jobs = [0, 1].map(|job| scope.spawn(move || ask(&texts(job))));
        wait_until(|| engine.stats().queue_depth > 150);
        gate.open();
        jobs.map(|job| job.join().unwrap()).into()
    });
    let computed: Vec<_> = jobs.iter().map(|answer| answer.computed_tokens).collect();
    for (job, answer) in jobs.iter().enumerate() {
        let texts = texts(job);
        let own = count(&texts[..50]);
        assert_eq!(answer.tokens, count(&texts));
        assert!((own..=answer.tokens).contains(&answer.computed_tokens), "{computed:?}, {own}");
    }
    assert_eq!(computed.iter().sum::<usize>() as u64, engine.stats().tokens);
    let again = ask(&texts(0));
    assert_eq!((again.tokens, again.computed_tokens), (jobs[0].tokens, 0));
    // Without a cache, equal texts of one batch are computed once.
    let engine = fake(&settings(), None, || ());
    let answer = embed(&engine, Lane::Bulk, &["x"; 5], &run()).unwrap();
    assert_eq!(answer.tokens, 5 * answer.computed_tokens);
}
