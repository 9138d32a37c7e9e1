//! Rows that fail: each is named, keeps its place, and stops no other.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{lines, piped};
use crate::support::{Place, Ran};

fn embed(place: &Place, args: &[&str], input: &[u8]) -> Ran {
    piped(place, &[&["embed", "--format", "jsonl"], args].concat(), input)
}

/// The rows of a NumPy file of f32: `[n, 64]`.
fn numpy(place: &Place, name: &str) -> Vec<Vec<f32>> {
    let bytes = fs::read(place.path().join(name)).unwrap();
    let header = std::str::from_utf8(&bytes[10..128]).unwrap();
    let values = bytes[128..].as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let values: Vec<f32> = values.collect();
    let rows: Vec<Vec<f32>> = values.chunks(64).map(<[f32]>::to_vec).collect();
    assert!(header.contains(&format!("'shape': ({}, 64)", rows.len())), "{header}");
    rows
}

#[test]
fn one_bad_row_of_many_is_reported_and_the_others_are_written_in_their_places() {
    let place = Place::new(&[]);
    let line = |i: usize| json!({ "id": i, "text": format!("text {i}") }).to_string();
    let mut rows: Vec<String> = (0..1200).map(line).collect();
    rows[1100] = r#"{"id": 1100, "text": 7}"#.to_owned();
    fs::write(place.path().join("in.jsonl"), rows.join("\n")).unwrap();
    fs::write(place.path().join("out.npy"), "older").unwrap();
    let ran = place.run(&["embed", "in.jsonl", "-o", "out.npy", "--errors", "bad.jsonl"]);
    ran.fails(20, &["line 1101, column 22, of in.jsonl", "\"text\" is 7", "1 of 1200 rows failed"]);
    let vectors = numpy(&place, "out.npy");
    assert_eq!(vectors.len(), 1200);
    assert!(vectors[1100].iter().all(|value| value.is_nan()));
    let alone = embed(&place, &[], format!("{}\n{}", line(0), line(1199)).as_bytes()).ok();
    for (line, row) in lines(&alone).iter().zip([0, 1199]) {
        let values = line["embedding"].as_array().unwrap();
        let difference =
            values.iter().zip(&vectors[row]).map(|(a, b)| a.as_f64().unwrap() as f32 - b);
        assert!(difference.fold(0.0, |max: f32, d| max.max(d.abs())) < 1e-5, "row {row}");
    }
    let bad = lines(&fs::read_to_string(place.path().join("bad.jsonl")).unwrap());
    assert_eq!(bad.len(), 1);
    let bad = &bad[0];
    assert_eq!((&bad["row"], &bad["line"], &bad["id"]), (&json!(1100), &json!(1101), &json!(1100)));
    assert_eq!(bad["code"], "invalid-parameter");
    assert!(bad["message"].as_str().unwrap().contains("\"text\" is 7"), "{bad}");

    let ran = place.run(&["embed", "in.jsonl", "-o", "out.jsonl"]);
    assert_eq!(ran.code, Some(20));
    let out = lines(&fs::read_to_string(place.path().join("out.jsonl")).unwrap());
    assert_eq!(out.len(), 1200);
    assert!(out.iter().enumerate().all(|(i, line)| line["id"] == json!(i)));
    assert_eq!(out[1100].get("embedding"), None);
    assert_eq!(out[1100]["error"]["code"], "invalid-parameter");
    // Formats without NaN have zeros, which are -128 in bytes less 128.
    for (dtype, bytes, zero) in [("int8", 64, 0), ("ubinary", 8, 0), ("binary", 8, 0x80)] {
        let flags = ["-o", "out.npy", "--output-dtype", dtype];
        assert_eq!(place.run(&[&["embed", "in.jsonl"], &flags[..]].concat()).code, Some(20));
        let written = fs::read(place.path().join("out.npy")).unwrap();
        assert_eq!(written.len(), 128 + 1200 * bytes);
        assert!(written[128 + 1100 * bytes..128 + 1101 * bytes].iter().all(|byte| *byte == zero));
    }
    // Without failures the list is empty.
    embed(&place, &["-o", "out.npy", "--errors", "bad.jsonl"], line(1).as_bytes()).ok();
    assert_eq!(fs::read_to_string(place.path().join("bad.jsonl")).unwrap(), "");
}

#[test]
fn each_defect_of_a_line_has_its_cause_and_its_position() {
    let place = Place::new(&[]);
    let good = "{\"text\": \"a\"}";
    for (bad, position, cause) in [
        (&br#"{"text": "x\ud83d"}"#[..], "line 3, column 12,", r"\ud83d in"),
        (br#"{"text": "\ude00\ud83d"}"#, "line 3, column 11,", "half of a surrogate pair"),
        (br#"{"text": "a",}"#, "line 3, column 14,", "trailing comma"),
        (br#"{"text": "a", "n": NaN}"#, "line 3, column 20,", "expected value"),
        (br#"{"text": "a", "text": "b"}"#, "line 3, column 20,", "duplicate field `text`"),
        (br#"{"text": ["a"]}"#, "line 3, column 10,", "\"text\" is [\"a\"]; expected a string"),
        (br#"{"text": null}"#, "line 3, column 10,", "\"text\" is null"),
        (br#"{"txt": "a"}"#, "line 3 of", "no field \"text\""),
        (br#"["a"]"#, "line 3 of", "expected an object {\"text\": \"...\"}, found [\"a\"]"),
        (br#""a""#, "line 3 of", "found \"a\""),
        (b"not json", "line 3, column 2,", "not valid JSON"),
        (br#"{"text": "a""#, "line 3, column 12,", "EOF"),
        (b"{\"text\": \"a\0\"}", "line 3, column 11,", "control character"),
        (b"{\"text\": \"sch\xf6n\"}", "line 3, column 14,", "byte 14 (0xf6) is not UTF-8"),
    ] {
        let parts = [good.as_bytes(), b"", bad, good.as_bytes()];
        for end in [&b"\n"[..], b"\r\n"] {
            let ran = embed(&place, &[], &parts.join(end));
            assert_eq!(ran.code, Some(20), "{ran:?}");
            for part in [position, "standard input", cause, "1 of 3 rows failed"] {
                assert!(ran.err.contains(part), "{part:?} is missing from {}", ran.err);
            }
            let out = lines(&ran.out);
            assert_eq!((out.len(), &out[0]), (3, &out[2]));
            assert!(out[1]["error"]["message"].as_str().unwrap().contains(cause), "{}", out[1]);
        }
    }
    // Deep nesting beside the text is none of our business, and a NUL is a character.
    let deep = format!("{{\"x\": {}1{}, \"text\": \"a\"}}", "[".repeat(9000), "]".repeat(9000));
    assert_eq!(lines(&embed(&place, &[], deep.as_bytes()).ok()).len(), 1);
    embed(&place, &[], br#"{"text": "a\u0000b \ud83d\ude00"}"#).ok();
    let plain = piped(&place, &["embed"], b"first\nsch\xf6n\nlast");
    assert!(plain.err.contains("line 2, column 4, of standard input: byte 4 (0xf6)"), "{plain:?}");
    assert_eq!((plain.code, lines(&plain.out).len()), (Some(20), 3));
}

#[test]
fn many_failures_are_counted_and_listed_but_not_all_printed() {
    let place = Place::new(&[]);
    let input = format!("{{\"text\": \"a\"}}\n{}", "bad\n".repeat(700));
    let ran = embed(&place, &["--errors", "bad.jsonl"], input.as_bytes());
    assert_eq!((ran.code, lines(&ran.out).len()), (Some(20), 701));
    assert_eq!(ran.err.lines().filter(|line| line.starts_with("warning: line ")).count(), 20);
    assert!(ran.err.contains("680 more texts failed"), "{}", ran.err);
    assert!(ran.err.contains("700 of 701 rows failed"), "{}", ran.err);
    let bad = lines(&fs::read_to_string(place.path().join("bad.jsonl")).unwrap());
    assert_eq!((bad.len(), &bad[699]["row"]), (700, &json!(700)));
}

#[test]
fn ids_come_back_byte_for_byte() {
    let place = Place::new(&[]);
    let ids = [
        "18446744073709551616",
        "18446744073709551617",
        "-9223372036854775809",
        "1.0",
        "1e3",
        "-0",
        "0.10000000000000000555",
        r#""caf\u00e9 \/ \ud83d""#,
        r#"{"b": [1,  2.50], "a": null}"#,
        "null",
    ];
    let rows = ids.map(|id| format!(r#"{{"id": {id}, "text": "a"}}"#));
    let out = embed(&place, &[], rows.join("\n").as_bytes()).ok();
    for (line, id) in out.lines().zip(ids) {
        assert!(line.starts_with(&format!(r#"{{"id":{id},"embedding":["#)), "{line}");
    }
    assert_eq!(out.lines().count(), ids.len());
    let bad = ids.map(|id| format!(r#"{{"id": {id}, "text": 0}}"#));
    let ran = embed(&place, &["--errors", "bad.jsonl"], bad.join("\n").as_bytes());
    let list = fs::read_to_string(place.path().join("bad.jsonl")).unwrap();
    for ((line, listed), id) in ran.out.lines().zip(list.lines()).zip(ids) {
        assert!(line.starts_with(&format!(r#"{{"id":{id},"error":"#)), "{line}");
        assert!(listed.contains(&format!(r#""id":{id},"code""#)), "{listed}");
    }
}

#[test]
fn a_byte_order_mark_changes_nothing() {
    let place = Place::new(&[]);
    let mark = b"\xEF\xBB\xBF";
    let marked = |text: &str| [mark, text.as_bytes()].concat();
    for (args, text) in [
        (&["embed"][..], "fn main() {}\nb\n"),
        (&["embed", "--format", "jsonl"], "{\"text\": \"fn main() {}\"}\n"),
        (&["embed"], ""),
    ] {
        let plain = piped(&place, args, text.as_bytes()).ok();
        assert_eq!(piped(&place, args, &marked(text)).ok(), plain, "{text:?}");
    }
    let joined = "\u{feff}{\"text\": \"a\"}\n\u{feff}{\"text\": \"a\"}\n";
    let joined = lines(&embed(&place, &[], joined.as_bytes()).ok());
    assert_eq!((joined.len(), &joined[0]), (2, &joined[1]));
    for bytes in [&b"\xFF\xFEa\0\n\0"[..], b"\xFE\xFF\0a\0\n", b"\xFF\xFE\0\0a\0\0\0"] {
        piped(&place, &["embed"], bytes).fails(2, &["standard input", "convert it to UTF-8"]);
    }
    fs::write(place.path().join("codeintel.toml"), marked("[search]\nlimit = 3\n")).unwrap();
    assert!(place.run(&["config"]).ok().contains("search.limit = 3"));
    fs::remove_file(place.path().join("codeintel.toml")).unwrap();

    place.write("kept.py", marked("def first():\n    return 1\n"));
    place.write("other.py", "def second():\n    return 2\n");
    place.write("more.py", "def third():\n    return 3\n");
    place.write(".gitignore", marked("other.py\n"));
    place.write(".codeintelignore", marked("more.py\n"));
    assert_eq!(place.run(&["index", "repo", "--json"]).json()["files"], 1);
    assert!(place.found("first", &[])[0].starts_with("def first"));
}

/// Makes the embedding of this token so large that the vector of no text with it is finite.
fn poison(folder: &Path, token: &str) {
    let tokenizer: Value =
        serde_json::from_slice(&fs::read(folder.join("tokenizer.json")).unwrap()).unwrap();
    let id = tokenizer["model"]["vocab"][token].as_u64().unwrap() as usize;
    let path = folder.join("model.safetensors");
    let cpu = candle_core::Device::Cpu;
    let mut tensors = candle_core::safetensors::load(&path, &cpu).unwrap();
    let name = tensors.keys().find(|name| name.ends_with("word_embeddings.weight")).unwrap();
    let name = name.clone();
    let mut rows = tensors[&name].to_vec2::<f32>().unwrap();
    rows[id].fill(3e38);
    tensors.insert(name, candle_core::Tensor::new(rows, &cpu).unwrap());
    candle_core::safetensors::save(&tensors, &path).unwrap();
}

#[test]
fn a_text_that_cannot_be_embedded_fails_alone_among_the_others_of_its_block() {
    let place = Place::new(&[]);
    place.edited_model("bert", "poisoned", |folder| poison(folder, "none"));
    let text = |i: usize| if i % 50 == 17 { "none".to_owned() } else { format!("fn f{i}() {{}}") };
    let row = |i: usize| json!({ "id": i, "text": text(i) }).to_string();
    let rows: Vec<String> = (0..100).map(row).collect();
    let ran = embed(&place, &["--model", "poisoned"], rows.join("\n").as_bytes());
    assert_eq!(ran.code, Some(20), "{}", ran.err);
    for part in ["warning: line 18: ", "warning: line 68: ", "finite", "2 of 100 rows failed"] {
        assert!(ran.err.contains(part), "{part:?} is missing from {}", ran.err);
    }
    let out = lines(&ran.out);
    assert_eq!(out.len(), 100);
    for (i, line) in out.iter().enumerate() {
        let failed = i % 50 == 17;
        assert_eq!((&line["id"], line.get("error").is_some()), (&json!(i), failed), "{line}");
        assert_eq!(line.get("embedding").is_some(), !failed);
    }
}
