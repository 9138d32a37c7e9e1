//! Vectors from the cache: the same bits, by text and prompt, and without it the same answer.

use super::*;

#[test]
fn a_text_seen_before_is_the_same_bits_without_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let start =
        |options| Engine::start_with(&bert(), &settings(), Some(folder.path()), options).unwrap();
    let engine = start(EngineOptions::default());
    let first = embed(&engine, Lane::Bulk, &TEXTS, &run()).unwrap();
    assert_eq!(first.cache_hits, 0);
    drop(engine);

    let engine = start(EngineOptions::default());
    let again = embed(&engine, Lane::Interactive, &TEXTS, &run()).unwrap();
    assert_eq!((again.cache_hits, engine.stats().batches), (TEXTS.len(), 0));
    assert_eq!((again.tokens, again.truncated), (first.tokens, first.truncated));
    let bits =
        |e: &Embeddings| e.vectors.as_slice().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&first), bits(&again));
    let mixed = embed(&engine, Lane::Bulk, &["new", TEXTS[0]], &run()).unwrap();
    assert_eq!((mixed.cache_hits, engine.stats().sequences), (1, 1));
    assert_eq!(mixed.vectors.row(1), first.vectors.row(0));
    drop(engine);

    let cls = start(EngineOptions { pooling: Some(Pooling::Cls), ..EngineOptions::default() });
    assert_eq!(embed(&cls, Lane::Bulk, &TEXTS, &run()).unwrap().cache_hits, 0);
}

/// A copy of the tiny BERT's folder with these prompts.
fn with_prompts(prompts: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(bert().path.join(file), folder.path().join(file)).unwrap();
    }
    std::fs::write(folder.path().join("config_sentence_transformers.json"), prompts).unwrap();
    folder
}

#[test]
fn the_prompt_of_a_request_stands_before_each_text_for_tokenizer_and_cache() {
    let model = with_prompts(r#"{"prompts": {"query": "find: ", "passage": "code: "}}"#);
    let cache = tempfile::tempdir().unwrap();
    let start =
        |folder: &Path, cache| Engine::start(&ModelFolder::at(folder), &settings(), cache).unwrap();
    let bare = with_prompts("{}");
    let (prompted, plain) = (start(model.path(), Some(cache.path())), start(bare.path(), None));
    let ask = |engine: &Engine, texts: &[&str], kind| {
        engine.embed(EmbedRequest::bulk(texts, kind), &run()).unwrap()
    };
    for (kind, prompt) in [
        (PromptKind::None, ""),
        (PromptKind::Query, "find: "),
        (PromptKind::Document, "code: "),
        (PromptKind::None, ""),
    ] {
        assert_eq!((prompted.prompt(kind), plain.prompt(kind)), (prompt, ""));
        let texts = TEXTS.map(|text| format!("{prompt}{text}"));
        let texts = texts.each_ref().map(String::as_str);
        let (got, want) = (ask(&prompted, &TEXTS, kind), ask(&plain, &texts, PromptKind::None));
        let is_close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
        assert!(
            got.vectors.as_slice().iter().zip(want.vectors.as_slice()).all(is_close),
            "{kind:?}"
        );
        assert_eq!(got.tokens, want.tokens);
        assert_eq!(
            ask(&plain, &TEXTS, kind).vectors,
            ask(&plain, &TEXTS, PromptKind::None).vectors
        );
    }
    assert_eq!(ask(&prompted, &TEXTS, PromptKind::Query).cache_hits, TEXTS.len());
    let by_hand = ask(&prompted, &["find: x"], PromptKind::None);
    assert_eq!(by_hand.cache_hits, 1, "a prompt is a part of the text");
    let (prompted, plain) = (prompted.identity(), plain.identity());
    assert_eq!((prompted.key(), &prompted.document_prompt[..]), (plain.key(), "code: "));
    assert_ne!(prompted.index_key(), plain.index_key(), "its index holds other vectors");
}

#[test]
fn a_cache_that_cannot_be_written_costs_a_warning_and_not_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let engine = fake(&settings(), Some(folder.path()), || ());
    drop(folder);
    let cx = run();
    let answer = embed(&engine, Lane::Bulk, &TEXTS, &cx).unwrap();
    assert_eq!(answer.vectors.as_slice(), expected(&engine, &TEXTS));
    let codes: Vec<_> = cx.report().warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, ["cache-write-failed"]);
}
