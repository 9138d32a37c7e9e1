//! `POST /v1/embeddings`, as clients of OpenAI expect it.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::{Place, Serving, is_hex, reply};

const TEXTS: [&str; 6] =
    ["fn main() {}", "a", "how is a header parsed", "größe", "a", "x = [1, 2]"];

/// An empty place with a server that has no cache and whose engine is ready.
fn serving(flags: &[&str]) -> (Place, Serving) {
    let place = Place::new(&[]);
    let mut with = vec!["--set", "engine.cache_bytes_max=0"];
    with.extend(flags);
    let server = Serving::start(&place, &with);
    server.wait_for_engine();
    (place, server)
}

/// The most digits that a float of this list has.
fn digits_max(value: &Value) -> usize {
    let digits = |v: &Value| v.to_string().bytes().filter(u8::is_ascii_digit).count();
    value.as_array().unwrap().iter().map(digits).max().unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

#[track_caller]
fn assert_near(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let difference = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 1e-5, "{difference}");
}

#[test]
fn vectors_keep_the_order_and_equal_those_of_the_command_line() {
    let (place, server) = serving(&[]);
    let reply = server.post("/v1/embeddings", &json!({ "model": "bert", "input": TEXTS }));
    assert!(is_hex(reply.header("x-trace-id")) && is_hex(reply.header("x-run-id")));
    let body = reply.ok();
    assert_eq!((&body["object"], &body["model"]), (&json!("list"), &json!("bert")));
    let data = body["data"].as_array().unwrap();
    assert_eq!(data.len(), TEXTS.len());

    std::fs::write(place.path().join("texts.txt"), TEXTS.join("\n")).unwrap();
    let printed = place.run(&["embed", "texts.txt", "--set", "engine.cache_bytes_max=0"]).ok();
    let printed: Vec<Value> = printed.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(printed.len(), TEXTS.len());
    for (i, (item, line)) in data.iter().zip(&printed).enumerate() {
        assert_eq!((&item["object"], &item["index"]), (&json!("embedding"), &json!(i)));
        assert_near(&floats(&item["embedding"]), &floats(&line["embedding"]));
    }
    assert_eq!(data[1]["embedding"], data[4]["embedding"]);
    assert!(
        digits_max(&data[0]["embedding"]) <= 14,
        "as short as an f32 allows, not widened to f64"
    );
    assert_ne!(data[0]["embedding"], data[1]["embedding"]);

    // Each text alone, as a string, without the name of a model.
    let mut tokens = 0;
    for (i, text) in TEXTS.iter().enumerate() {
        let one = server.post("/v1/embeddings", &json!({ "input": text })).ok();
        assert_eq!(one["data"].as_array().unwrap().len(), 1);
        assert_near(&floats(&one["data"][0]["embedding"]), &floats(&data[i]["embedding"]));
        let used = one["usage"]["prompt_tokens"].as_u64().unwrap();
        assert!(used >= 3, "{used} tokens, special ones included");
        assert_eq!(one["usage"]["total_tokens"], used);
        tokens += used;
    }
    assert_eq!(body["usage"], json!({ "prompt_tokens": tokens, "total_tokens": tokens }));
}

#[test]
fn base64_holds_the_same_floats() {
    let (_place, server) = serving(&[]);
    let ask = |format: &str| {
        let body =
            json!({ "input": TEXTS, "encoding_format": format, "dimensions": 64, "user": "u" });
        server.post("/v1/embeddings", &body).ok()["data"].clone()
    };
    let plain = ask("float");
    let encoded = ask("base64");
    for (plain, encoded) in plain.as_array().unwrap().iter().zip(encoded.as_array().unwrap()) {
        let text = encoded["embedding"].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        let values: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert_eq!(values, floats(&plain["embedding"]));
    }
}

#[test]
fn fewer_dimensions_are_the_normalised_head_of_the_vector() {
    let (_place, server) = serving(&["--set", "model.allow_any_dimensions=true"]);
    let ask = |dimensions: usize| {
        let body = json!({ "input": TEXTS, "dimensions": dimensions });
        let data = server.post("/v1/embeddings", &body).ok()["data"].clone();
        data.as_array().unwrap().iter().map(|one| floats(&one["embedding"])).collect::<Vec<_>>()
    };
    for (short, whole) in ask(16).iter().zip(ask(64)) {
        let length = whole[..16].iter().map(|v| v * v).sum::<f32>().sqrt();
        let head: Vec<f32> = whole[..16].iter().map(|v| v / length).collect();
        assert_near(short, &head);
    }
}

#[test]
fn a_prompt_is_chosen_by_its_name() {
    let place = Place::new(&[]);
    let prompts = r#"{"prompts": {"query": "find: ", "topic": "the topic of "}}"#;
    place.edited_model("bert", "asking", |folder| {
        std::fs::write(folder.join("config_sentence_transformers.json"), prompts).unwrap();
    });
    let server = Serving::start(&place, &["--model", "asking"]);
    server.wait_for_engine();
    let ask = |text: &str, name: Value| {
        let body = json!({ "input": text, "prompt_name": name });
        floats(&server.post("/v1/embeddings", &body).ok()["data"][0]["embedding"])
    };
    for (name, prompt) in
        [(json!("query"), "find: "), (json!("topic"), "the topic of "), (json!("document"), "")]
    {
        let written = ask(&format!("{prompt}a"), Value::Null);
        assert_near(&ask("a", name), &written);
    }
    let unknown = json!({ "input": "a", "prompt_name": "clustering" });
    let reply = server.post("/v1/embeddings", &unknown);
    assert_eq!(reply.status, 400);
    let error = &reply.json()["error"];
    assert_eq!(error["param"], "prompt_name");
    assert!(error["message"].as_str().unwrap().contains("query, topic, document"), "{error}");
}

#[test]
fn vectors_come_in_the_number_format_that_was_asked_for() {
    let (place, server) = serving(&["--set", "model.calibration=sample.npy"]);
    let ask = |dtype: &str, format: &str| {
        let body = json!({ "input": TEXTS, "output_dtype": dtype, "encoding_format": format });
        server.post("/v1/embeddings", &body)
    };
    let refused = ask("int8", "float");
    assert_eq!(refused.status, 503);
    assert!(refused.text.contains("sample.npy"), "{}", refused.text);
    std::fs::write(place.path().join("texts.txt"), TEXTS.join("\n")).unwrap();
    let cached = ["--set", "engine.cache_bytes_max=0"];
    place.run(&[&["embed", "texts.txt", "-o", "sample.npy"], &cached[..]].concat()).ok();
    for dtype in ["int8", "uint8", "binary", "ubinary"] {
        let flags = ["--output-dtype", dtype, "--calibration", "sample.npy"];
        let printed = place.run(&[&["embed", "texts.txt"], &flags[..], &cached].concat()).ok();
        let printed: Vec<Value> =
            printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (plain, encoded) = (ask(dtype, "float").ok(), ask(dtype, "base64").ok());
        for (i, line) in printed.iter().enumerate() {
            let values = &plain["data"][i]["embedding"];
            // Batches of other sizes round differently.
            let near =
                |(a, b): (&Value, &Value)| (a.as_i64().unwrap() - b.as_i64().unwrap()).abs() <= 1;
            let pairs =
                values.as_array().unwrap().iter().zip(line["embedding"].as_array().unwrap());
            assert!(
                dtype.ends_with("binary") || pairs.clone().all(near),
                "{dtype}: {values} {line}"
            );
            assert_eq!(pairs.count(), if dtype.ends_with("binary") { 8 } else { 64 });
            let text = encoded["data"][i]["embedding"].as_str().unwrap();
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
            let bytes = bytes.iter().map(|byte| match dtype {
                "int8" | "binary" => json!(byte.cast_signed()),
                _ => json!(byte),
            });
            assert_eq!(&Value::Array(bytes.collect()), values);
        }
    }
    let wrong = ask("int4", "float");
    assert_eq!(wrong.json()["error"]["param"], "output_dtype");
    let (_place, without) = serving(&[]);
    let body = json!({ "input": "a", "output_dtype": "int8" });
    let reply = without.post("/v1/embeddings", &body);
    assert_eq!(reply.json()["error"]["param"], "output_dtype");
    assert!(reply.text.contains("model.calibration"), "{}", reply.text);
}

#[test]
fn what_openai_s_clients_send_is_accepted() {
    let (_place, server) = serving(&[]);
    let plain = server.post("/v1/embeddings", &json!({ "input": "a" })).ok()["data"].clone();
    for body in [
        json!({ "input": ["a"], "model": "bert", "encoding_format": "float" }),
        json!({ "input": "a", "model": null, "encoding_format": null, "dimensions": null }),
        json!({ "input": "a", "model": "", "user": null }),
        json!({ "input": "a", "dimensions": 64.0 }),
        json!({
            "input": ["a"], "model": "bert", "user": "u", "input_type": "query", "truncate": "END",
            "extra_body": { "x": [1] }, "metadata": null, "timeout": 600, "priority": 0,
        }),
    ] {
        let data = server.post("/v1/embeddings", &body).ok()["data"].clone();
        assert_near(&floats(&data[0]["embedding"]), &floats(&plain[0]["embedding"]));
    }
    let marked = "\u{feff}{\"input\": \"a\"}";
    let data = server.post_text("/v1/embeddings", marked).ok()["data"].clone();
    assert_near(&floats(&data[0]["embedding"]), &floats(&plain[0]["embedding"]));
    let typed = |content_type: &str| {
        let request = server.agent.post(server.url("/v1/embeddings"));
        reply(request.header("content-type", content_type).send(r#"{"input": "a"}"#)).status
    };
    for content_type in
        ["application/json", "Application/JSON; charset=utf-8", "application/x+json"]
    {
        assert_eq!(typed(content_type), 200, "{content_type}");
    }
    assert_eq!(typed("text/plain"), 400);
}

#[test]
fn a_wrong_value_names_its_field_and_what_is_allowed() {
    let (_place, server) = serving(&[]);
    for (body, param, message) in [
        (
            r#"{"input": "a", "encoding_format": "int8"}"#,
            "encoding_format",
            "encoding_format = \"int8\" is not valid: expected \"float\" or \"base64\"",
        ),
        (
            r#"{"input": "a", "encoding_format": 1}"#,
            "encoding_format",
            "encoding_format = 1 is not valid: expected \"float\" or \"base64\"",
        ),
        (
            r#"{"input": "a", "dimensions": "16"}"#,
            "dimensions",
            "dimensions = \"16\" is not valid: expected a whole number",
        ),
        (r#"{"input": "a", "dimensions": -1}"#, "dimensions", "dimensions = -1 is not valid"),
        (r#"{"input": "a", "dimensions": 65}"#, "dimensions", "expected 64, the dimension of bert"),
        (r#"{"input": "a", "model": 7}"#, "model", "model = 7 is not valid: expected a string"),
        (r#"{"input": "a", "model": "gpt-9"}"#, "model", "model = gpt-9 is not valid"),
        (r#"{"input": null}"#, "input", "expected a string or a list of strings"),
        (r#"{"input": ["a", 7]}"#, "input", "input = 7 at position 1 is not valid"),
        (r#"{"input": ["a", null]}"#, "input", "input = null at position 1 is not valid"),
        (r#"{"input": "\ud83d"}"#, "", "half of a surrogate pair"),
        (r#"{"input": "a",}"#, "", "trailing comma at line 1 column 15"),
        ("[]", "", "expected a JSON object"),
    ] {
        let reply = server.post_text("/v1/embeddings", body);
        assert!([400, 404].contains(&reply.status), "{body}: {}", reply.text);
        let error = &reply.json()["error"];
        assert!(error["message"].as_str().unwrap().contains(message), "{body}: {error}");
        assert_eq!(error["param"].as_str().unwrap_or_default(), param, "{body}: {error}");
    }
}

#[test]
fn a_wrong_request_is_refused_in_the_form_of_openai() {
    let (_place, server) =
        serving(&["--set", "serve.items_max=3", "--set", "serve.body_bytes_max=2048"]);
    let long = format!(r#"{{"input": "{}"}}"#, "x".repeat(4000));
    for (body, status, part) in [
        (r#"{"input": "x", "model": "gpt-9"}"#, 404, "gpt-9"),
        (r#"{"input": []}"#, 400, "0 texts"),
        (r#"{"input": ""}"#, 400, "empty"),
        (r#"{"input": ["a", ""]}"#, 400, "position 1"),
        (r#"{"input": ["a", "b", "c", "d"]}"#, 400, "4 texts"),
        (r#"{"input": [1, 2, 3]}"#, 400, "string"),
        (r#"{"input": [[1, 2], [3]]}"#, 400, "string"),
        (r#"{"input": {"text": "a"}}"#, 400, "string"),
        (r#"{"model": "bert"}"#, 400, "input"),
        (r#"{"input": "x", "dimensions": 65}"#, 400, "dimensions = 65"),
        (r#"{"input": "x", "dimensions": 0}"#, 400, "64, the dimension of bert"),
        (r#"{"input": "x", "dimensions": 16}"#, 400, "model.allow_any_dimensions = true"),
        (r#"{"input": "x", "encoding_format": "int8"}"#, 400, "int8"),
        ("input=x", 400, "body"),
        (&long, 413, "2048"),
    ] {
        let reply = server.post_text("/v1/embeddings", body);
        let shown: String = body.chars().take(60).collect();
        assert_eq!(reply.status, status, "{shown}: {}", reply.text);
        let error = &reply.json()["error"];
        assert_eq!(error["type"], "invalid_request_error", "{shown}");
        assert!(error["message"].as_str().unwrap().contains(part), "{shown}: {}", reply.text);
        assert!(error["code"].is_string());
        assert!(is_hex(reply.header("x-trace-id")), "{shown}");
        assert!(is_hex(reply.header("x-run-id")), "{shown}");
    }
    let still = server.post("/v1/embeddings", &json!({ "input": ["a", "b", "c"] })).ok();
    assert_eq!(still["data"].as_array().unwrap().len(), 3);
}
