//! `codeintel bench`: its figures agree with each other, for every target.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use super::{assert_fields, lines};
use crate::support::{Place, Serving, signal};

/// A place with `texts.jsonl`, a file of different texts.
fn place() -> Place {
    let place = Place::new(&[]);
    let text = |i: usize| json!({ "text": format!("fn f{i}(x: usize) {{ x * {i} }}") }).to_string();
    let texts: Vec<String> = (0..60).map(text).collect();
    std::fs::write(place.path().join("texts.jsonl"), texts.join("\n")).unwrap();
    place
}

/// The cells of a bench with these flags.
fn bench(place: &Place, flags: &[&str]) -> Value {
    let fixed = ["bench", "--texts", "texts.jsonl", "--seconds", "0", "--json", "-"];
    place.run(&[&fixed, flags].concat()).json()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// The sums that hold for every target.
#[track_caller]
fn assert_sums(cell: &Value) {
    let of = |field: &str| number(&cell[field]);
    assert!(of("rounds") >= 3.0, "{cell}");
    assert_eq!(of("sequences"), of("rounds") * of("batch"), "{cell}");
    let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
    assert!(near(of("sequences_per_s"), of("sequences") / of("wall_s")), "{cell}");
    assert!(near(of("tokens_per_s"), of("tokens") / of("wall_s")), "{cell}");
    let percentiles = ["p50_ms", "p95_ms", "p99_ms"].map(of);
    assert!(percentiles.is_sorted() && percentiles[0] > 0.0, "{cell}");
    // No round takes longer than all of them together.
    assert!(percentiles[2] <= 1e3 * of("wall_s"), "{cell}");
    if let Ok(length) = cell["length"].as_str().unwrap().parse::<f64>() {
        assert_eq!(of("tokens"), of("sequences") * length, "{cell}");
    }
}

#[test]
fn table_json_and_page_show_the_same_and_the_sums_agree() {
    let place = place();
    let flags = ["--lengths", "16,mixed", "--batch-sizes", "1,3", "--threads", "1"];
    let files = ["--seconds", "0", "--json", "out.json", "--html", "out.html"];
    let fixed = ["bench", "--texts", "texts.jsonl"];
    let table = place.run(&[&fixed, &flags[..], &files].concat()).ok();
    let written = std::fs::read(place.path().join("out.json")).unwrap();
    let report: Value = serde_json::from_slice(&written).unwrap();
    assert_fields(&report, &["machine", "model", "device", "dtype", "roof", "against", "notes"]);
    assert_fields(&report["machine"], &["cpu", "cores", "instruction_set", "os", "arch"]);
    assert_eq!((&report["threads"], &report["complete"]), (&json!(1), &json!(true)));
    assert!(number(&report["roof"]["gflops"]) > 0.0);
    assert_eq!(report["cosine"]["texts"], 32 + 30, "texts of 16 tokens, every other real one");
    let mean = number(&report["cosine"]["mean"]);
    let least = number(&report["cosine"]["least"]);
    assert!(0.99 < least && least <= mean && mean < 1.000_001, "{report}");

    let cells = report["cells"].as_array().unwrap();
    let place_of = |cell: &Value| (cell["length"].clone(), cell["batch"].clone());
    let places: Vec<_> = cells.iter().map(place_of).collect();
    let want = [("16", 1), ("16", 3), ("mixed", 1), ("mixed", 3)];
    assert_eq!(places, want.map(|(length, batch)| (json!(length), json!(batch))));
    for cell in cells {
        assert_sums(cell);
        assert_eq!(cell["target"], "inproc");
        assert!(number(&cell["cosine"]) > 0.99);
        assert!(number(&cell["cpu_s"]) > 0.0 && number(&cell["roof_share"]) > 0.0, "{cell}");
        let fill = number(&cell["batch_fill"]);
        let tokens = number(&cell["tokens"]) / number(&cell["rounds"]);
        assert!((fill - tokens / 4096.0).abs() < 1e-9, "one batch a round: {cell}");
        let stages = ["tokenise", "queue", "compute"].map(|s| number(&cell["stages_ms"][s]));
        assert!(
            stages[2] > 0.0 && stages.iter().all(|ms| *ms <= number(&cell["p99_ms"])),
            "{cell}"
        );
    }

    let page = std::fs::read_to_string(place.path().join("out.html")).unwrap();
    assert_well_formed(&page);
    for reference in ["src=", "href=", "url(", "@import", "<script", "<link", "http:", "https:"] {
        assert!(!page.contains(reference), "{reference} in the page");
    }
    assert_eq!(page.matches("role=\"img\"").count(), 4, "two plots for each length");
    for cell in cells {
        let row = [&cell["length"], &cell["batch"]];
        let row = row.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
        let [length, batch] = &row;
        assert!(page.contains(&format!("<td>{length}</td><td>{batch}</td>")), "{row:?}");
        let starts = |line: &&str| line.split_whitespace().take(2).eq(&row);
        assert_eq!(table.lines().filter(starts).count(), 1, "{row:?} in {table}");
    }
    // No output names the folder or the machine of the measurement.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for text in [&page, &report.to_string(), &table] {
        assert!(!text.contains(place.path().to_str().unwrap()), "{text}");
        assert!(!text.split(|c: char| !c.is_alphanumeric()).any(|word| word == host.trim()));
    }
}

/// Asserts that every element is closed inside the element in which it was opened.
#[track_caller]
fn assert_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    for part in page.split('<').skip(1) {
        let (tag, behind) = part.split_once('>').unwrap_or_else(|| panic!("no end of {part:?}"));
        assert!(!behind.contains('>') || open.last() == Some(&"style"), "a stray > in {part:?}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.split([' ', '/']).next().unwrap();
        match tag {
            _ if tag.starts_with('!') || tag.ends_with('/') => {}
            _ if name.is_empty() => assert_eq!(open.pop(), Some(&tag[1..]), "{part:?}"),
            _ => open.push(name),
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn f32_is_its_own_reference_and_quick_has_fewer_batches() {
    let report = bench(&place(), &["--dtype", "f32", "--quick", "--lengths", "16"]);
    assert_eq!(report["dtype"], "f32");
    assert!((number(&report["cosine"]["least"]) - 1.0).abs() < 1e-6, "{report}");
    let cells = report["cells"].as_array().unwrap();
    assert_eq!(cells.iter().map(|c| &c["batch"]).collect::<Vec<_>>(), [1, 8, 32]);
}

#[test]
fn texts_are_those_of_the_index_or_built_in() {
    let flags =
        ["bench", "--lengths", "mixed", "--batch-sizes", "2", "--seconds", "0", "--json", "-"];
    let place = Place::new(&[("a.py", "def a():\n    return 1\n"), ("b.rs", "fn b() {}\n")]);
    let own = place.run(&flags).json();
    assert_eq!(own["texts"], "chunks of codeintel's own sources");
    place.index();
    let indexed = place.run(&flags).json();
    assert_eq!(indexed["texts"], "chunks of the index");
    let tokens = |report: &Value| {
        number(&report["cells"][0]["tokens"]) / number(&report["cells"][0]["rounds"])
    };
    assert!(tokens(&indexed) < 60.0 && tokens(&own) > 60.0);
}

#[test]
fn repeated_texts_and_lengths_too_long_are_noted() {
    let place = Place::new(&[]);
    std::fs::write(place.path().join("few.txt"), "fn a() {}\n\nfn b() {}\n").unwrap();
    let flags = ["bench", "--texts", "few.txt", "--lengths", "mixed,9999", "--batch-sizes", "1,5"];
    let report = place.run(&[&flags[..], &["--seconds", "0", "--json", "-"]].concat()).json();
    let notes = report["notes"].to_string();
    assert!(notes.contains("only 2 different texts"), "{notes}");
    assert!(notes.contains("9999 tokens are left out: the model reads 3 to 514"), "{notes}");
    let cells = report["cells"].as_array().unwrap();
    assert!(cells.len() == 2 && cells.iter().all(|cell| cell["length"] == "mixed"));
    // Of the five texts of a request two are distinct, and only those are computed.
    let fill = 4096.0 * number(&cells[1]["batch_fill"]);
    let tokens = number(&cells[1]["tokens"]) / number(&cells[1]["rounds"]);
    assert!(fill < 0.5 * tokens, "{fill} of {tokens}");
}

#[test]
fn wrong_flags_are_refused_with_the_value_and_what_is_valid() {
    let place = place();
    std::fs::write(place.path().join("empty.txt"), "\n \n").unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{nobody}");
    for (flags, code, parts) in [
        (&["--lengths", "long"][..], 2, ["--lengths = long", "mixed, or a number"]),
        (&["--lengths", "0"], 2, ["--lengths = 0", "from 1 to 32768"]),
        (&["--lengths", "2,600"], 2, ["--lengths = 2,600", "the model reads 3 to 514"]),
        (&["--batch-sizes", "4,0"], 2, ["--batch-sizes = 0", "1 to 4096"]),
        (&["--batch-sizes", "many"], 2, ["many", "--batch-sizes"]),
        (&["--seconds", "nan"], 2, ["--seconds = NaN", "0 to 600"]),
        (&["--threads", "5000"], 3, ["engine.threads", "0 to 1024"]),
        (&["--dtype", "f64"], 3, ["engine.dtype", "f64"]),
        (&["--texts", "absent.txt"], 4, ["absent.txt", "does not exist"]),
        (&["--texts", "empty.txt"], 2, ["--texts = empty.txt", "a file with texts"]),
        (&["--html", "absent/page.html"], 12, ["create", "absent/page.html"]),
        (&["--against", &nobody], 16, [&nobody, "not available"]),
        (&["--against", "nonsense"], 3, ["nonsense", "http://127.0.0.1:8000"]),
        (&["--against-model", "m"], 2, ["--against", "required"]),
    ] {
        let quick = ["bench", "--quick", "--lengths", "16"];
        let all = if flags[0] == "--lengths" { &quick[..2] } else { &quick };
        place.run(&[all, flags].concat()).fails(code, &parts);
    }
}

#[test]
fn an_endpoint_is_measured_and_compared() {
    let place = place();
    let served = Place::new(&[]);
    let flags = ["--set", "engine.cache_bytes_max=0", "--set", "serve.items_max=40"];
    let server = Serving::start(&served, &flags);
    server.wait_for_engine();
    let url = server.url("");
    let against = ["--against", &url, "--against-model", "bert"];
    let sizes = ["--lengths", "16,mixed", "--batch-sizes", "1,3,41"];
    let report = bench(&place, &[&against[..], &sizes].concat());
    assert_eq!((&report["against"]["url"], &report["against"]["dim"]), (&json!(url), &json!(64)));
    assert!(number(&report["against"]["cosine"]["least"]) > 0.99, "{report}");
    let cells = report["cells"].as_array().unwrap();
    let of = |target: &str| cells.iter().filter(|c| c["target"] == target).collect::<Vec<_>>();
    let local = of("inproc");
    let remote = of(&url);
    assert_eq!((local.len(), remote.len()), (6, 4), "41 texts are more than the endpoint accepts");
    let refusals = report["notes"].as_array().unwrap();
    assert!(
        refusals.len() == 2 && report["notes"].to_string().contains("41 texts"),
        "{refusals:?}"
    );
    for cell in &remote {
        assert_sums(cell);
        for field in ["cpu_s", "tokens_per_cpu_s", "roof_share", "batch_fill"] {
            assert!(cell[field].is_null(), "{cell}");
        }
        assert!(cell["stages_ms"]["compute"].is_null() && number(&cell["cosine"]) > 0.99);
        let twin =
            |ours: &&&Value| (&ours["length"], &ours["batch"]) == (&cell["length"], &cell["batch"]);
        assert_eq!(local.iter().find(twin).unwrap()["tokens"], cell["tokens"], "the same texts");
    }

    // Vectors of another dimension have no cosine.
    let minilm = ["--model", "all-MiniLM-L6-v2", "--dtype", "f32"];
    let short = [&minilm[..], &["--lengths", "16", "--batch-sizes", "2"]].concat();
    let fixed = ["bench", "--texts", "texts.jsonl", "--seconds", "0", "--html", "out.html"];
    let table = place.run(&[&fixed, &against[..], &short].concat()).ok();
    let of = |who: &str| table.lines().filter(|line| line.starts_with(who)).collect::<Vec<_>>();
    assert!(of("against ")[0].contains("other model"), "{table}");
    assert!(
        of("local ").len() == 1 && table.contains("another model: its vectors have 64"),
        "{table}"
    );
    let page = std::fs::read_to_string(place.path().join("out.html")).unwrap();
    assert_well_formed(&page);
    assert_eq!(page.matches("class=\"line remote\"").count(), 3, "a key and two plots");
}

#[test]
fn candle_is_measured_in_turn_in_the_same_process() {
    let flags = ["--lengths", "16", "--batch-sizes", "2", "--seconds", "0", "--json", "-"];
    let report = place().run(&[&["bench", "--against", "candle"], &flags[..]].concat()).ok();
    let report: Value = serde_json::from_str(&report).unwrap();
    let cells = report["cells"].as_array().unwrap();
    let candle = cells.iter().find(|cell| cell["target"] == "candle cpu").unwrap();
    assert!(cells.len() == 2 && number(&candle["cosine"]) > 0.9999, "{report}");
    assert!(candle["cpu_s"].is_number() && candle["tokens"] == cells[0]["tokens"], "{report}");
}

#[test]
fn an_interrupt_prints_what_was_measured_so_far() {
    let place = place();
    let flags = ["--lengths", "16", "--batch-sizes", "1,4096", "--seconds", "0", "--json", "-"];
    let mut command =
        place.command(&[&["bench", "-v", "--texts", "texts.jsonl"], &flags[..]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let measured = |line: &String| line.contains("measured");
    assert!(log.by_ref().map(Result::unwrap).any(|line| measured(&line)), "the first cell");
    signal(child.id(), "INT");
    let rest: Vec<String> = log.map(Result::unwrap).collect();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(15), "{rest:?}");
    let bench = &lines(&String::from_utf8(ended.stdout).unwrap())[0];
    assert_eq!(bench["complete"], false);
    assert_eq!(bench["cells"].as_array().unwrap().len(), 1);
}

#[test]
fn the_search_of_vectors_for_each_text_has_its_own_figure() {
    let place = place();
    let flags = ["--lengths", "mixed", "--batch-sizes", "1,4", "--threads", "1"];
    let report = bench(&place, &[&flags[..], &["--vectors", "500"]].concat());
    assert_eq!(report["vectors"], 500);
    for cell in report["cells"].as_array().unwrap() {
        let search = number(&cell["stages_ms"]["search"]);
        assert!(search > 0.0 && search < number(&cell["p99_ms"]), "{cell}");
    }
    let report = bench(&place, &flags);
    assert_eq!(
        (&report["vectors"], &report["cells"][0]["stages_ms"]["search"]),
        (&json!(null), &json!(null))
    );
    let table = |flags: &[&str]| place.run(&[&["bench", "--texts", "texts.jsonl"], flags].concat());
    let quick = ["--lengths", "16", "--batch-sizes", "1", "--seconds", "0"];
    assert!(!table(&quick).ok().contains("search"));
    assert!(table(&[&quick[..], &["--vectors", "9"]].concat()).ok().contains("9 random vectors"));
    for (flags, message) in [
        (&["--vectors", "0"][..], "--vectors = 0 is not valid: expected 1 to"),
        (&["--vectors", "9", "--against", "http://127.0.0.1:1"], "cannot be used with"),
    ] {
        table(flags).fails(2, &[message]);
    }
}
