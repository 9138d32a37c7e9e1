//! What goes into an index of each kind of file, and how that is seen and changed.

use std::fs;
use std::process::Command;

use codeintel::base::hit::ChunkId;
use codeintel::corpus::source::{Channels, FileKind};
use codeintel::index::DenseIndex;
use codeintel::ingest::IngestOutcome;
use codeintel::search::ChannelName;
use serde_json::Value;

use crate::support::{Place, ask, golden, only, paths};

const CODE: &str = "/// Reads the ledger.\npub fn read_ledger() -> usize {\n    1\n}\n";

fn mixed() -> Place {
    let place = Place::uncached(&[
        ("src/lib.rs", CODE),
        ("docs/ledger.md", "# The ledger\n\nHow it is read.\n"),
        ("Cargo.lock", "[[package]]\nname = \"ledger\"\nversion = \"1.0.0\"\n"),
        ("data/rows.csv", "ledger,amount\nfirst,1\nsecond,2\n"),
        ("api/a.pb.go", "package api\n\nfunc GetLedger() int { return 1 }\n"),
        ("dist/app.js.map", "{\"version\":3}\n"),
    ]);
    place.write("wide.txt", b"\xFF\xFEl\0e\0d\0g\0e\0r\0\n\0");
    place
}

/// Kind and channels of a file.
fn choice(place: &Place, path: &str) -> (FileKind, Channels) {
    let row = place.catalog().file(path).unwrap().expect(path);
    (row.kind, row.channels)
}

/// Whether the first chunk of a file has a vector.
fn has_vector(place: &Place, path: &str) -> bool {
    let version = place.version();
    let dense = DenseIndex::open(&version.folder.dense(), version.manifest.model.dim).unwrap();
    let id: ChunkId = place.catalog().file(path).unwrap().expect(path).first_chunk;
    dense.vector(id).unwrap().iter().any(|value| *value != 0.0)
}

#[test]
fn data_and_generated_files_are_found_by_their_words_and_not_embedded() {
    let place = mixed();
    let report = place.index();
    assert_eq!((report.files, report.chunks_written), (6, 6), "{report:?}");
    assert_eq!(report.chunks_embedded, 3, "code, a document and a text: {report:?}");
    assert_eq!(report.skipped.to_string(), "1 source maps");
    let words = ["Cargo.lock", "data/rows.csv", "api/a.pb.go"];
    for path in words {
        assert_eq!(choice(&place, path).1, Channels::Words, "{path}");
        assert!(!has_vector(&place, path), "{path}");
    }
    assert_eq!(choice(&place, "src/lib.rs"), (FileKind::Code, Channels::Every));
    assert_eq!(place.catalog().file("wide.txt").unwrap().unwrap().encoding.unwrap(), "UTF-16LE");

    let searcher = place.searcher();
    let found = |channel| {
        let answer = ask(&searcher, &only(place.query("ledger", 50), &[channel]));
        let mut paths: Vec<String> = paths(&answer).into_iter().map(str::to_owned).collect();
        paths.sort();
        paths
    };
    assert_eq!(found(ChannelName::Dense), ["docs/ledger.md", "src/lib.rs", "wide.txt"]);
    let lexical = found(ChannelName::Lexical);
    assert!(words.iter().all(|path| lexical.contains(&(*path).to_owned())), "{lexical:?}");

    // Also if chunks were deleted.
    place.write("src/lib.rs", format!("{CODE}\n// edited\n"));
    place.index();
    let searcher = place.searcher();
    let answer = ask(&searcher, &only(place.query("ledger", 50), &[ChannelName::Dense]));
    assert_eq!(answer.findings.len(), 3, "{:?}", paths(&answer));
}

#[test]
fn files_that_are_found_by_their_words_have_no_learned_sparse_vectors() {
    let mut place = mixed();
    place.settings.index.sparse_model = golden("bert_splade");
    let report = place.index();
    assert_eq!((report.chunks_written, report.chunks_expanded), (6, 3), "{report:?}");
    place.settings.index.every_channel = "Cargo.lock,*.csv".to_owned();
    let report = place.index();
    assert_eq!((report.outcome, report.chunks_expanded), (IngestOutcome::Built, 2), "{report:?}");
    place.settings.index.every_channel = String::new();
    assert_eq!(place.index().chunks_expanded, 0);
}

#[test]
fn attributes_and_settings_change_what_is_indexed_of_a_file() {
    let mut place = mixed();
    place.index();
    let git = |args: &[&str]| {
        let done = Command::new("git").current_dir(place.repo()).args(args).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    git(&["init", "-q"]);
    place.write(".gitattributes", "src/** linguist-generated\napi/** -linguist-generated\n");
    let report = place.index();
    assert_eq!((report.outcome, report.files_changed), (IngestOutcome::Updated, 2), "{report:?}");
    assert_eq!(choice(&place, "src/lib.rs"), (FileKind::Generated, Channels::Words));
    assert_eq!(choice(&place, "api/a.pb.go"), (FileKind::Code, Channels::Every));
    assert!(has_vector(&place, "api/a.pb.go"));
    assert_eq!(place.index().outcome, IngestOutcome::Unchanged);

    place.write(".gitattributes", "docs/** linguist-vendored=true\n");
    assert_eq!(place.index().files_changed, 3);
    assert_eq!(choice(&place, "docs/ledger.md"), (FileKind::Vendored, Channels::Every));
    assert!(has_vector(&place, "src/lib.rs"));

    place.settings.index.every_channel = "*.csv".to_owned();
    place.settings.index.words_only = "*.md,*.csv".to_owned();
    place.settings.index.skip = "api".to_owned();
    let report = place.index();
    assert!(
        report.reasons.iter().any(|reason| reason.contains("every_channel=*.csv")),
        "{report:?}"
    );
    assert_eq!(choice(&place, "data/rows.csv"), (FileKind::Data, Channels::Every));
    assert_eq!(choice(&place, "docs/ledger.md").1, Channels::Words);
    assert!(has_vector(&place, "data/rows.csv") && !has_vector(&place, "docs/ledger.md"));
    assert_eq!(place.catalog().file("api/a.pb.go").unwrap(), None);
    assert_eq!(report.skipped.to_string(), "1 excluded by index.skip, 1 source maps");
    assert_eq!(place.index().outcome, IngestOutcome::Unchanged);
}

#[test]
fn every_decision_is_listed() {
    let place = mixed();
    place.write(".gitignore", "target/\n*.tmp\n");
    place.write("target/a.rs", CODE);
    place.write("b.tmp", "x\n");
    place.write("image.png", b"\x89PNG\0");
    place.run_index(&[]).ok();
    let list = |flags: &[&str]| place.run(&[&["status", "--json"], flags].concat()).json();
    let by_path = |answer: &Value, key: &str| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let files = answer["files"].as_array().unwrap().iter();
        files.map(|file| (text(&file["path"]), text(&file[key]))).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    let files = list(&["--files"]);
    assert_eq!(files["total"], 6);
    let expected = [
        ("Cargo.lock", "lock file"),
        ("api/a.pb.go", "its name says that it is generated"),
        ("data/rows.csv", "table of records"),
        ("docs/ledger.md", ""),
        ("src/lib.rs", ""),
        ("wide.txt", ""),
    ];
    assert_eq!(by_path(&files, "why"), pairs(&expected));
    assert_eq!(files["files"][5]["encoding"], "UTF-16LE");
    let first = list(&["--files", "--limit", "2"]);
    assert_eq!(
        (&first["next"], first["files"].as_array().unwrap().len()),
        (&"api/a.pb.go".into(), 2)
    );
    let rest = list(&["--files", "--after", "api/a.pb.go"]);
    assert_eq!((&rest["next"], rest["files"].as_array().unwrap().len()), (&Value::Null, 4));

    let skipped = list(&["--skipped"]);
    let expected = [
        (".gitignore", "hidden"),
        ("b.tmp", "excluded by .gitignore rules"),
        ("dist/app.js.map", "source maps"),
        ("image.png", "binary"),
        ("target/", "excluded by .gitignore rules"),
    ];
    assert_eq!(by_path(&skipped, "reason"), pairs(&expected));
    let text = place.run(&["status", "--files"]).ok();
    assert!(text.contains("Cargo.lock  data, by words only; lock file; 1 chunk"), "{text}");
    let text = place.run(&["status", "--skipped", "--limit", "1"]).ok();
    assert!(text.contains("1 of 5 are shown; --after \".gitignore\" continues"), "{text}");
}

#[test]
fn files_that_change_places_are_noticed_though_size_and_time_are_the_same() {
    let place =
        Place::uncached(&[("a.rs", "fn value_one() {}\n"), ("b.rs", "fn value_two() {}\n")]);
    let [a, b, c] = ["a.rs", "b.rs", "c"].map(|name| place.repo().join(name));
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(1000);
    for path in [&a, &b] {
        fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    // The files are then older than the index.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    place.index();
    assert_eq!(place.index().outcome, IngestOutcome::Unchanged);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    fs::rename(&a, &c).unwrap();
    fs::rename(&b, &a).unwrap();
    fs::rename(&c, &b).unwrap();
    assert_eq!(place.index().files_changed, 2);
    fs::write(&a, "fn value_six() {}\n").unwrap();
    fs::File::options().write(true).open(&a).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(place.index().files_changed, 1);
    let chunk = place.catalog().file("a.rs").unwrap().unwrap().first_chunk;
    assert_eq!(place.catalog().rows(&[chunk]).unwrap().rows[0].text, "fn value_six() {}\n");
}
