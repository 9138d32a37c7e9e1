//! `codeintel embed`: texts in, vectors out, in the same order?

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::readside::{Place, Ran};

/// Runs `codeintel embed` with `input` on standard input.
fn embed(place: &Place, args: &[&str], input: &[u8]) -> Ran {
    let mut command = place.command(&[&["embed"], args].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    Ran::from(child.wait_with_output().unwrap())
}

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn vectors(out: &str) -> Vec<Vec<f32>> {
    let floats = |line: &Value| {
        let values = line["embedding"].as_array().unwrap().iter();
        values.map(|v| v.as_f64().unwrap() as f32).collect()
    };
    lines(out).iter().map(floats).collect()
}

#[test]
fn lines_come_out_in_their_order() {
    let place = Place::new(&[]);
    // More than are embedded together, with repetitions and an empty line.
    let text = |i: usize| format!("text {}", i % 300);
    let mut input: Vec<String> = (0..700).map(text).collect();
    input[7] = String::new();
    let out = vectors(&embed(&place, &[], input.join("\n").as_bytes()).ok());
    assert_eq!(out.len(), 700);
    assert!(out.iter().all(|vector| vector.len() == 64));
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(near(&out[8], &out[308]) && near(&out[1], &out[601]));
    assert!(!near(&out[8], &out[9]));
    for (i, text) in [(0, "text 0"), (7, ""), (699, "text 99")] {
        let alone = embed(&place, &["-"], format!("{text}\n").as_bytes()).ok();
        assert!(near(&vectors(&alone)[0], &out[i]), "line {i}");
    }
    assert_eq!(embed(&place, &[], b"").ok(), "");
    let windows = vectors(&embed(&place, &[], b"text 0\r\ntext 1\r\n").ok());
    assert!(windows.len() == 2 && near(&windows[0], &out[0]) && near(&windows[1], &out[1]));
}

#[test]
fn jsonl_keeps_ids_of_any_type_beside_their_vectors() {
    let place = Place::new(&[]);
    let ids =
        [json!(7), json!("seven"), json!(null), json!([1, {"a": 2}]), json!(1.5), json!(true)];
    let mut input = String::new();
    for (i, id) in ids.iter().enumerate() {
        input += &json!({ "text": format!("text {i}"), "id": id, "other": 1 }).to_string();
        input += "\n\n";
    }
    input += "{\"text\": \"no id\"}";
    let file = place.path().join("texts.jsonl");
    std::fs::write(&file, &input).unwrap();
    let by_name = embed(&place, &["texts.jsonl"], b"").ok();
    let by_flag = embed(&place, &["--format", "jsonl"], input.as_bytes()).ok();
    assert_eq!(by_name, by_flag);
    let out = lines(&by_name);
    assert_eq!(out.len(), ids.len() + 1);
    for (line, id) in out.iter().zip(&ids) {
        assert_eq!(line.get("id"), Some(id), "{line}");
    }
    assert_eq!(out.last().unwrap().get("id"), None);
    let plain = embed(&place, &[], b"text 0\ntext 1\n").ok();
    assert_eq!(vectors(&plain)[..], vectors(&by_name)[..2]);
}

#[test]
fn a_numpy_file_holds_the_values_of_the_jsonl() {
    let place = Place::new(&[]);
    let texts: Vec<String> = (0..40).map(|i| format!("fn f{i}() {{}}")).collect();
    let input = texts.join("\n");
    let expected = vectors(&embed(&place, &[], input.as_bytes()).ok());
    assert_eq!(embed(&place, &["--output", "out.npy"], input.as_bytes()).ok(), "");
    let bytes = std::fs::read(place.path().join("out.npy")).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let header_bytes = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!((10 + header_bytes) % 64, 0, "the data is aligned");
    let header = std::str::from_utf8(&bytes[10..10 + header_bytes]).unwrap();
    for part in ["'descr': '<f4'", "'fortran_order': False", "'shape': (40, 64)"] {
        assert!(header.contains(part), "{header}");
    }
    assert!(header.ends_with('\n'));
    let data = bytes[10 + header_bytes..].as_chunks::<4>().0;
    let values: Vec<f32> = data.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    assert_eq!(values, expected.concat());
    embed(&place, &["-o", "out.jsonl"], input.as_bytes()).ok();
    let written = std::fs::read_to_string(place.path().join("out.jsonl")).unwrap();
    assert_eq!(vectors(&written), expected);
}

#[test]
fn a_line_that_cannot_be_read_is_named() {
    let place = Place::new(&[]);
    let good = "{\"text\": \"a\"}\n";
    for bad in ["{\"text\": 7}", "{\"txt\": \"a\"}", "not json", "[\"a\"]", "{\"text\": \"a\""] {
        let input = format!("{good}\n{good}{bad}\n{good}");
        let ran = embed(&place, &["--format", "jsonl"], input.as_bytes());
        assert_eq!(ran.code, Some(2), "{bad}: {}", ran.err);
        assert!(ran.err.contains("line 4 of standard input"), "{bad}: {}", ran.err);
        assert!(ran.err.contains(bad), "{bad}: {}", ran.err);
    }
    std::fs::write(place.path().join("latin1.txt"), b"first\nsch\xf6n\n").unwrap();
    let ran = embed(&place, &["latin1.txt"], b"");
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("line 2 of latin1.txt") && ran.err.contains("UTF-8"), "{}", ran.err);
}

#[test]
fn another_pooling_gives_other_vectors() {
    let place = Place::new(&[]);
    let with = |pooling: &[&str]| vectors(&embed(&place, pooling, b"fn parse(text)\n").ok());
    let (mean, cls) = (with(&["--pooling", "mean"]), with(&["--pooling", "cls"]));
    let last = with(&["--pooling", "last"]);
    assert!(mean != cls && mean != last && cls != last);
    assert_eq!(with(&["--pooling", "mean"]), mean, "the cache keeps them apart");
    assert!(embed(&place, &["--pooling", "max"], b"").err.contains("mean, cls, last"));
}

#[test]
fn a_text_longer_than_the_model_reads_is_cut_with_a_warning() {
    let place = Place::new(&[]);
    let ran = embed(&place, &[], format!("{}\nshort\n", "word ".repeat(3000)).as_bytes());
    assert!(ran.err.contains("longer: 1 texts"), "{}", ran.err);
    assert_eq!(vectors(&ran.ok()).len(), 2);
}
