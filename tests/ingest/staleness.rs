//! What decides the vectors or the chunks of an index is noticed although no file changed.

use std::fs;
use std::path::Path;

use codeintel::base::config::{DenseKind, DtypeChoice};
use codeintel::base::error::Error;
use codeintel::embedding::engine::{EmbedRequest, PromptKind};
use codeintel::index::DenseIndex;
use codeintel::ingest::{Ingest, IngestOutcome, IngestReport};

use crate::support::{Place, cx, engine};

const FILES: [(&str, &str); 2] = [
    ("a.py", "def a():\n    # first\n    return 1\n"),
    ("b.rs", "/// Adds.\nfn add(a: u8, b: u8) -> u8 {\n    a + b\n}\n"),
];

/// A place whose model is a copy that a test can edit, and the folder of the model.
fn place() -> (Place, String) {
    let mut place = Place::new(&FILES);
    let model = place.edited_model("bert", "mine", |_| {});
    place.settings.model.name = model.clone();
    (place, model)
}

/// Indexes as a new process does.
fn index(place: &Place) -> IngestReport {
    try_index(place).unwrap()
}

fn try_index(place: &Place) -> codeintel::base::error::Result<IngestReport> {
    let settings = place.settings.clone();
    let ingest = Ingest::new(place.data(), settings.clone(), move || Ok(engine(&settings)));
    ingest.run(&[place.repo().to_path_buf()], false, &cx())
}

fn write(model: &str, file: &str, text: &str) {
    let path = Path::new(model).join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Asserts that the next run reads every file again and says why, and that the run after it finds
/// nothing to do.
#[track_caller]
fn is_noticed(place: &Place, reason: &str) -> IngestReport {
    let done = index(place);
    assert_eq!(done.outcome, IngestOutcome::Built, "{reason}");
    assert_eq!((done.files_changed, done.files), (2, 2));
    assert!(done.reasons.iter().any(|r| r.contains(reason)), "{reason:?} in {:?}", done.reasons);
    let again = index(place);
    assert_eq!((again.outcome, again.reasons), (IngestOutcome::Unchanged, vec![]));
    done
}

/// Asserts that each stored vector is the one that the model computes now.
#[track_caller]
fn vectors_are_those_of_the_model(place: &Place) {
    let version = place.version();
    let dense = DenseIndex::open(&version.folder.dense(), version.manifest.model.dim).unwrap();
    let rows = place.catalog().rows_in(0..100).unwrap();
    let texts: Vec<String> = rows.iter().map(|row| row.embedded_text()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let request = EmbedRequest::bulk(&texts, PromptKind::Document);
    let engine = engine(&place.settings);
    let now = engine.embed(request, &cx()).unwrap().unit(engine.identity()).vectors;
    assert!(!rows.is_empty());
    for (row, now) in rows.iter().zip(now.rows()) {
        let stored = dense.vector(row.id).unwrap();
        let difference = stored.iter().zip(now).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-5, "{}: {difference}", row.path);
    }
}

#[test]
fn a_changed_document_prompt_embeds_every_chunk_again_and_is_named() {
    let (place, model) = place();
    index(&place);
    assert_eq!(index(&place).outcome, IngestOutcome::Unchanged);
    let prompts = |document: &str, query: &str| {
        let text = format!(r#"{{"prompts": {{"document": "{document}", "query": "{query}"}}}}"#);
        write(&model, "config_sentence_transformers.json", &text);
    };
    prompts("code: ", "");
    let done = is_noticed(&place, r#"document prompt of the model is "code: ", it was """#);
    assert_eq!(done.chunks_written, done.chunks);
    assert_eq!(done.chunks_embedded, done.chunks, "no vector of the old prompt is kept");
    vectors_are_those_of_the_model(&place);

    prompts("passage: ", "");
    is_noticed(&place, r#"is "passage: ", it was "code: ""#);
    vectors_are_those_of_the_model(&place);

    // The prompt of queries decides no vector of the index.
    prompts("passage: ", "find: ");
    assert_eq!(index(&place).outcome, IngestOutcome::Unchanged);

    // A file that changes at the same time is no other case.
    prompts("", "");
    place.write("a.py", "def a():\n    return 2\n");
    is_noticed(&place, r#"is "", it was "passage: ""#);
    vectors_are_those_of_the_model(&place);
}

#[test]
fn every_other_part_of_a_model_is_noticed_too() {
    let (mut place, model) = place();
    index(&place);
    write(&model, "1_Pooling/config.json", r#"{"pooling_mode_cls_token": true}"#);
    write(
        &model,
        "modules.json",
        r#"[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#,
    );
    let done = is_noticed(&place, "pooling of the model is cls, it was mean");
    assert_eq!(done.chunks_embedded, done.chunks);
    vectors_are_those_of_the_model(&place);

    write(&model, "sentence_bert_config.json", r#"{"max_seq_length": 40}"#);
    is_noticed(&place, "number of tokens that the model reads is 40");

    let weights = fs::read(Path::new(&model).join("config.json")).unwrap();
    let config = String::from_utf8(weights).unwrap();
    let changed = config.replacen("1e-12", "1e-6", 1);
    assert_ne!(config, changed);
    write(&model, "config.json", &changed);
    is_noticed(&place, "the files of the model are others");
    vectors_are_those_of_the_model(&place);

    place.settings.engine.dtype = DtypeChoice::Int8;
    is_noticed(&place, "number format (engine.dtype) is int8");
    vectors_are_those_of_the_model(&place);
}

#[test]
fn what_decides_the_chunks_or_the_kind_of_the_index_is_noticed_and_vectors_are_kept() {
    let (mut place, _) = place();
    index(&place);
    place.settings.chunk.tokens_max = 200;
    let done = is_noticed(&place, "chunk.tokens_max is 200, it was 256");
    assert_eq!(done.chunks_embedded, 0, "the same texts have the same vectors");
    place.settings.index.dense_kind = DenseKind::Hnsw;
    let done = is_noticed(&place, "index.dense_kind is hnsw, the index is Flat");
    assert_eq!(done.chunks_embedded, 0);
    assert!(place.version().manifest.dense_factory.starts_with("HNSW"));

    // A version of an older release says less about what made it.
    let manifest = place.version().folder.manifest();
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    for key in ["chunker", "model_state"] {
        json.as_object_mut().unwrap().remove(key);
    }
    json["model"].as_object_mut().unwrap().remove("parts");
    fs::write(&manifest, json.to_string()).unwrap();
    assert_eq!(place.searcher().version().manifest.chunker, "", "it can still be searched");
    let done = is_noticed(&place, "another release of codeintel split the files");
    assert_eq!(done.chunks_embedded, 0);
}

#[test]
fn a_model_of_another_name_is_refused_as_before_and_a_touched_file_is_no_other_model() {
    let (mut place, model) = place();
    index(&place);
    let tokenizer = Path::new(&model).join("tokenizer.json");
    fs::write(&tokenizer, fs::read(&tokenizer).unwrap()).unwrap();
    write(&model, "README.md", "A note beside the model.");
    assert_eq!(index(&place).outcome, IngestOutcome::Unchanged);
    place.settings.model.name = place.other_model();
    let error = try_index(&place).unwrap_err();
    assert!(matches!(error, Error::IndexModelMismatch { .. }), "{error}");
}

#[test]
fn the_command_says_why_it_reads_every_file_again() {
    let (place, model) = place();
    place.run_index(&[]).ok();
    let prompts = r#"{"prompts": {"document": "code: "}}"#;
    write(&model, "config_sentence_transformers.json", prompts);
    let text = place.run_index(&[]).ok();
    let reason = r#"every file was indexed again: the document prompt of the model is "code: ""#;
    assert!(text.contains(reason), "{text}");
    let json = place.run_index(&["--json", "--set", "chunk.tokens_max=100"]).json();
    assert_eq!(json["reasons"][0], "chunk.tokens_max is 100, it was 256");
    assert_eq!(
        place.run_index(&["--json", "--set", "chunk.tokens_max=100"]).json()["reasons"][0],
        serde_json::Value::Null
    );
}
