//! Wrong input: the exit code, the value and the remedy, while the published index stays usable.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use codeintel::base::config::Settings;
use codeintel::base::error::ErrorKind;
use codeintel::corpus::source::SkipReason;
use codeintel::index::versions::{DataFolder, IndexVersion};
use codeintel::search::{ChannelName, Query, Searcher};

use crate::support::{CONTENT_CHANNELS, Place, ask, only, paths, rust_file};

/// A place with a published index of one function.
fn published() -> Place {
    let place = Place::uncached(&[("a.rs", "fn published_before() {}\n")]);
    place.run_index(&[]).ok();
    place
}

#[track_caller]
fn still_answers(place: &Place) {
    let found = place.found("published_before", &[]);
    assert!(found[0].contains("published_before"), "{found:?}");
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_path_that_is_missing_or_unreadable_is_named() {
    let place = published();
    let missing = text(&place.repo().join("missing"));
    place.run(&["index", &missing]).fails(4, &["path does not exist", &missing, "spelling"]);
    let below_a_file = text(&place.repo().join("a.rs/x"));
    place.run(&["index", &below_a_file]).fails(4, &[&below_a_file, "Not a directory"]);
    symlink("two", place.path().join("one")).unwrap();
    symlink("one", place.path().join("two")).unwrap();
    let endless = text(&place.path().join("one"));
    place.run(&["index", &endless]).fails(4, &[&endless]);
    still_answers(&place);
}

#[test]
fn a_folder_with_nothing_to_index_names_the_rule_that_removed_the_files() {
    let place = published();
    let rules: [(&str, &[u8], &str); 4] = [
        ("x.bin", b"MZ\0\x01\x02", "1 binary"),
        ("empty.rs", b"", "1 empty"),
        (".hidden.rs", b"fn hidden() {}\n", "1 hidden"),
        ("large.txt", &[b'x'; (1 << 20) + 1], "1 too large"),
    ];
    for (i, (name, bytes, rule)) in rules.into_iter().enumerate() {
        let folder = place.path().join(format!("folder_{i}"));
        fs::create_dir(&folder).unwrap();
        let folder_text = text(&folder);
        let index =
            |flags: &[&str]| place.run(&[&["index", &folder_text, "--replace"], flags].concat());
        index(&[]).fails(5, &[&folder_text, "there are no files"]);
        fs::write(folder.join(name), bytes).unwrap();
        // Once as an update of the published index, once as a first build.
        index(&[]).fails(5, &[&folder_text, rule, "change the rule"]);
        let data = text(&place.path().join("elsewhere"));
        index(&["--data", &data]).fails(5, &[&folder_text, rule]);
    }
    let folder = place.path().join("ignored");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(".gitignore"), "*.rs\n").unwrap();
    fs::write(folder.join("a.rs"), "fn ignored() {}\n").unwrap();
    place.run(&["index", &text(&folder), "--replace"]).fails(5, &["1 excluded by .gitignore"]);
    still_answers(&place);

    place.write("a.rs", b"\0binary now");
    place.run_index(&[]).fails(5, &["1 binary"]);
    still_answers(&place);
}

#[test]
fn files_that_are_not_text_are_skipped_and_counted() {
    let place = Place::uncached(&[("a.rs", "fn plain_text() {}\n")]);
    place.write("binary.rs", b"fn binary() {}\0");
    place.write("document.txt", b"%PDF-1.7\nxref\n");
    place.write("huge.js", vec![b'x'; 50 << 20]);
    symlink(".", place.repo().join("loop")).unwrap();
    symlink("a.rs", place.repo().join("link.rs")).unwrap();
    symlink("nowhere", place.repo().join("dangling.rs")).unwrap();
    let report = place.index();
    assert_eq!((report.files, report.skipped.total()), (1, 6), "{report:?}");
    for (reason, files) in
        [(SkipReason::Binary, 2), (SkipReason::TooLarge, 1), (SkipReason::Symlink, 3)]
    {
        assert_eq!(report.skipped.get(reason), files, "{reason:?}");
    }
    let answer = ask(&place.searcher(), &place.query("plain_text", 10));
    assert_eq!(answer.channels_used, CONTENT_CHANNELS);
    assert_eq!(paths(&answer), ["a.rs"]);
}

#[test]
fn a_line_of_megabytes_is_one_truncated_chunk() {
    let mut place = Place::uncached(&[("a.rs", "fn plain_text() {}\n")]);
    place.settings.source.file_bytes_max = 8 << 20;
    place.settings.index.every_channel = "min.js".to_owned();
    let line = "var minified=function(a,b){return a+b};".repeat((2 << 20) / 39);
    assert!(line.len() > (2 << 20) - 100 && !line.contains('\n'));
    place.write("min.js", &line);
    place.engine();
    let report = place.index();
    assert_eq!((report.files, report.chunks, report.chunks_truncated), (2, 2, 1), "{report:?}");
    let query = only(place.query("minified", 10), &[ChannelName::Lexical]);
    let found = ask(&place.searcher(), &query).findings;
    assert_eq!(found[0].row.text, line, "the catalog has the whole line");
}

/// A kind of damage to a file of an index.
type Damage = (&'static str, fn(&Path));
const DAMAGES: [Damage; 4] = [
    ("missing", |path| fs::remove_file(path).unwrap()),
    ("empty", |path| fs::write(path, b"").unwrap()),
    ("cut", |path| {
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("garbage", |path| {
        let length = fs::metadata(path).unwrap().len() as usize;
        fs::remove_file(path).unwrap();
        fs::write(path, vec![0xa5; length]).unwrap();
    }),
];

/// One file of each kind, of a version with a delta.
fn parts(version: &IndexVersion) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> =
        version.manifest.parts.iter().map(|part| version.folder.path().join(&part.path)).collect();
    parts.push(version.folder.manifest());
    let kinds = [
        "catalog.duckdb",
        "dense.faiss",
        "delta.faiss",
        ".idx",
        "meta.json",
        "symbols.fst",
        "manifest.json",
    ];
    let part_of = |kind: &&str| parts.iter().find(|part| text(part).ends_with(*kind)).cloned();
    let one_each: Vec<PathBuf> = kinds.iter().filter_map(part_of).collect();
    assert_eq!(one_each.len(), kinds.len(), "{parts:?}");
    one_each
}

#[test]
fn any_damage_to_a_part_of_an_index_is_named() {
    let place = Place::uncached(&[("a.rs", "fn published_before() {}\n")]);
    place.index();
    place.write("b.rs", "fn in_the_delta() {}\n");
    place.index();
    let elsewhere = place.path().join("whole");
    fs::rename(place.data().path(), &elsewhere).unwrap();
    let version = DataFolder::new(&elsewhere).current().unwrap();
    for part in parts(&version) {
        let relative = part.strip_prefix(&elsewhere).unwrap();
        for (damage, apply) in DAMAGES {
            let copy = place.path().join("copy");
            copy_folder(&elsewhere, &copy);
            apply(&copy.join(relative));
            let settings = with_data(&place, &copy);
            let opened = DataFolder::new(&copy)
                .current()
                .and_then(|version| Searcher::open(version, Some(place.engine()), &settings));
            let Err(error) = opened else { panic!("{damage} {relative:?} was opened") };
            assert_eq!(error.kind(), ErrorKind::IndexCorrupt, "{damage} {relative:?}: {error}");
            assert!(error.to_string().contains(&text(relative)), "{damage}: {error}");
            fs::remove_dir_all(&copy).unwrap();
        }
    }
}

fn with_data(place: &Place, data: &Path) -> Settings {
    let mut settings = place.settings.clone();
    settings.data.dir = text(data);
    settings
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let source = entry.path();
        let target = to.join(entry.file_name());
        if source.is_dir() {
            copy_folder(&source, &target);
        } else {
            fs::copy(&source, &target).unwrap();
        }
    }
}

#[test]
fn a_damaged_index_exits_with_9_and_rollback_or_full_repairs_it() {
    let place = published();
    place.write("b.rs", rust_file(1, 3));
    place.run_index(&[]).ok();
    for (i, part) in parts(&place.version()).iter().enumerate() {
        let (_, apply) = DAMAGES[i % DAMAGES.len()];
        let kept = fs::read(part).unwrap();
        // The previous version has hard links to the same files, which must stay intact.
        fs::remove_file(part).unwrap();
        fs::write(part, &kept).unwrap();
        apply(part);
        let name = text(Path::new(part.file_name().unwrap()));
        let remedies = [name.as_str(), "damaged", "rollback", "--full"];
        place.run(&["search", "published_before"]).fails(9, &remedies);
        if i == 0 {
            place.run_index(&[]).fails(9, &remedies);
            place.run(&["status"]).fails(9, &remedies);
            place.run(&["rollback"]).ok();
            still_answers(&place);
            place.run(&["rollback", "000002"]).fails(9, &remedies);
            fs::write(place.data().path().join("CURRENT"), "000002\n").unwrap();
        }
        let _ = fs::remove_file(part);
        fs::write(part, &kept).unwrap();
    }
    still_answers(&place);
    fs::write(place.version().folder.catalog(), b"garbage").unwrap();
    place.run_index(&["--full"]).ok();
    still_answers(&place);

    let current = place.data().path().join("CURRENT");
    for nowhere in ["000999\n", "", "../..\n", "\u{fffd}\n"] {
        fs::write(&current, nowhere).unwrap();
        place.run(&["search", "published_before"]).fails(9, &["rollback", "--full"]);
    }
    place.run_index(&["--full"]).ok();
    still_answers(&place);
}

fn change_weights(folder: &Path) {
    let path = folder.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_model_mismatch_names_both_models_and_full_rebuilds_the_index() {
    let place = published();
    place.write("a.rs", "fn published_before() { changed(); }\n");
    let other = place.edited_model("bert", "othermodel", change_weights);
    let ran = place.run_index(&["--model", &other]);
    ran.fails(10, &["built with", "bert", "othermodel", "--full"]);
    still_answers(&place);
    place.run_index(&["--model", &other, "--full"]).ok();
    place.run(&["search", "published_before"]).fails(10, &["othermodel", "bert"]);
    place.found("published_before", &["--model", &other]);
}

#[test]
fn another_model_is_refused_even_if_no_file_changed() {
    let place = published();
    let other = place.edited_model("bert", "othermodel", change_weights);
    place.run_index(&["--model", &other]).fails(10, &["bert", "othermodel"]);
}

#[test]
fn a_missing_or_damaged_model_is_named_with_the_command_that_gets_it() {
    let place = published();
    place.write("a.rs", "fn published_before() { changed(); }\n");
    let empty = format!("model.dir={}", text(place.path()));
    let ran = place.run_index(&["--model", "all-MiniLM-L6-v2", "--set", &empty]);
    ran.fails(6, &["all-MiniLM-L6-v2", "codeintel model pull all-MiniLM-L6-v2"]);
    let ran = place.run_index(&["--model", "no-such-model", "--set", &empty]);
    ran.fails(2, &["no-such-model", "all-MiniLM-L6-v2"]);
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        for (damage, apply) in DAMAGES {
            if (file, damage) == ("config.json", "missing") {
                continue; // A folder without it is not a model, as above.
            }
            let name = format!("{damage}_{file}");
            let folder = place.edited_model("bert", &name, |folder| apply(&folder.join(file)));
            let code = if damage == "missing" { 6 } else { 7 };
            let ran = place.run_index(&["--model", &folder, "--full"]);
            ran.fails(code, &[file, "codeintel model pull"]);
        }
    }
    still_answers(&place);
}

#[test]
fn a_wrong_setting_is_named_with_what_is_valid() {
    let place = published();
    let set = |pair| place.run(&["search", "published_before", "--set", pair]);
    set("engine.thread=2").fails(3, &["engine.thread", "did you mean", "engine.threads"]);
    set("search.limit=1000").fails(3, &["search.limit", "1000", "1 to 200"]);
    set("index.dense_kind=tree").fails(3, &["index.dense_kind", "tree", "ivf_flat"]);
    set("engine.threads").fails(2, &["--set", "NAME=VALUE"]);
    let file = place.path().join("codeintel.toml");
    for (content, parts) in [
        ("[engine]\nthread = 2\n", ["engine.thread", "engine.threads", "codeintel.toml"]),
        ("[engine]\nthreads = \"two\"\n", ["engine.threads", "two", "whole number"]),
        ("[engine\n", ["cannot parse", "codeintel.toml", "1"]),
    ] {
        fs::write(&file, content).unwrap();
        // The environment overrides the file, but the file is checked first.
        place.run(&["search", "published_before"]).fails(3, &parts);
    }
    fs::remove_file(&file).unwrap();
    let missing = text(&place.path().join("missing.toml"));
    place.run(&["search", "x", "--config", &missing]).fails(4, &[&missing]);
    still_answers(&place);
}

#[test]
fn a_query_out_of_bounds_is_refused_with_the_bound() {
    let place = published();
    for empty in ["", "   ", "\n\t"] {
        place.run(&["search", empty]).fails(2, &["the query cannot be searched", "empty"]);
    }
    let long = "x".repeat(120_000);
    place.run(&["search", &long]).fails(2, &["120000 bytes", "16384", "search.query_bytes_max"]);
    for limit in ["0", "1000000"] {
        let ran = place.run(&["search", "x", "--limit", limit]);
        ran.fails(2, &["limit", limit, "1 to 200"]);
    }
    assert_eq!(place.run(&["search", "x", "--limit", "-1"]).code, Some(2));
    place.run(&["search", "x", "--channels", "sparse"]).fails(2, &["sparse", "dense, lexical"]);
    still_answers(&place);

    let mut settings = place.settings.clone();
    settings.search.query_bytes_max = 1 << 20;
    let million = "published_before ".repeat((1 << 20) / 17);
    assert!(Query::new(&format!("{million}{long}"), 10, &settings.search).is_err());
    let query = Query::new(&million, 10, &settings.search).unwrap();
    let answer = ask(&place.searcher(), &query);
    assert!(answer.findings[0].row.text.contains("published_before"));
}
