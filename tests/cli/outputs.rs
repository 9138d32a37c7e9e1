//! Files that a command writes: none of its inputs, whole or not at all, and what they replace.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::piped;
use crate::support::{BINARY, Place, Ran, golden, signal, wait_for};

const TEXTS: &str = "{\"text\": \"fn main() {}\"}\n{\"text\": \"a\"}\n";
const PAIRS: &str = "{\"query\": \"a\", \"text\": \"b\"}\n";

/// The names in the place, without its index, its cache and its repository.
fn names(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        names.filter(|name| !["data", "cache", "repo"].contains(&name.as_str())).collect();
    names.sort();
    names
}

#[test]
fn an_output_that_is_an_input_is_refused_and_the_input_is_as_it_was() {
    let place = Place::new(&[]);
    let at = |name: &str| place.path().join(name);
    fs::write(at("a.jsonl"), TEXTS).unwrap();
    fs::write(at("codeintel.toml"), "# settings\n").unwrap();
    fs::hard_link(at("a.jsonl"), at("hard.npy")).unwrap();
    symlink("a.jsonl", at("soft.jsonl")).unwrap();
    fs::create_dir(at("sub")).unwrap();
    symlink("../a.jsonl", at("sub/soft")).unwrap();
    let absolute = at("a.jsonl").display().to_string();
    let before = names(&place);
    for output in
        ["a.jsonl", "./a.jsonl", "sub/../a.jsonl", "hard.npy", "soft.jsonl", "sub/soft", &absolute]
    {
        let ran = place.run(&["embed", "a.jsonl", "-o", output]);
        ran.fails(2, &["--output", output, "does not read"]);
        let ran = place.run(&["embed", "a.jsonl", "-o", "out.npy", "--errors", output]);
        ran.fails(2, &["--errors", output, "does not read"]);
    }
    place.run(&["embed", "a.jsonl", "-o", "codeintel.toml"]).fails(2, &["codeintel.toml"]);
    place.run(&["embed", "soft.jsonl", "-o", "a.jsonl"]).fails(2, &["a.jsonl"]);
    place.run(&["embed", "a.jsonl", "-o", "x", "--errors", "./x"]).fails(2, &["--errors = ./x"]);
    place.run(&["embed", "a.jsonl", "-o", "sub"]).fails(2, &["not of a folder"]);
    let from_stdin = |args: &[&str]| {
        let mut command = place.command(args);
        command.stdin(fs::File::open(at("a.jsonl")).unwrap());
        Ran::from(command.output().unwrap())
    };
    from_stdin(&["embed", "-", "-o", "a.jsonl"]).fails(2, &["a.jsonl"]);
    from_stdin(&["embed", "-o", "soft.jsonl"]).fails(2, &["soft.jsonl"]);
    let mut appending = place.command(&["embed", "a.jsonl"]);
    appending.stdout(fs::File::options().append(true).open(at("a.jsonl")).unwrap());
    let ran =
        Ran::from(appending.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap());
    ran.fails(2, &["standard output"]);
    let bench = ["bench", "--texts", "a.jsonl", "--quick", "--seconds", "0"];
    for flag in ["--html", "--json"] {
        place.run(&[&bench[..], &[flag, "a.jsonl"]].concat()).fails(2, &[flag, "a.jsonl"]);
    }
    let both = ["--json", "page", "--html", "./page"];
    place
        .run(&[&bench[..], &both].concat())
        .fails(2, &["--html = ./page", "another of its outputs"]);

    assert_eq!(fs::read_to_string(at("a.jsonl")).unwrap(), TEXTS);
    assert_eq!(fs::read_to_string(at("codeintel.toml")).unwrap(), "# settings\n");
    assert_eq!(names(&place), before, "nothing was created");

    let model = place.edited_model("bert", "mine", |_| {});
    let weights = || fs::read(at("mine/model.safetensors")).unwrap().len();
    let whole = weights();
    let run = ["embed", "a.jsonl", "--model", &model, "-o", "mine/model.safetensors"];
    place.run(&run).fails(2, &["mine/model.safetensors", "does not read"]);
    assert_eq!(weights(), whole);

    let place = Place::with_model(&[], &golden("bert_rerank"));
    fs::write(place.path().join("pairs.jsonl"), PAIRS).unwrap();
    place.run(&["rerank", "pairs.jsonl", "-o", "./pairs.jsonl"]).fails(2, &["--output"]);
    assert_eq!(fs::read_to_string(place.path().join("pairs.jsonl")).unwrap(), PAIRS);
}

/// Writes an older output with its own permissions.
fn older(path: &Path) {
    fs::write(path, "older").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o604)).unwrap();
}

#[test]
fn an_older_output_survives_a_run_that_fails_and_nothing_else_is_left() {
    let place = Place::new(&[]);
    let at = |name: &str| place.path().join(name);
    let is_older = |name: &str| fs::read_to_string(at(name)).unwrap() == "older";
    // Enough texts for several blocks, and then what no row can excuse: the input is not UTF-8 text.
    fs::write(at("utf16.txt"), b"\xFF\xFEa\0\n\0").unwrap();
    fs::write(at("bad.jsonl"), "nothing\n".repeat(600)).unwrap();
    for (input, output, code, part) in [
        ("utf16.txt", "out.npy", 2, "UTF-16 (little-endian)"),
        ("utf16.txt", "out.jsonl", 2, "UTF-16 (little-endian)"),
        ("bad.jsonl", "out.npy", 20, "no row of 600 has a result"),
        ("bad.jsonl", "out.jsonl", 20, "no row of 600 has a result"),
        ("absent.txt", "out.npy", 4, "absent.txt"),
    ] {
        older(&at(output));
        let before = names(&place);
        place.run(&["embed", input, "-o", output]).fails(code, &[part]);
        assert!(is_older(output), "{input} {output}");
        assert_eq!(names(&place), before);
    }
    // A file size limit stands for a full disk.
    let texts: String = (0..700).map(|i| format!("text {i}\n")).collect();
    fs::write(at("texts.txt"), texts).unwrap();
    for output in ["out.npy", "out.jsonl"] {
        older(&at(output));
        let before = names(&place);
        let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
        let environment = place.command(&[]);
        let mut command = Command::new("sh");
        command.args(["-c", script, BINARY, "embed", "texts.txt", "-o", output]);
        command.args(["--set", "engine.cache_bytes_max=0"]);
        command.envs(environment.get_envs().filter_map(|(k, v)| Some((k, v?))));
        let ran = Ran::from(command.current_dir(place.path()).output().unwrap());
        ran.fails(12, &[output]);
        assert!(is_older(output));
        assert_eq!(names(&place), before);
    }
}

#[test]
fn an_older_output_survives_signals_and_no_part_of_a_new_one_is_left() {
    let place = Place::new(&[]);
    let output = place.path().join("out.npy");
    older(&output);
    let before = names(&place);
    for name in ["INT", "TERM", "KILL"] {
        let mut command = place.command(&["embed", "-v", "-o", "out.npy"]);
        command.stdin(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let block: String = (0..600).map(|i| format!("text {name} {i}\n")).collect();
        std::io::Write::write_all(&mut input, block.as_bytes()).unwrap();
        // Its output is open when it waits for more input.
        let open = || {
            let links = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
            let target = |link: fs::DirEntry| fs::read_link(link.path()).unwrap_or_default();
            let inside = |path: &Path| path.parent() == output.parent();
            links.flatten().any(|link| inside(&target(link)))
        };
        wait_for("the output", open);
        signal(child.id(), name);
        assert!(!child.wait().unwrap().success());
        drop(input);
        assert_eq!(fs::read_to_string(&output).unwrap(), "older", "SIG{name}");
        assert_eq!(names(&place), before, "SIG{name}");
    }
}

#[test]
fn a_file_that_is_replaced_keeps_its_permissions_and_its_links() {
    let place = Place::new(&[]);
    let at = |name: &str| place.path().join(name);
    older(&at("out.jsonl"));
    fs::hard_link(at("out.jsonl"), at("backup")).unwrap();
    symlink("out.jsonl", at("link")).unwrap();
    piped(&place, &["embed", "-o", "link"], b"a\n").ok();
    let written = fs::read_to_string(at("out.jsonl")).unwrap();
    assert_eq!(written, piped(&place, &["embed"], b"a\n").ok());
    assert_eq!(fs::metadata(at("out.jsonl")).unwrap().permissions().mode() & 0o777, 0o604);
    assert!(at("link").is_symlink());
    assert_eq!(fs::read_to_string(at("backup")).unwrap(), "older");
    // Where there was no file, the permissions are those of any new file.
    fs::write(at("plain"), "").unwrap();
    piped(&place, &["embed", "-o", "new.npy"], b"a\n").ok();
    let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode();
    assert_eq!(mode("new.npy"), mode("plain"));
}

#[test]
fn pipes_devices_and_open_descriptors_are_written_as_they_are() {
    let place = Place::new(&[]);
    let printed = piped(&place, &["embed"], b"a\n").ok();
    let with = |output: &str| piped(&place, &["embed", "-o", output], b"a\n").ok();
    assert_eq!(with("-"), printed);
    assert_eq!(with("/dev/stdout"), printed);
    assert_eq!(with("/proc/self/fd/1"), printed);
    assert_eq!(with("/dev/null"), "");
    assert!(!place.path().join("-").exists());
    assert!(Command::new("mkfifo").arg(place.path().join("pipe")).status().unwrap().success());
    let mut reader = Command::new("cat");
    let mut reader = reader.arg(place.path().join("pipe")).stdout(Stdio::piped()).spawn().unwrap();
    with("pipe");
    let mut read = String::new();
    reader.stdout.take().unwrap().read_to_string(&mut read).unwrap();
    reader.wait().unwrap();
    assert_eq!(read, printed);
    // A file behind standard output keeps what it holds.
    let log = place.path().join("log");
    fs::write(&log, "before\n").unwrap();
    let mut command = place.command(&["embed", "-o", "/dev/stdout"]);
    command.stdin(Stdio::null()).stdout(fs::File::options().append(true).open(&log).unwrap());
    assert!(command.status().unwrap().success());
    assert_eq!(fs::read_to_string(&log).unwrap(), "before\n");
    symlink("/dev/null", place.path().join("null.npy")).unwrap();
    piped(&place, &["embed", "-o", "null.npy"], b"a\n").fails(2, &["output", "NumPy"]);
}

#[test]
fn a_bench_replaces_its_files_at_the_end() {
    let place = Place::new(&[]);
    let at = |name: &str| place.path().join(name);
    fs::write(at("texts.jsonl"), json!({ "text": "fn main() {}" }).to_string()).unwrap();
    older(&at("out.json"));
    older(&at("out.html"));
    let cells = ["--texts", "texts.jsonl", "--lengths", "16", "--batch-sizes", "1"];
    let flags = ["--seconds", "0", "--json", "out.json", "--html", "out.html"];
    place.run(&[&["bench"], &cells[..], &flags, &["--dtype", "f64"]].concat()).fails(3, &["f64"]);
    assert_eq!(fs::read_to_string(at("out.html")).unwrap(), "older");
    place.run(&[&["bench"], &cells[..], &flags].concat()).ok();
    let report: Value = serde_json::from_slice(&fs::read(at("out.json")).unwrap()).unwrap();
    assert_eq!(report["complete"], true);
    assert!(fs::read_to_string(at("out.html")).unwrap().contains("<html"));
}
