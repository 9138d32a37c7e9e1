//! Texts of many bytes and few tokens, against sentence-transformers.

use super::*;

/// A text of `tests/golden/minilm/long.json`, which `make_long.py` beside it wrote.
#[derive(serde::Deserialize)]
struct Long {
    name: String,
    /// Each part and how often it is repeated.
    parts: Vec<(String, usize)>,
    tokens: usize,
    truncated: bool,
    /// `[384]`
    vector: Vec<f32>,
}

#[test]
fn a_text_of_many_bytes_and_few_tokens_has_the_vector_of_sentence_transformers() {
    let folder = minilm();
    let config = SentenceConfig::read(&folder).unwrap();
    let tokenizer = Tokenizer::open(&folder, 256).unwrap();
    let device = Device::cpu(0).unwrap();
    let encoder = Encoder::load(&folder, &device).unwrap();
    let pooler = Pooler::load(&folder, &config, encoder.hidden_dim(), &device).unwrap();
    let cases: Vec<Long> =
        serde_json::from_slice(&std::fs::read(golden("minilm/long.json")).unwrap()).unwrap();
    assert!(cases.len() > 10);
    for Long { name, parts, tokens, truncated, vector } in cases {
        let text: String = parts.iter().map(|(unit, times)| unit.repeat(*times)).collect();
        let batch = tokenizer.encode_batch(&[&text]).unwrap();
        assert_eq!((batch.tokens(), batch.truncated[0]), (tokens, truncated), "{name}");
        let got = pooler.embed(&encoder, &batch).unwrap();
        let error = worst(got.as_slice(), &vector);
        assert!(error < TOLERANCE, "{name}: {error:e}");
    }
}
