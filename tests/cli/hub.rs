//! `codeintel model pull ORG/NAME` from a hub, and what goes wrong on the way.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Hub, Place, Ran, Request, TOKEN, golden, sha256};

const FIRST: &str = "1111111111111111111111111111111111111111";
const SECOND: &str = "2222222222222222222222222222222222222222";
const NAME: &str = "org/tiny";

/// A hub with the tiny model, and a place whose models and cache are in its own folder.
struct Scene {
    hub: Hub,
    place: Place,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { hub: Hub::start(), place: Place::new(&[("a.rs", "fn first() {}\n")]) };
        let folder = scene.model("first");
        fs::create_dir(folder.join("onnx")).unwrap();
        fs::write(folder.join("onnx/model.onnx"), "not needed").unwrap();
        fs::write(folder.join("README.md"), "not needed").unwrap();
        scene.hub.publish(NAME, FIRST, &folder);
        scene
    }

    /// A copy of the tiny model.
    fn model(&self, name: &str) -> PathBuf {
        self.place.edited_model("bert", name, |_| {}).into()
    }

    fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = self.place.command(args);
        for name in ["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"] {
            command.env_remove(name);
        }
        command
            .env("HF_ENDPOINT", &self.hub.url)
            .env("HF_HOME", self.place.path().join("hf"))
            .env("CODEINTEL_MODEL_DIR", self.place.path().join("models"))
            .env("NO_PROXY", "127.0.0.1")
            .envs(variables.iter().copied());
        Ran::from(command.output().unwrap())
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[])
    }

    fn pull(&self, name: &str) -> Ran {
        self.run(&["model", "pull", name])
    }

    fn cache(&self) -> PathBuf {
        self.place.path().join("hf/hub/models--org--tiny")
    }

    fn snapshot(&self, commit: &str) -> PathBuf {
        self.cache().join("snapshots").join(commit)
    }

    fn record(&self) -> PathBuf {
        self.place.path().join("models/records/org--tiny.toml")
    }

    /// Asserts that no part of a model counts as installed.
    #[track_caller]
    fn assert_nothing_installed(&self) {
        assert!(!self.record().exists());
        assert_eq!(names(&self.cache().join("snapshots")), [""; 0]);
        let ran = self.run(&["embed", "repo/a.rs", "--model", NAME]);
        ran.fails(6, &["codeintel model pull org/tiny"]);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The requests for bytes of large files.
fn of_storage(seen: &[Request]) -> Vec<&Request> {
    seen.iter().filter(|request| request.line.contains("/storage/")).collect()
}

#[test]
fn a_pulled_model_is_recorded_and_works_without_the_hub_under_its_name() {
    let scene = Scene::new();
    let ran = scene.pull(NAME);
    assert!(ran.err.contains("model.safetensors: "), "{ran:?}");
    let out = ran.ok();
    assert!(out.contains(&format!("org/tiny@{FIRST}")), "{out}");
    let here = names(&scene.snapshot(FIRST));
    let needed =
        ["1_Pooling", "config.json", "model.safetensors", "modules.json", "tokenizer.json"];
    assert_eq!(here, needed);
    let record = fs::read_to_string(scene.record()).unwrap();
    let weights = fs::read(golden("bert/model.safetensors")).unwrap();
    for part in [FIRST, "mit", &sha256(&weights), "1_Pooling/config.json"] {
        assert!(record.contains(part), "{part}: {record}");
    }
    assert_eq!(fs::read_to_string(scene.cache().join("refs/main")).unwrap(), FIRST);

    // The second time nobody is asked, and neither is anybody when the model is used.
    scene.hub.seen();
    scene.pull(NAME).ok();
    scene.run(&["model", "verify", NAME]).ok();
    let by_name = scene.run(&["embed", "repo/a.rs", "--model", NAME, "--dtype", "f32"]).ok();
    let by_folder = scene.run(&["embed", "repo/a.rs", "--dtype", "f32"]).ok();
    assert_eq!(by_name, by_folder);
    assert_eq!(scene.hub.seen().len(), 0);

    let listed = scene.run(&["model", "list", "--json"]).json();
    let listed = listed.as_array().unwrap().iter().find(|model| model["name"] == NAME).unwrap();
    let facts = ["source", "family", "pooling", "licence"].map(|key| listed[key].as_str().unwrap());
    assert_eq!(facts, ["pulled", "bert", "mean", "mit"]);
    assert_eq!((&listed["dimension"], &listed["way"]), (&Value::from(64), &Value::from("native")));
    let sizes = needed.iter().map(|name| match *name {
        "1_Pooling" => "1_Pooling/config.json",
        name => name,
    });
    let sizes = sizes.map(|name| fs::metadata(golden(&format!("bert/{name}"))).unwrap().len());
    assert_eq!(listed["bytes"], sizes.sum::<u64>());
}

#[test]
fn a_static_model_is_pulled_in_each_of_its_forms() {
    let scene = Scene::new();
    for form in ["plain", "quantised", "module"] {
        let name = format!("org/{form}");
        scene.hub.publish(&name, FIRST, Path::new(&golden(&format!("static/{form}"))));
        scene.pull(&name).ok();
        scene.run(&["model", "verify", &name]).ok();
        let listed = scene.run(&["model", "list"]).ok();
        let line = listed.lines().find(|line| line.contains(&name)).unwrap();
        assert!(line.contains("(static table)"), "{line}");
    }
}

#[test]
fn a_file_whose_connection_breaks_off_is_continued() {
    let scene = Scene::new();
    scene.hub.cut(2);
    scene.pull(NAME).ok();
    let seen = scene.hub.seen();
    let ranges: Vec<_> = of_storage(&seen).iter().map(|request| request.range.clone()).collect();
    let bytes = fs::metadata(golden("bert/model.safetensors")).unwrap().len();
    let at = |part: u64| Some(format!("bytes={}-", bytes - bytes.div_ceil(part)));
    assert_eq!(ranges, [None, at(2), at(4)]);

    // What an ended process left is continued by the next one.
    let scene = Scene::new();
    let weights = fs::read(golden("bert/model.safetensors")).unwrap();
    let partial = scene.cache().join("blobs").join(format!("{}.incomplete", sha256(&weights)));
    fs::create_dir_all(partial.parent().unwrap()).unwrap();
    fs::write(&partial, &weights[..1000]).unwrap();
    let ran = scene.pull(NAME);
    assert!(ran.err.contains("continued"), "{ran:?}");
    ran.ok();
    let seen = scene.hub.seen();
    assert_eq!(of_storage(&seen)[0].range.as_deref(), Some("bytes=1000-"));
    assert!(!partial.exists());

    // One that is damaged is found by its checksum, and not installed.
    let scene = Scene::new();
    fs::create_dir_all(partial_of(&scene, &weights).parent().unwrap()).unwrap();
    fs::write(partial_of(&scene, &weights), vec![7; 1000]).unwrap();
    scene.pull(NAME).fails(7, &["model.safetensors", "SHA-256", "named by the hub"]);
    scene.assert_nothing_installed();
    scene.pull(NAME).ok();
}

fn partial_of(scene: &Scene, bytes: &[u8]) -> PathBuf {
    scene.cache().join("blobs").join(format!("{}.incomplete", sha256(bytes)))
}

#[test]
fn the_recorded_revision_stays_until_another_one_is_asked_for() {
    let scene = Scene::new();
    scene.pull(NAME).ok();
    let changed = scene.model("second");
    let config = fs::read_to_string(changed.join("config.json")).unwrap();
    fs::write(changed.join("config.json"), config + "\n").unwrap();
    scene.hub.publish(NAME, SECOND, &changed);
    let out = scene.pull(NAME).ok();
    assert!(out.contains(FIRST), "{out}");
    let out = scene.pull("org/tiny@main").ok();
    assert!(out.contains(SECOND), "{out}");
    // The weights are the same blob.
    assert_eq!(of_storage(&scene.hub.seen()).len(), 1);
    let out = scene.pull(NAME).ok();
    assert!(out.contains(SECOND), "{out}");

    // A damaged file is fetched again; one that the hub has changed is refused.
    fs::remove_file(scene.snapshot(SECOND).join("config.json")).unwrap();
    let out = scene.pull(NAME).ok();
    assert!(out.contains(SECOND), "{out}");
    scene.hub.write(NAME, SECOND, "config.json", b"{\"model_type\": \"bert\"}");
    fs::remove_file(scene.snapshot(SECOND).join("config.json")).unwrap();
    let ran = scene.pull(NAME);
    ran.fails(7, &["config.json", "recorded when it was first pulled", "@REVISION"]);
}

#[test]
fn a_gated_repository_is_named_with_what_to_do_and_a_token_is_never_shown() {
    let scene = Scene::new();
    scene.hub.gate(NAME);
    let page = format!("{}/{NAME}", scene.hub.url);
    scene.pull(NAME).fails(16, &["gated", &page, "/settings/tokens", "HF_TOKEN"]);
    let other = [("HF_TOKEN", "hf_of_a_stranger")];
    let ran = scene.run_with(&["model", "pull", NAME], &other);
    assert!(!ran.err.contains("hf_of_a_stranger"), "{ran:?}");
    ran.fails(16, &["has no access", &page]);
    scene.assert_nothing_installed();

    let token_file = scene.place.path().join("hf/token");
    fs::create_dir_all(token_file.parent().unwrap()).unwrap();
    fs::write(&token_file, format!("{TOKEN}\n")).unwrap();
    scene.hub.seen();
    let ran = scene.run_with(&["model", "pull", NAME], &[("RUST_LOG", "trace")]);
    assert!(!ran.err.contains(TOKEN) && !ran.out.contains(TOKEN), "{ran:?}");
    ran.ok();
    for request in scene.hub.seen() {
        let has_token = request.authorization.is_some();
        assert_eq!(has_token, !request.line.contains("/storage/"), "{request:?}");
    }
}

#[test]
fn a_repository_or_a_revision_that_is_not_there_is_named() {
    let scene = Scene::new();
    scene.pull("org/unheard-of").fails(2, &["org/unheard-of", &scene.hub.url, "HF_TOKEN"]);
    scene.pull("org/tiny@v9").fails(2, &["org/tiny@v9", "a branch, a tag or a commit"]);
    scene.pull("unheard-of").fails(2, &["unheard-of", "ORG/NAME", "all-MiniLM-L6-v2"]);
    let nobody = [("HF_ENDPOINT", "http://127.0.0.1:9")];
    let ran = scene.run_with(&["model", "pull", NAME], &nobody);
    ran.fails(16, &["http://127.0.0.1:9", "HF_ENDPOINT", "run the command again"]);
    let offline = [("HF_HUB_OFFLINE", "1")];
    scene.hub.seen();
    let ran = scene.run_with(&["model", "pull", NAME], &offline);
    ran.fails(16, &["HF_HUB_OFFLINE", "org/tiny@main"]);
    assert_eq!(scene.hub.seen().len(), 0);
    scene.assert_nothing_installed();
}

#[test]
fn the_files_of_a_hub_cache_are_used_in_place() {
    let scene = Scene::new();
    let snapshot = scene.snapshot(FIRST);
    fs::create_dir_all(snapshot.parent().unwrap()).unwrap();
    fs::rename(scene.model("cached"), &snapshot).unwrap();
    let flags = ["embed", "repo/a.rs", "--dtype", "f32"];
    let expected = scene.run(&flags).ok();
    let by_name = [&flags[..], &["--model", NAME]].concat();
    assert_eq!(scene.run(&by_name).ok(), expected);
    let listed = scene.run(&["model", "list"]).ok();
    assert!(listed.contains("hub cache: "), "{listed}");
    scene.run(&["model", "verify", NAME]).ok();
    assert_eq!(scene.hub.seen().len(), 0);

    // Pulling records what is here; nothing is downloaded, and offline not even asked for.
    let offline = [("HF_HUB_OFFLINE", "1")];
    scene.run_with(&["model", "pull", NAME], &offline).ok();
    assert_eq!(scene.hub.seen().len(), 0);
    fs::remove_file(scene.record()).unwrap();
    scene.pull(NAME).ok();
    assert_eq!(of_storage(&scene.hub.seen()).len(), 0);
    assert!(!scene.cache().join("blobs").exists());
    scene.run(&["model", "verify", NAME]).ok();
}

#[test]
fn a_model_that_nothing_here_computes_is_refused_before_its_weights_are_fetched() {
    let scene = Scene::new();
    let rows = |n: usize| format!("\"vocab_size\": {n}");
    let config = fs::read_to_string(golden("bert/config.json")).unwrap();
    for (changed, code, parts) in [
        (config.replace("\"bert\"", "\"unheard_of\""), 7, ["unheard_of", "supported"]),
        (config.replace(&rows(600), &rows(599)), 7, ["tokenizer.json", "another model"]),
        (config.replace(&rows(600), &rows(250_002)), 7, ["600 tokens", "250002"]),
    ] {
        scene.hub.write(NAME, FIRST, "config.json", changed.as_bytes());
        scene.pull(NAME).fails(code, &parts);
        assert_eq!(of_storage(&scene.hub.seen()).len(), 0);
        scene.assert_nothing_installed();
    }
    scene.hub.write(NAME, FIRST, "config.json", config.as_bytes());
    let weights = fs::read(golden("bert/model.safetensors")).unwrap();
    scene.hub.write(NAME, FIRST, "model.safetensors", &weights[..weights.len() / 2]);
    scene.pull(NAME).fails(7, &["model.safetensors", "does not fit"]);
    assert!(!scene.record().exists());
}

#[test]
fn a_disk_without_space_is_named_before_and_while_a_file_arrives() {
    let scene = Scene::new();
    scene.hub.announce(Some(1 << 60));
    scene.pull(NAME).fails(12, &["more bytes are needed", "HF_HUB_CACHE", "Nothing was installed"]);
    assert_eq!(of_storage(&scene.hub.seen()).len(), 0);
    scene.assert_nothing_installed();

    // The disk of this device is always full.
    scene.hub.announce(None);
    let weights = fs::read(golden("bert/model.safetensors")).unwrap();
    let partial = partial_of(&scene, &weights);
    std::os::unix::fs::symlink("/dev/full", &partial).unwrap();
    scene.pull(NAME).fails(12, &["no space for the model", "HF_HUB_CACHE"]);
    scene.assert_nothing_installed();
    fs::remove_file(partial).unwrap();
    scene.pull(NAME).ok();
}
