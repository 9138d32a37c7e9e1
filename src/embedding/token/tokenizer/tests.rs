//! Texts become the ids of the reference, whatever their length, and damaged files say why.

use super::super::reading::{READ_BYTES_MAX, RUN_PROBED};
use super::*;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/bert"))
}

fn open(max_tokens: usize) -> Tokenizer {
    Tokenizer::open(folder(), max_tokens).unwrap()
}

#[test]
fn a_long_text_loses_its_end_and_keeps_its_closing_token() {
    let text = "the quick brown fox jumps over the lazy dog";
    let whole = open(64).encode_batch(&[text]).unwrap();
    let (cls, sep) = (whole.ids[0], *whole.ids.last().unwrap());
    assert!(!whole.truncated[0] && whole.tokens() > 8);
    let cut = open(8).encode_batch(&[text, "", text]).unwrap();
    assert_eq!(cut.truncated, [true, false, true]);
    assert_eq!(cut.seq(1), [cls, sep]);
    assert_eq!(cut.seq(0), [&whole.ids[..7], &[sep]].concat());
    assert_eq!(cut.seq(2), cut.seq(0));
    let exact = open(whole.tokens()).encode_batch(&[text]).unwrap();
    assert_eq!(exact, whole);
}

#[test]
fn a_pair_is_one_sequence_whose_longer_text_gives_way() {
    let (query, text) = ("one two", "the quick brown fox jumps over the lazy dog");
    let single = |text| open(64).encode_batch(&[text]).unwrap().ids;
    let (query_ids, text_ids) = (single(query), single(text));
    let whole = open(64).encode_pairs(&[(query, text), ("", text)]).unwrap();
    // [CLS] query [SEP] text [SEP]: the second sequence without its [CLS].
    assert_eq!(whole.seq(0), [&query_ids[..], &text_ids[1..]].concat());
    let second = whole.seq_types(0).iter().position(|&kind| kind == 1).unwrap();
    assert_eq!(second, query_ids.len());
    assert!(whole.seq_types(0)[second..].iter().all(|&kind| kind == 1));
    let tokens = whole.seq(0).len();
    let cut = open(tokens - 3).encode_pairs(&[(query, text), (text, query)]).unwrap();
    assert_eq!((cut.truncated.clone(), cut.max_len()), (vec![true, true], tokens - 3));
    assert_eq!(cut.cu_seqlens, [0, tokens as u32 - 3, 2 * (tokens as u32 - 3)]);
    let kept = [&whole.seq(0)[..tokens - 4], &whole.seq(0)[tokens - 1..]].concat();
    assert_eq!(cut.seq(0), kept);
    assert_eq!(cut.seq(1)[tokens - 4 - query_ids.len() + 2..], query_ids[1..]);
    let error = open(3).encode_pairs(&[(query, text)]).unwrap_err().to_string();
    assert!(error.contains("3 special tokens of a pair"), "{error}");
}

#[test]
fn of_padding_and_truncation_in_the_file_only_the_side_counts() {
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("tokenizer.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder().join("tokenizer.json")).unwrap()).unwrap();
    json["truncation"] = serde_json::json!({ "max_length": 6, "stride": 0,
        "strategy": "LongestFirst", "direction": "Right" });
    json["padding"] = serde_json::json!({ "strategy": { "Fixed": 128 }, "direction": "Right",
        "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]" });
    std::fs::write(&path, json.to_string()).unwrap();
    let texts = ["one two three four five six seven eight", "x"];
    let got = Tokenizer::open(copy.path(), 64).unwrap().encode_batch(&texts).unwrap();
    assert_eq!(got, open(64).encode_batch(&texts).unwrap());
    json["truncation"]["direction"] = "Left".into();
    std::fs::write(&path, json.to_string()).unwrap();
    let left = Tokenizer::open(copy.path(), 8).unwrap();
    let got = left.encode_batch(&texts).unwrap();
    let whole = open(64).encode_batch(&texts).unwrap();
    let whole = whole.seq(0);
    assert_eq!(got.seq(0), [&whole[..1], &whole[whole.len() - 7..]].concat());
    let right = TextOptions { side: Some(Side::Right), ..TextOptions::default() };
    let right = Tokenizer::open_with(copy.path(), 8, right).unwrap();
    assert_eq!(right.encode_batch(&texts).unwrap(), open(8).encode_batch(&texts).unwrap());
}

/// Texts of few tokens for their bytes, in parts that each golden tokenizer reads differently.
fn odd_texts() -> Vec<String> {
    let mut rng = fastrand::Rng::with_seed(4);
    let units = [
        " ",
        "\n",
        "\t",
        "\r\n",
        "\n    ",
        "0",
        "x",
        "é",
        "\u{301}",
        "\u{200d}",
        "\u{fffd}",
        "日",
        "-",
        "deadbeef",
        "fn main() {} ",
        "Straße ",
        "\u{3000}",
        "e\u{301}",
        "🚀",
        ";",
    ];
    let mut text = || {
        let parts = rng.usize(1..5);
        (0..parts)
            .map(|_| units[rng.usize(0..units.len())].repeat(rng.usize(1..9000)))
            .collect::<Vec<_>>()
            .join(if rng.bool() { " between " } else { "" })
    };
    (0..60).map(|_| text()).collect()
}

#[test]
fn a_text_of_many_bytes_and_few_tokens_has_the_ids_of_the_whole_text() {
    let mut shorter = 0;
    for name in ["bert", "roberta", "xlm_roberta", "llama", "mpnet", "gemma3_text"] {
        for (side, max_tokens) in [(Side::Right, 16), (Side::Left, 16), (Side::Right, 64)] {
            let options = TextOptions { side: Some(side), ..TextOptions::default() };
            let golden = folder().parent().unwrap().join(name);
            let tokenizer = Tokenizer::open_with(&golden, max_tokens, options).unwrap();
            for text in odd_texts() {
                let whole = tokenizer.inner.encode_fast(text.as_str(), false).unwrap();
                let whole = whole.get_ids();
                let room = max_tokens - tokenizer.specials();
                let kept = tokenizer.kept(whole, room);
                let got = tokenizer.encode_batch(&[&text]).unwrap();
                let start: String = text.chars().take(20).collect();
                let opening = tokenizer.opening.len();
                assert_eq!(
                    &got.ids[opening..opening + kept.len()],
                    kept,
                    "{name} {side:?} {max_tokens}: {} bytes, {start:?}",
                    text.len()
                );
                assert_eq!(got.truncated[0], whole.len() > room, "{name}: {start:?}");
                let relevant = tokenizer.relevant(&text);
                let again = tokenizer.encode_batch(&[&relevant]).unwrap();
                assert_eq!(again.ids, got.ids, "{name}: {start:?}");
                shorter += usize::from(relevant.len() < text.len());
            }
        }
    }
    assert!(shorter > 100, "{shorter}");
}

#[test]
fn what_is_read_of_a_huge_text_is_bounded_by_its_tokens() {
    let tokenizer = open(256);
    for (unit, bytes_max) in [
        // Enough tokens: the first part suffices.
        ("é fn main() {}\n", 10_000),
        // The tokenizer ignores how long a run is, so that the whole text is one of 128 spaces.
        (" ", 1_000),
        ("7", 1_000),
        // No tokens, and no run of one character: it is read to the documented limit.
        ("\n ", READ_BYTES_MAX),
    ] {
        let huge = unit.repeat((16 << 20) / unit.len());
        let read = std::cell::Cell::new(0);
        let reading = tokenizer.reader.read(&huge, |part| {
            read.set(read.get() + part.len());
            let encoding = tokenizer.inner.encode_fast(part, false);
            encoding.map(|encoding| encoding.get_ids().to_vec())
        });
        let reading = reading.unwrap();
        assert!(reading.text.len() <= bytes_max, "{unit:?}: {}", reading.text.len());
        // Every part is at least three times as long as the one before it.
        let probes = 8 * RUN_PROBED * 4;
        assert!(read.get() <= bytes_max * 3 / 2 + probes, "{unit:?}: {}", read.get());
        assert_eq!(reading.more, unit != " " && unit != "7", "{unit:?}");
    }
}

#[test]
fn a_model_that_drops_the_start_of_long_texts_keeps_their_end() {
    let text = "the quick brown fox jumps over the lazy dog";
    let whole = open(64).encode_batch(&[text]).unwrap().ids;
    let options = TextOptions { side: Some(Side::Left), ..TextOptions::default() };
    let left = Tokenizer::open_with(folder(), 8, options).unwrap();
    let got = left.encode_batch(&[text]).unwrap();
    assert_eq!(got.ids, [&whole[..1], &whole[whole.len() - 7..]].concat());
    assert_eq!(got.truncated, [true]);
    let pair = left.encode_pairs(&[("fox", text)]).unwrap();
    assert_eq!(pair.ids[pair.ids.len() - 3..], whole[whole.len() - 3..]);
}

#[test]
fn texts_are_lowered_first_if_the_model_asks_for_it() {
    let golden = folder().parent().unwrap().join("roberta");
    let options = TextOptions { lower_case: true, ..TextOptions::default() };
    let lower = Tokenizer::open_with(&golden, 64, options).unwrap();
    let plain = Tokenizer::open(&golden, 64).unwrap();
    let ids = |tokenizer: &Tokenizer, text: &str| tokenizer.encode_batch(&[text]).unwrap().ids;
    assert_eq!(ids(&lower, "Straße HEAD"), ids(&plain, "straße head"));
    assert_ne!(ids(&plain, "Straße HEAD"), ids(&plain, "straße head"));
    let own = Tokenizer::open_with(folder(), 64, options).unwrap();
    assert_eq!(ids(&own, "Straße HEAD"), ids(&open(64), "Straße HEAD"));
}

#[test]
fn a_pair_whose_types_have_no_row_is_refused() {
    let tables = |token_types| Tables { vocab_size: 600, token_types };
    let pairs = [("a", "b")];
    assert!(open(64).fit(tables(Some(2))).unwrap().encode_pairs(&pairs).is_ok());
    assert!(open(64).fit(tables(None)).unwrap().encode_pairs(&pairs).is_ok());
    let one = open(64).fit(tables(Some(1))).unwrap();
    let error = one.encode_pairs(&pairs).unwrap_err().to_string();
    assert!(error.contains("template for pairs that fits the model"), "{error}");
    assert!(one.encode_batch(&["a"]).is_ok());
}

#[test]
fn lines_count_what_they_add_to_a_text() {
    let tokenizer = open(512);
    let lines = ["fn main() {", "", "    let naïve = 日本;", "}"];
    let counts = tokenizer.count_lines(&lines);
    assert_eq!(counts[1], 0);
    let whole = tokenizer.encode_batch(&[&lines.join("\n")]).unwrap();
    let sum = counts.iter().sum::<u32>() as usize + tokenizer.specials();
    assert_eq!((whole.tokens(), tokenizer.specials()), (sum, 2));
}

#[test]
fn a_tokenizer_that_cannot_serve_says_why() {
    let error = Tokenizer::open(folder(), 2).err().unwrap().to_string();
    assert!(error.contains("2 special tokens"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let missing = Tokenizer::open(empty.path(), 64).err().unwrap();
    assert!(matches!(missing, Error::ModelMissing { .. }), "{missing}");
    std::fs::write(empty.path().join("tokenizer.json"), "{}").unwrap();
    let broken = Tokenizer::open(empty.path(), 64).err().unwrap();
    assert!(matches!(broken, Error::ModelBroken { .. }), "{broken}");
}

#[test]
fn a_byte_order_mark_before_tokenizer_json_is_skipped() {
    let marked = tempfile::tempdir().unwrap();
    let json = std::fs::read(folder().join("tokenizer.json")).unwrap();
    let path = marked.path().join("tokenizer.json");
    std::fs::write(&path, [b"\xEF\xBB\xBF", &json[..]].concat()).unwrap();
    let ids = |folder: &Path| Tokenizer::open(folder, 64).unwrap().encode_batch(&["a b"]).unwrap();
    assert_eq!(ids(marked.path()), ids(folder()));
    std::fs::write(&path, b"\xFF\xFE{\0}\0").unwrap();
    let error = Tokenizer::open(marked.path(), 64).err().unwrap().to_string();
    assert!(error.contains("UTF-16") && error.contains("tokenizer.json"), "{error}");
}
