//! Prompts of the model in front of documents and queries.

use codeintel::base::error::Error;
use codeintel::embedding::engine::{EmbedRequest, PromptKind};
use codeintel::index::DenseIndex;
use codeintel::search::{ChannelName, Searcher};

use crate::support::{Place, ask, cx, engine, only};

/// A copy of the tiny model in `place`, with these prompts.
fn model(place: &Place, name: &str, prompts: &str) -> String {
    place.edited_model("bert", name, |folder| {
        std::fs::write(folder.join("config_sentence_transformers.json"), prompts).unwrap();
    })
}

#[test]
fn documents_and_queries_are_embedded_with_their_prompts() {
    let mut place = Place::new(&[("a.py", "def a():\n    return 1\n")]);
    let prompts = r#"{"prompts": {"query": "find: ", "document": "code: "}}"#;
    place.settings.model.name = model(&place, "asking", prompts);
    place.index();

    let version = place.version();
    let dense = DenseIndex::open(&version.folder.dense(), 64).unwrap();
    let row = &place.searcher().catalog().rows_in(0..1).unwrap()[0];
    let plain = Place::new(&[]).engine();
    let vector = |text: &str| {
        let texts = [text];
        let request = EmbedRequest::bulk(&texts, PromptKind::None);
        plain.embed(request, &cx()).unwrap().vectors.row(0).to_vec()
    };
    let difference =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let stored = dense.vector(row.id).unwrap();
    assert!(difference(&stored, &vector(&format!("code: {}", row.embedded_text()))) < 1e-4);
    assert!(difference(&stored, &vector(&row.embedded_text())) > 1e-3);

    let query = only(place.query("where is a", 1), &[ChannelName::Dense]);
    let found = ask(&place.searcher(), &query).findings[0].why.contributions[0].raw_score;
    let cosine: f32 = stored.iter().zip(vector("find: where is a")).map(|(a, b)| a * b).sum();
    assert!((found - cosine).abs() < 1e-4, "{found} {cosine}");

    // The index can be searched with another query prompt, but not with another document prompt.
    let mut other = |name: &str, prompts: &str| {
        place.settings.model.name = model(&place, name, prompts);
        let version = place.version();
        Searcher::open(version, Some(engine(&place.settings)), &place.settings).map(|_| ())
    };
    other("query", r#"{"prompts": {"query": "q: ", "document": "code: "}}"#).unwrap();
    let error = other("document", r#"{"prompts": {"document": "text: "}}"#).unwrap_err();
    assert!(matches!(error, Error::IndexModelMismatch { .. }), "{error}");
    assert!(other("none", "{}").is_err());
}
