//! `codeintel model add`, `list` and `verify`.

use std::fs;
use std::path::Path;

use crate::support::{Place, Ran};

struct Scene(Place);

impl Scene {
    fn new() -> Self {
        Self(Place::new(&[("a.rs", "fn first() {}\n")]))
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.0.command(args);
        let inside = |name: &str| self.0.path().join(name);
        command.env("CODEINTEL_MODEL_DIR", inside("models")).env("HF_HUB_CACHE", inside("hub"));
        Ran::from(command.output().unwrap())
    }

    fn model(&self, golden: &str, name: &str, edit: impl FnOnce(&Path)) -> String {
        self.0.edited_model(golden, name, edit)
    }
}

/// Replaces text in the file `name` of a model.
fn replace(name: &'static str, from: &'static str, to: &'static str) -> impl FnOnce(&Path) {
    move |folder| {
        let path = folder.join(name);
        let bytes = fs::read(&path).unwrap();
        let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        let changed = [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat();
        fs::write(path, changed).unwrap();
    }
}

#[test]
fn an_added_folder_has_a_name_and_is_verified() {
    let scene = Scene::new();
    let folder = scene.model("bert", "mine", |_| {});
    scene.run(&["model", "add", &folder, "--name", "ours/code"]).ok();
    let text = ["embed", "repo/a.rs", "--dtype", "f32"];
    let by_name = scene.run(&[&text[..], &["--model", "ours/code"]].concat()).ok();
    assert_eq!(by_name, scene.run(&text).ok());
    let out = scene.run(&["model", "verify", "ours/code"]).ok();
    for part in ["1_Pooling/config.json", "model.safetensors", "recorded vectors (cpu, f32)"] {
        assert!(out.contains(part), "{out}");
    }
    let int8 = ["--set", "engine.dtype=int8", "--set", "engine.device=cpu"];
    let out = scene.run(&[&["model", "verify", "ours/code"], &int8[..]].concat()).ok();
    assert!(out.contains("int8"), "{out}");

    // The same folder may be added again, another one may not have its name.
    scene.run(&["model", "add", &folder, "--name", "ours/code"]).ok();
    let other = scene.model("bert", "other", |_| {});
    let taken = |name: &str| scene.run(&["model", "add", &other, "--name", name]);
    taken("ours/code").fails(2, &["ours/code", "ours--code.toml"]);
    taken("all-MiniLM-L6-v2").fails(2, &["all-MiniLM-L6-v2", "codeintel model list"]);
    taken("../up").fails(2, &["letters"]);
    scene.run(&["model", "pull", "ours/code"]).fails(2, &[&folder, "ours--code.toml"]);

    fs::write(Path::new(&folder).join("1_Pooling/config.json"), "{}").unwrap();
    let ran = scene.run(&["model", "verify", "ours/code"]);
    assert!(ran.out.contains("WRONG   1_Pooling/config.json"), "{ran:?}");
    assert!(ran.code == Some(7) && ran.err.contains("1_Pooling/config.json"), "{ran:?}");
    fs::remove_dir_all(&folder).unwrap();
    scene.run(&["search", "x", "--model", "ours/code"]).code.filter(|code| *code != 0).unwrap();
    let listed = scene.run(&["model", "list"]).ok();
    assert!(listed.contains("its folder is gone"), "{listed}");
}

#[test]
fn vectors_that_are_not_the_recorded_ones_are_named_though_every_file_is() {
    let scene = Scene::new();
    let folder = scene.model("bert", "mine", |_| {});
    scene.run(&["model", "add", &folder]).ok();
    let record = scene.0.path().join("models/records/mine.toml");
    let text = fs::read_to_string(&record).unwrap();
    let (head, rest) = text.split_once("reference = [").unwrap();
    let (first, rest) = rest.split_once(',').unwrap();
    let first = first.trim_start_matches([' ', '\n', '[']);
    let changed = first.parse::<f32>().unwrap() + 0.01;
    fs::write(&record, format!("{head}reference = [[{changed},{rest}")).unwrap();
    let ran = scene.run(&["model", "verify", "mine"]);
    assert!(ran.out.contains("WRONG   recorded vectors (cpu, f32)"), "{ran:?}");
    assert!(ran.code == Some(7) && ran.err.contains("computes other vectors"), "{ran:?}");
}

#[test]
fn every_model_is_listed_with_what_it_is() {
    let scene = Scene::new();
    let task = |golden: &str| {
        let folder = scene.model(golden, golden, |_| {});
        scene.run(&["model", "add", &folder]).ok();
        scene.run(&["model", "verify", golden]).ok();
    };
    ["bert_splade", "bert_rerank", "qwen3"].into_iter().for_each(task);
    let listed = scene.run(&["model", "list", "--json"]).json();
    let of = |name: &str| {
        let model = listed.as_array().unwrap().iter().find(|model| model["name"] == name).unwrap();
        let text = |key: &str| model[key].as_str().unwrap_or("none").to_owned();
        let facts = ["source", "family", "task"].map(text).join(" ");
        (facts, model["dimension"].as_u64().unwrap())
    };
    assert_eq!(of("bert_splade"), ("added bert expand".to_owned(), 600));
    assert_eq!(of("bert_rerank"), ("added bert score".to_owned(), 1));
    assert_eq!(of("qwen3").0, "added qwen3 embed");
    assert_eq!(of("all-mpnet-base-v2"), ("manifest mpnet embed".to_owned(), 768));
    let text = scene.run(&["model", "list"]).ok();
    assert!(text.contains("not installed: codeintel model pull all-mpnet-base-v2"), "{text}");
}

#[test]
fn a_folder_that_is_no_usable_model_is_refused_and_not_recorded() {
    let scene = Scene::new();
    let add = |folder: &str| scene.run(&["model", "add", folder]);
    add("absent").fails(4, &["absent"]);
    add("repo").fails(2, &["repo", "config.json or modules.json"]);
    scene
        .run(&["embed", "repo/a.rs", "--model", "./repo"])
        .fails(2, &["config.json or modules.json"]);

    let half = scene.model("bert", "half", |folder| {
        let weights = folder.join("model.safetensors");
        let bytes = fs::metadata(&weights).unwrap().len();
        fs::File::options().write(true).open(weights).unwrap().set_len(bytes / 2).unwrap();
    });
    add(&half).fails(7, &["model.safetensors", "does not fit"]);
    let parts = scene.model("bert", "parts", |folder| {
        let first = "model-00001-of-00002.safetensors";
        fs::rename(folder.join("model.safetensors"), folder.join(first)).unwrap();
        let second = "model-00002-of-00002.safetensors";
        let index = format!(r#"{{"weight_map": {{"a": "{first}", "b": "{second}"}}}}"#);
        fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
    });
    add(&parts).fails(6, &["model-00002-of-00002.safetensors"]);
    let missing =
        |name: &'static str| move |folder: &Path| fs::remove_file(folder.join(name)).unwrap();
    let folder = scene.model("bert", "weightless", missing("model.safetensors"));
    add(&folder).fails(6, &["model.safetensors"]);
    let folder = scene.model("bert", "slow", missing("tokenizer.json"));
    add(&folder).fails(7, &["tokenizer.json", "AutoTokenizer"]);
    let folder = scene.model("bert", "foreign", |folder| {
        fs::copy(crate::support::golden("qwen3/tokenizer.json"), folder.join("tokenizer.json"))
            .unwrap();
    });
    add(&folder).fails(7, &["tokenizer.json", "700 tokens", "600"]);
    let edit = replace("model.safetensors", "\"F32\"", "\"I32\"");
    let folder = scene.model("bert", "integers", edit);
    add(&folder).fails(7, &["I32", "expected f32, f16 or bf16"]);
    let folder = scene.model("bert", "new", replace("config.json", "\"bert\"", "\"tree\""));
    add(&folder).fails(7, &["tree", "supported"]);
    assert!(!scene.0.path().join("models/records").exists());
}
