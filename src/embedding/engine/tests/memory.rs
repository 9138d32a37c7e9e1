//! Tests of a device with too little memory.

use super::*;

/// A device whose memory holds `tokens_max` tokens.
pub struct Small<F> {
    pub compute: Box<dyn Compute>,
    pub tokens_max: usize,
    pub before: F,
}

impl<F: Fn() + Send> Compute for Small<F> {
    fn launch(&mut self, batch: &Ragged, request: &BatchRequest) -> Result<Launch> {
        (self.before)();
        match batch.tokens() {
            tokens if tokens > self.tokens_max => {
                Err(Error::OutOfMemory { tokens, bytes: 1 << 20 })
            }
            _ => self.compute.launch(batch, request),
        }
    }
}

/// The tiny BERT on a device whose memory holds `tokens_max` tokens.
fn small_device(tokens_max: usize, before: impl Fn() + Send + 'static) -> Engine {
    let Loaded { identity, compute, .. } =
        load(&bert(), &settings().engine, EngineOptions::default()).unwrap();
    let small = Box::new(Small { compute, tokens_max, before });
    engine_of(&settings(), None, None, identity.dim, small)
}

#[test]
fn a_batch_that_does_not_fit_the_memory_is_computed_in_halves() {
    let large = Engine::start(&bert(), &settings(), None).unwrap();
    let right = embed(&large, Lane::Bulk, &TEXTS, &run()).unwrap();
    let longest = TEXTS.map(|text| large.tokenizer().encode_batch(&[text]).unwrap().tokens());
    let longest = longest.into_iter().max().unwrap();
    let small = small_device(longest, || ());
    let exporter = InMemorySpanExporter::default();
    let telemetry = Telemetry::with_exporter(exporter.clone());
    let cx = RunContext::new(&telemetry, Tool::Embed, &[Stage::Embed]);
    let answer = embed(&small, Lane::Bulk, &TEXTS, &cx).unwrap();
    for (a, b) in answer.vectors.as_slice().iter().zip(right.vectors.as_slice()) {
        assert!((a - b).abs() < 1e-5);
    }
    let stats = small.stats();
    assert!(stats.out_of_memory > 0 && stats.batch_tokens_max <= longest, "{stats:?}");
    assert_eq!(stats.sequences, TEXTS.len() as u64, "what was refused is not counted");
    small.stop();
    let spans = exporter.get_finished_spans().unwrap();
    let halved =
        spans.iter().filter(|span| span.events.iter().any(|e| e.name == BatchSpan::HALVED));
    assert_eq!(halved.count() as u64, stats.out_of_memory);
}

#[test]
fn a_text_that_alone_is_too_much_fails_its_own_request_and_no_other() {
    let gate = Gate::default();
    let door = gate.clone();
    let engine = small_device(12, move || door.pass());
    let long = "word ".repeat(30);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| embed(&engine, Lane::Bulk, &["x"], &run()));
        gate.wait_for_worker();
        let too_long = scope.spawn(|| embed(&engine, Lane::Bulk, &[&long], &run()));
        let short = scope.spawn(|| embed(&engine, Lane::Bulk, &["y"], &run()));
        wait_until(|| engine.stats().queue_depth == 2);
        gate.open();
        first.join().unwrap().unwrap();
        short.join().unwrap().unwrap();
        let error = too_long.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        let tokens = engine.tokenizer().encode_batch(&[&long]).unwrap().tokens();
        assert!(error.to_string().contains(&format!("a batch of {tokens} tokens")), "{error}");
    });
}

#[test]
fn a_warm_up_measures_the_device_and_shows_memory_that_is_not_there() {
    let engine = Engine::start(&bert(), &settings(), None).unwrap();
    assert_eq!((engine.stats().batches, engine.stats().tokens_per_s), (0, 0));
    engine.warm_up().unwrap();
    let stats = engine.stats();
    assert!(stats.batches > 0 && stats.tokens_per_s > 0, "{stats:?}");
    assert!(stats.tokens >= 64, "as much as keeps one thread busy: {stats:?}");
    let error = small_device(12, || ()).warm_up().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
}
