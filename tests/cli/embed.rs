//! `codeintel embed`: the order, formats and options of its vectors.

use serde_json::{Value, json};

use super::{expected, lines, piped};
use crate::support::{Place, Ran, golden, golden_json};

/// Runs `codeintel embed` with `input` on standard input.
fn embed(place: &Place, args: &[&str], input: &[u8]) -> Ran {
    piped(place, &[&["embed"], args].concat(), input)
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
    // More lines than one batch holds, with repetitions and an empty line.
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
fn another_pooling_gives_other_vectors() {
    let place = Place::new(&[]);
    let with = |pooling: &[&str]| vectors(&embed(&place, pooling, b"fn parse(text)\n").ok());
    let ways = ["mean", "cls", "last", "max", "weightedmean"];
    let all = ways.map(|way| with(&["--pooling", way]));
    for (i, one) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|other| other != one), "{}", ways[i]);
        assert_eq!(&with(&["--pooling", ways[i]]), one, "the cache keeps the poolings apart");
    }
    assert_eq!(with(&[]), all[0]);
    let ran = embed(&place, &["--pooling", "median"], b"");
    ran.fails(2, &["mean, cls, last, max, weightedmean, splade"]);
}

#[test]
fn a_text_longer_than_the_model_reads_is_truncated_with_a_warning() {
    let place = Place::new(&[]);
    let ran = embed(&place, &[], format!("{}\nshort\n", "word ".repeat(3000)).as_bytes());
    assert!(ran.err.contains("1 text exceeded 514 tokens and was truncated"), "{}", ran.err);
    assert_eq!(vectors(&ran.ok()).len(), 2);
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|v| v * v).sum::<f32>().sqrt()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>() / (length(a) * length(b))
}

const INPUT: &[u8] = b"fn main() {}\nhow are retries limited\n";

#[test]
fn vectors_can_stay_unnormalised_and_be_cut_to_fewer_dimensions() {
    let place = Place::new(&[]);
    let with = |args: &[&str]| vectors(&embed(&place, args, INPUT).ok());
    let unit = with(&[]);
    let raw = with(&["--no-normalize"]);
    let any = ["--set", "model.allow_any_dimensions=true", "--dimensions", "16"];
    let short = with(&any);
    let short_raw = with(&[&any[..], &["--no-normalize"]].concat());
    for i in 0..2 {
        assert!((length(&unit[i]) - 1.0).abs() < 1e-5 && (length(&raw[i]) - 1.0).abs() > 0.1);
        assert!(cosine(&unit[i], &raw[i]) > 0.99999);
        assert!((length(&short[i]) - 1.0).abs() < 1e-5);
        assert!(cosine(&short[i], &unit[i][..16]) > 0.99999);
        assert_eq!(short_raw[i], raw[i][..16]);
    }
    for n in ["65", "0", "16"] {
        let ran = embed(&place, &["--dimensions", n, "-o", "out.npy"], INPUT);
        let remedy = "model.allow_any_dimensions = true";
        ran.fails(2, &[&format!("dimensions = {n}"), "64, the dimension of bert", remedy]);
        assert!(!place.path().join("out.npy").exists(), "no file is created");
    }
}

#[test]
fn the_dtype_of_a_run_can_be_chosen() {
    let place = Place::new(&[]);
    let with = |dtype: &str| vectors(&embed(&place, &["--dtype", dtype], INPUT).ok());
    let exact = with("f32");
    for (dtype, least) in [("auto", 0.9999), ("bf16", 0.9999), ("int16", 0.9999), ("int8", 0.98)] {
        let cosines = exact.iter().zip(with(dtype)).map(|(a, b)| cosine(a, &b));
        cosines.for_each(|cosine| assert!(cosine > least, "{dtype}: {cosine}"));
    }
    assert_ne!(with("int8"), exact);
    embed(&place, &["--dtype", "f64"], INPUT).fails(3, &["engine.dtype", "f64"]);
}

#[test]
fn a_prompt_of_the_model_is_put_before_each_text() {
    let place = Place::new(&[]);
    let prompts = r#"{"prompts": {"query": "find: ", "passage": "code: "}}"#;
    place.edited_model("bert", "asking", |folder| {
        std::fs::write(folder.join("config_sentence_transformers.json"), prompts).unwrap();
    });
    let with = |args: &[&str], text: &str| {
        let ran = embed(&place, &[&["--model", "asking"], args].concat(), text.as_bytes());
        assert_eq!(ran.err, "");
        vectors(&ran.ok())
    };
    let near = |a: Vec<Vec<f32>>, b: Vec<Vec<f32>>| {
        a.concat().iter().zip(b.concat()).all(|(a, b)| (a - b).abs() < 1e-5)
    };
    let bare = with(&[], "a");
    assert!(near(with(&["--prompt", "query"], "a"), with(&[], "find: a")));
    assert!(near(with(&["--prompt", "document"], "a"), with(&[], "code: a")));
    assert!(!near(with(&["--prompt", "query"], "a"), bare.clone()));
    assert_eq!(with(&[], "a"), bare);
    assert!(near(with(&["--prompt-name", "passage"], "a"), with(&[], "code: a")));
    let unknown = embed(&place, &["--model", "asking", "--prompt", "clustering"], b"a");
    unknown.fails(2, &["clustering", "passage, query, document"]);
    // A model without prompts says so, and embeds the bare text.
    let ran = embed(&place, &["--prompt", "query"], b"a");
    assert!(ran.err.contains("no such prompt"), "{}", ran.err);
    assert_eq!(vectors(&ran.ok()), bare);
}

/// The dtype, shape and data of the NumPy file that `embed` writes.
fn numpy(place: &Place, dtype: &str) -> (String, String, Vec<u8>) {
    embed(place, &["--output-dtype", dtype, "-o", "out.npy"], INPUT).ok();
    let bytes = std::fs::read(place.path().join("out.npy")).unwrap();
    let header = std::str::from_utf8(&bytes[10..128]).unwrap();
    let part = |from: &str, to: char| {
        let rest = header.split(from).nth(1).unwrap();
        rest.split(to).next().unwrap().to_owned()
    };
    (part("'descr': '", '\''), part("'shape': (", ')'), bytes[128..].to_vec())
}

#[test]
fn vectors_are_written_in_the_dtype_that_was_asked_for() {
    let place = Place::new(&[]);
    let out = |dtype: &str| embed(&place, &["--output-dtype", dtype], INPUT).ok();
    let plain = vectors(&embed(&place, &[], INPUT).ok());
    assert_eq!(vectors(&out("f32")), plain);

    let halves = vectors(&out("f16"));
    let (descr, shape, data) = numpy(&place, "f16");
    assert_eq!((&descr[..], &shape[..]), ("<f2", "2, 64"));
    let read = data.as_chunks::<2>().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes));
    assert_eq!(read.map(half::f16::to_f32).collect::<Vec<_>>(), halves.concat());
    let differences = halves.concat().into_iter().zip(plain.concat()).map(|(a, b)| (a - b).abs());
    assert!(differences.fold(0.0, f32::max) < 1e-3);

    let lines = lines(&out("int8"));
    let (descr, shape, data) = numpy(&place, "int8");
    assert_eq!((&descr[..], &shape[..]), ("|i1", "2, 64"));
    let mut all = Vec::new();
    for (line, vector) in lines.iter().zip(&plain) {
        let scale = line["scale"].as_f64().unwrap() as f32;
        let values = line["embedding"].as_array().unwrap().iter();
        let values: Vec<i64> = values.map(|v| v.as_i64().unwrap()).collect();
        assert_eq!(values.iter().map(|v| v.abs()).max(), Some(127));
        for (value, exact) in values.iter().zip(vector) {
            assert!((*value as f32 * scale - exact).abs() <= scale * 0.501, "{value} {exact}");
        }
        all.extend(values.iter().map(|v| *v as i8 as u8));
    }
    assert_eq!(data, all);

    let binary = super::lines(&out("ubinary"));
    let (descr, shape, data) = numpy(&place, "ubinary");
    let (signed_descr, _, signed) = numpy(&place, "binary");
    assert_eq!(signed_descr, "|i1");
    assert_eq!(signed, data.iter().map(|byte| byte.wrapping_sub(128)).collect::<Vec<_>>());
    assert_eq!((&descr[..], &shape[..]), ("|u1", "2, 8"));
    for (i, vector) in plain.iter().enumerate() {
        let bytes = binary[i]["embedding"].as_array().unwrap().iter();
        let bytes: Vec<u64> = bytes.map(|v| v.as_u64().unwrap()).collect();
        assert_eq!(data[i * 8..(i + 1) * 8], bytes.iter().map(|b| *b as u8).collect::<Vec<_>>());
        let bit = |j: usize| bytes[j / 8] >> (7 - j % 8) & 1 == 1;
        assert!((0..64).all(|j| bit(j) == (vector[j] > 0.0)));
        assert_eq!(binary[i].get("scale"), None);
    }
}

#[test]
fn a_calibration_gives_each_value_a_range_of_its_own() {
    let place = Place::new(&[]);
    let plain = vectors(&embed(&place, &[], INPUT).ok());
    embed(&place, &["-o", "sample.npy"], INPUT).ok();
    let flags = ["--calibration", "sample.npy"];
    for (dtype, low) in [("int8", -128), ("uint8", 0)] {
        let out = embed(&place, &[&flags[..], &["--output-dtype", dtype]].concat(), INPUT).ok();
        let out = lines(&out);
        let value = |row: usize, i: usize| out[row]["embedding"][i].as_i64().unwrap() - low;
        assert_eq!(out[0].get("scale"), None);
        for (i, (first, second)) in plain[0].iter().zip(&plain[1]).enumerate() {
            let (least, greatest) = if first < second { (0, 1) } else { (1, 0) };
            assert_eq!(value(least, i), 0);
            assert!(value(greatest, i) >= 254, "the quotient may round down");
        }
    }
    embed(&place, &["--output-dtype", "uint8"], INPUT).fails(2, &["model.calibration"]);
    let missing = ["--output-dtype", "int8", "--calibration", "none.npy"];
    embed(&place, &missing, INPUT).fails(4, &["none.npy"]);
    let short = ["--set", "model.allow_any_dimensions=true", "--dimensions", "16"];
    let short = [&flags[..], &["--output-dtype", "int8"], &short].concat();
    embed(&place, &short, INPUT).fails(2, &["sample.npy", "16 values", "64 values"]);
    let over = [&flags[..], &["--output-dtype", "int8", "-o", "sample.npy"]].concat();
    embed(&place, &over, INPUT).fails(2, &["--output"]);
}

#[test]
fn an_adapter_is_refused_with_the_remedy() {
    let place = Place::new(&[]);
    let adapter = r#"{"peft_type": "LORA", "base_model_name_or_path": "org/base"}"#;
    place.edited_model("bert", "lora", |folder| {
        std::fs::write(folder.join("adapter_config.json"), adapter).unwrap();
    });
    let refused = |folder: &str| {
        let ran = embed(&place, &["--model", folder], b"a");
        ran.fails(7, &["adapter_config.json", "LORA adapter of org/base", "merge_and_unload"]);
    };
    refused("lora");
    let alone = place.path().join("alone");
    std::fs::create_dir(&alone).unwrap();
    std::fs::write(alone.join("adapter_config.json"), adapter).unwrap();
    refused("alone");
}

#[test]
fn sparse_vectors_equal_the_reference_and_refuse_flags_of_dense_ones() {
    let texts: Vec<String> = golden_json("texts.json");
    let line = |(i, text)| format!("{}\n", json!({ "id": i, "text": text }));
    let input: String = texts.iter().enumerate().map(line).collect();
    for name in ["bert_splade", "distilbert_splade"] {
        let place = Place::with_model(&[], &golden(name));
        let (vocab, want) = expected(name, "splade");
        for tokens in ["engine.max_batch_tokens=16", "engine.max_batch_tokens=4096"] {
            let args = ["--pooling", "splade", "--dtype", "f32", "--format", "jsonl"];
            let args = [&args[..], &["--set", tokens]].concat();
            let out = lines(&embed(&place, &args, input.as_bytes()).ok());
            assert_eq!(out.len(), texts.len());
            for (i, line) in out.iter().enumerate() {
                assert_eq!(line["id"], json!(i));
                let ids = line["indices"].as_array();
                let values = line["values"].as_array();
                let mut full = vec![0.0; vocab];
                for (id, value) in ids.unwrap().iter().zip(values.unwrap()) {
                    full[id.as_u64().unwrap() as usize] = value.as_f64().unwrap() as f32;
                }
                let row = &want[i * vocab..(i + 1) * vocab];
                let difference =
                    full.iter().zip(row).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(difference < 1e-4, "{name}, text {i}: {difference}");
            }
        }
        for (args, flag) in [
            (&["-o", "out.npy"][..], "NumPy"),
            (&["--dimensions", "8"], "--dimensions"),
            (&["--no-normalize"], "--no-normalize"),
            (&["--output-dtype", "int8"], "--output-dtype"),
            (&["--calibration", "x.npy"], "--calibration"),
        ] {
            let ran = embed(&place, &[&["--pooling", "splade"], args].concat(), b"a");
            ran.fails(2, &[flag, "sparse"]);
        }
    }
    let ran = embed(&Place::new(&[]), &["--pooling", "splade"], b"a");
    assert!(ran.code != Some(0) && ran.err.contains("ForMaskedLM"), "{}", ran.err);
}
