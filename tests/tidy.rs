//! The rules of STYLE.md and ARCHITECTURE.md that a test can check, applied to this repository.
//!
//! Each rule is a function from text to offences, with its own tests on small texts. The tests here
//! apply the rules to the repository and list every offence.

mod code;
mod documents;
mod layers;
mod source;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use codeintel::base::error::ErrorKind;
use source::Source;

/// One violation of a rule.
#[derive(Debug, Clone, PartialEq)]
struct Offence {
    file: String,
    line: usize,
    message: String,
}

impl Offence {
    fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Folders with generated or fetched files.
const FOREIGN_FOLDERS: &[&str] = &["target", "node_modules", ".git", ".deps", ".codeintel"];

/// The files under `folder`, sorted, with their paths relative to the root.
fn files(folder: &str) -> Vec<(String, PathBuf)> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the repository is readable").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_symlink() || FOREIGN_FOLDERS.iter().any(|foreign| name == *foreign) {
                continue;
            }
            if path.is_dir() {
                collect(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    found.sort();
    let relative = |path: &PathBuf| {
        let inside = path.strip_prefix(root()).expect("found under the root");
        inside.components().map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
    };
    found.into_iter().map(|path| (relative(&path), path)).collect()
}

/// The text files under `folder` whose names end in one of `ends`, or all of them if it is empty.
fn texts(folder: &str, ends: &[&str]) -> Vec<(String, String)> {
    let wanted = |name: &str| ends.is_empty() || ends.iter().any(|end| name.ends_with(end));
    let read = |(name, path): (String, PathBuf)| Some((name, fs::read_to_string(path).ok()?));
    files(folder).into_iter().filter(|(name, _)| wanted(name)).filter_map(read).collect()
}

/// The Rust files under `folder`. A file that only a test declares is a test.
fn sources(folder: &str) -> Vec<Source> {
    let texts = texts(folder, &[".rs"]);
    let mut sources: Vec<Source> =
        texts.iter().map(|(path, text)| Source::new(path, text)).collect();
    let tests: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        let stem = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let under = |test: &String| stem == test || stem.starts_with(&format!("{test}/"));
        if tests.iter().any(under) {
            source.set_test();
        }
    }
    sources
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn assert_none(rule: &str, offences: impl IntoIterator<Item = Offence>) {
    let list: Vec<String> = offences.into_iter().map(|offence| offence.to_string()).collect();
    assert!(list.is_empty(), "{rule}; {} offences:\n{}", list.len(), list.join("\n"));
}

fn assert_rule(rule: &str, folder: &str, check: impl Fn(&Source) -> Vec<Offence>) {
    assert_none(rule, sources(folder).iter().flat_map(check));
}

#[test]
fn imports_follow_the_table_in_the_architecture() {
    let table = layers::parse_table(&read("ARCHITECTURE.md")).unwrap();
    assert_none("imports go to lower ranks", layers::check_table(&table));
    let sources = sources("src");
    assert_none("every module has a row", layers::check_modules(&table, &sources));
    assert_none(
        "a module imports what its row allows",
        sources.iter().flat_map(|source| layers::check_imports(&table, source)),
    );
}

#[test]
fn files_are_short_and_begin_with_a_summary() {
    let files: Vec<Source> = ["src", "tests"].into_iter().flat_map(sources).collect();
    let check = |source| [code::check_length(source), code::check_first_line(source)].concat();
    assert_none(
        "a file has at most 400 lines without its tests and begins with //! and a sentence",
        files.iter().flat_map(check),
    );
}

#[test]
fn unsafe_code_lives_in_few_places_and_states_why_it_is_sound() {
    assert_rule("unsafe has its places and its SAFETY comment", "src", code::check_unsafe);
}

#[test]
fn attribute_keys_are_spelled_in_one_file() {
    let settings: Vec<String> =
        documents::settings(&read("codeintel.toml")).into_iter().map(|key| key.name).collect();
    assert_rule("attribute keys come from telemetry/attrs.rs", "src", |source| {
        code::check_attributes(source, &settings)
    });
}

#[test]
fn public_slices_and_matrices_have_documented_shapes() {
    assert_rule("slices and matrices have a [shape]", "src", code::check_shapes);
}

#[test]
fn links_between_documents_resolve() {
    let exists = |path: &str| root().join(path).exists();
    let documents = texts("", &[".md"]);
    assert!(documents.len() >= 5, "only {} documents were found", documents.len());
    assert_none(
        "relative links resolve",
        documents.iter().flat_map(|(file, text)| documents::check_links(file, text, exists)),
    );
}

#[test]
fn the_list_of_benches_is_what_is_there() {
    let listed = read("benches/README.md");
    let benches = files("benches").into_iter().map(|(name, _)| name);
    let mut benches: Vec<String> =
        benches.filter(|name| name.ends_with(".rs") && name.matches('/').count() == 1).collect();
    benches.sort();
    let rows = listed.lines().filter_map(|line| line.strip_prefix("| [")?.split_once(']'));
    let rows: Vec<String> = rows.map(|(name, _)| format!("benches/{name}")).collect();
    assert_eq!(rows, benches);
}

#[test]
fn every_setting_has_a_comment() {
    let text = read("codeintel.toml");
    assert!(!documents::settings(&text).is_empty(), "codeintel.toml holds no setting");
    assert_none("a setting has a comment above it", documents::check_settings(&text));
}

#[test]
fn every_kind_of_failure_is_in_the_operators_table() {
    let text = read("docs/operations.md");
    for kind in ErrorKind::ALL {
        let row = format!("| {} | {} | {} |", kind.exit_code(), kind.code(), kind.http_status());
        assert!(text.contains(&row), "docs/operations.md lacks the row {row}");
    }
}

#[test]
fn the_tests_that_the_architecture_names_are_there() {
    let text = read("ARCHITECTURE.md");
    let code: Vec<Source> = sources("src").into_iter().chain(sources("tests")).collect();
    let is_there = |name: &str| {
        let begin = format!("fn {name}(");
        code.iter().any(|source| source.code.iter().any(|line| line.contains(&begin)))
    };
    assert!(documents::named_tests(&text).count() > 5);
    assert_none(
        "a test that is named exists",
        documents::check_named_tests("ARCHITECTURE.md", &text, is_there),
    );
}

#[test]
fn no_file_names_a_folder_of_the_machine_it_was_written_on() {
    assert_none(
        "no absolute home paths",
        texts("", &[]).iter().flat_map(|(file, text)| documents::check_home_paths(file, text)),
    );
}
