//! Files of SCIP that the messages of this folder encode, whole and damaged.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use prost::Message;
use tempfile::TempDir;

use super::messages::{Document, MultiLineRange, RawOccurrence, SingleLineRange};
use super::{Misfit, Occurrence, ScipIndex, SymbolName, fingerprint, package};
use crate::base::config::Settings;
use crate::corpus::source::{Repo, RepoPath};

/// The field of the documents, to write.
#[derive(Clone, PartialEq, prost::Message)]
struct Index {
    #[prost(message, repeated, tag = "2")]
    documents: Vec<Document>,
}

const BYTES: i32 = 1;
const UTF16: i32 = 2;
const CHARS: i32 = 3;

fn occurrence(range: &[i32], symbol: &str, symbol_roles: i32) -> RawOccurrence {
    let symbol = symbol.to_owned();
    RawOccurrence { range: range.to_vec(), symbol, symbol_roles, ..RawOccurrence::default() }
}

fn document(path: &str, encoding: i32, occurrences: Vec<RawOccurrence>) -> Document {
    Document { relative_path: path.to_owned(), occurrences, position_encoding: encoding }
}

/// A root with an index of these documents.
fn root(documents: Vec<Document>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.scip"), Index { documents }.encode_to_vec()).unwrap();
    folder
}

fn repo(root: &Path) -> Repo {
    Repo::open(&[root.to_path_buf()], &Settings::default()).unwrap()
}

fn read(documents: Vec<Document>, path: &str, text: &str) -> Result<Vec<Occurrence>, Misfit> {
    let folder = root(documents);
    let (index, warnings) = ScipIndex::open(&repo(folder.path()));
    assert!(warnings.is_empty(), "{warnings:?}");
    index.occurrences(&RepoPath::new(path), text)
}

/// Line, first and last column of each occurrence.
fn places(found: &[Occurrence]) -> Vec<(u32, u32, u32)> {
    found.iter().map(|found| (found.line, found.start_col, found.end_col)).collect()
}

const F: &str = "scheme cargo crate 1.0 f().";

#[test]
fn columns_are_characters_whatever_the_encoding_counts() {
    let text = "let naïve = 1;\r\nlet 𝄞é = f(x); // 𝄞\n";
    for (encoding, start) in [(BYTES, 13), (UTF16, 10), (CHARS, 9), (0, 10)] {
        let uses = vec![occurrence(&[1, start, start + 1], F, 0)];
        let found = read(vec![document("a.rs", encoding, uses)], "a.rs", text).unwrap();
        assert_eq!(places(&found), [(2, 9, 10)], "{encoding}");
    }
    // Inside a character, and behind the end of a line.
    for range in [[1, 5, 8], [1, 60, 61], [7, 0, 1]] {
        let uses = vec![occurrence(&range, F, 0)];
        assert_eq!(read(vec![document("a.rs", BYTES, uses)], "a.rs", text), Err(Misfit));
    }
}

#[test]
fn a_range_has_three_or_four_numbers_or_a_message_of_its_own() {
    let text = "fn f() {}\nfn g() { f() }\n";
    let single = SingleLineRange { line: 1, start: 9, end: 10 };
    let multi = MultiLineRange { start_line: 0, start: 0, end_line: 2, end: 0 };
    let module = "scheme cargo crate 1.0 crate/";
    let occurrences = vec![
        RawOccurrence { single_line_range: Some(single), ..occurrence(&[], F, 0) },
        occurrence(&[0, 3, 0, 4], F, 1),
        RawOccurrence { multi_line_range: Some(multi), ..occurrence(&[], module, 1) },
        // A use of several lines, and what is not a range.
        occurrence(&[0, 0, 1, 0], F, 0),
        occurrence(&[], F, 0),
        occurrence(&[1, 2], F, 0),
        occurrence(&[0, -1, 4], F, 0),
        occurrence(&[0, 4, 3], F, 0),
        occurrence(&[0, 3, 4], "", 0),
    ];
    let found = read(vec![document("a.rs", BYTES, occurrences)], "a.rs", text).unwrap();
    assert_eq!(places(&found), [(1, 0, 0), (1, 3, 4), (2, 9, 10)]);
    assert_eq!(found.iter().map(|f| f.is_definition).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!((found[1].name.as_str(), found[1].symbol.as_str()), ("f", F));
}

#[test]
fn local_symbols_are_those_of_one_file() {
    let uses = || vec![occurrence(&[0, 4, 5], "local 1", 1)];
    let documents = vec![document("a.rs", BYTES, uses()), document("b.rs", BYTES, uses())];
    let folder = root(documents);
    let index = ScipIndex::open(&repo(folder.path())).0;
    let symbol = |path| index.occurrences(&RepoPath::new(path), "let x = 1;").unwrap().remove(0);
    let (a, b) = (symbol("a.rs"), symbol("b.rs"));
    assert_ne!(a.symbol, b.symbol);
    assert_eq!((a.name.as_str(), SymbolName::of(&a.symbol)), ("", None));
    assert_eq!(package(&a.symbol), None);
}

#[test]
fn a_document_is_used_only_if_it_fits_the_text() {
    let text: String = (0..20).map(|n| format!("fn f{n:02}() {{ f00() }}\n")).collect();
    let symbol = |n: i32| format!("scheme cargo crate 1.0 f{n:02}().");
    let mut occurrences: Vec<_> = (0..20).map(|n| occurrence(&[n, 3, 6], &symbol(n), 1)).collect();
    occurrences.extend((0..20).map(|n| occurrence(&[n, 11, 14], &symbol(0), 0)));
    let read = |text: &str| read(vec![document("a.rs", BYTES, occurrences.clone())], "a.rs", text);
    assert_eq!(read(&text).unwrap().len(), 40);
    // One name of twenty was edited.
    assert_eq!(read(&text.replace("fn f07", "fn f77")).unwrap().len(), 40);
    // A line was added at the top, and in the middle.
    assert_eq!(read(&format!("use a;\n{text}")), Err(Misfit));
    assert_eq!(read(&text.replacen("fn f10", "\nfn f10", 1)), Err(Misfit));
    // Behind the last definition nothing moves, and a range that is not a word is left out.
    assert_eq!(read(&format!("{text}fn more() {{}}\n")).unwrap().len(), 40);
    assert_eq!(read(&text.replace("{ f00() }\nfn f19", "{ xf00() }\nfn f19")).unwrap().len(), 39);
    assert_eq!(read(""), Err(Misfit));
}

#[test]
fn names_that_are_not_written_in_the_text_are_not_compared() {
    let text = "class A:\n    def __init__(self): pass\nfn r#type() {}\n";
    let occurrences = vec![
        occurrence(&[0, 0, 0], "scip-python python p 1 `a.b`/__init__:", 1),
        occurrence(&[0, 6, 7], "scip-typescript npm p 1 `a.ts`/A#`<constructor>`().", 1),
        occurrence(&[2, 3, 9], "rust-analyzer cargo p 1 type().", 1),
    ];
    assert_eq!(read(vec![document("a.py", 0, occurrences)], "a.py", text).unwrap().len(), 3);
}

#[test]
fn a_file_without_a_document_has_no_occurrences_and_a_root_without_an_index_no_warning() {
    assert_eq!(read(vec![document("a.rs", BYTES, vec![])], "b.rs", "fn f() {}"), Ok(vec![]));
    let folder = tempfile::tempdir().unwrap();
    let (index, warnings) = ScipIndex::open(&repo(folder.path()));
    assert!(warnings.is_empty() && index.fingerprint().is_empty());
}

#[test]
fn a_damaged_file_is_a_warning_that_names_it() {
    let folder = root(vec![document("a.rs", BYTES, vec![occurrence(&[0, 0, 1], F, 1)])]);
    let path = folder.path().join("index.scip");
    let whole = fs::read(&path).unwrap();
    for damaged in [&whole[..whole.len() - 1], &[0xff; 30], &[0x0f, 1], b"\x12"] {
        fs::write(&path, damaged).unwrap();
        let (index, warnings) = ScipIndex::open(&repo(folder.path()));
        let message = &warnings[0].message;
        assert!(message.contains("index.scip") && message.contains("make it again"), "{message}");
        assert_eq!(index.occurrences(&RepoPath::new("a.rs"), "f"), Ok(vec![]));
    }
    // The keys are whole, and what is inside the document is not.
    fs::write(&path, [0x12, 8, 0x0a, 4, b'a', b'.', b'r', b's', 0x12, 9]).unwrap();
    let (index, warnings) = ScipIndex::open(&repo(folder.path()));
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(index.occurrences(&RepoPath::new("a.rs"), "f"), Err(Misfit));
}

#[test]
fn each_root_has_an_index_of_its_own_and_the_fingerprint_knows_them_all() {
    let folder = tempfile::tempdir().unwrap();
    let roots = ["one", "two"].map(|name| folder.path().join(name));
    roots.iter().for_each(|root| fs::create_dir(root).unwrap());
    let documents = vec![document("a.rs", BYTES, vec![occurrence(&[0, 3, 4], F, 1)])];
    let repo = Repo::open(&roots, &Settings::default()).unwrap();
    assert_eq!(fingerprint(&repo), "");
    fs::write(roots[1].join("index.scip"), Index { documents }.encode_to_vec()).unwrap();
    let (index, _) = ScipIndex::open(&repo);
    let found = |path| index.occurrences(&RepoPath::new(path), "fn f() {}").unwrap().len();
    assert_eq!((found("one/a.rs"), found("two/a.rs")), (0, 1));
    assert_eq!(index.fingerprint(), fingerprint(&repo));
    fs::write(roots[0].join("index.scip"), []).unwrap();
    assert_ne!(index.fingerprint(), fingerprint(&repo));
}

#[test]
fn the_last_descriptor_names_a_symbol() {
    for (descriptors, name, kind) in [
        ("module/Type#method().", "method", "function"),
        ("module/Type#method(+1).", "method", "function"),
        ("impl#[`Vec<T>`][Clone]clone().", "clone", "function"),
        ("module/Type#", "Type", "type"),
        ("module/Type#field.", "field", "variable"),
        ("module/", "module", "module"),
        ("`a.b`/__init__:", "__init__", "meta"),
        ("vec!", "vec", "macro"),
        ("f().(x)", "x", "parameter"),
        ("Type#[T]", "T", "type parameter"),
        ("`a``b c`.", "a`b c", "variable"),
        ("größe.", "größe", "variable"),
    ] {
        let symbol = SymbolName::of(&format!("scheme npm pkg 1.0 {descriptors}"));
        assert_eq!(symbol, Some(SymbolName { name: name.to_owned(), kind }), "{descriptors}");
    }
    for none in ["local 3", "", "x", "`", "``.", "s m p v ().", ")", "]", "é"] {
        assert_eq!(SymbolName::of(none), None, "{none}");
    }
    assert_eq!(package("scheme npm pkg 1.0 f().").as_deref(), Some("pkg 1.0"));
    assert_eq!(package("scheme . pkg . f().").as_deref(), Some("pkg"));
    assert_eq!(package("scheme . . . f()."), None);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("index.scip"), &bytes).unwrap();
        let (index, _) = ScipIndex::open(&repo(folder.path()));
        let _ = index.occurrences(&RepoPath::new("a"), "text");
    }

    #[test]
    fn any_document_is_read_or_refused(
        ranges in proptest::collection::vec(proptest::collection::vec(-1i32..9, 0..5), 0..6),
        symbols in proptest::collection::vec("[a-z`#./()\\[\\]:! é]{0,12}", 6),
        text in "[a-zé𝄞 \\n]{0,40}",
        encoding in 0i32..5,
    ) {
        let occurrences = ranges.iter().zip(&symbols).map(|(range, s)| occurrence(range, s, 1));
        let document = document("a", encoding, occurrences.collect());
        let lines: Vec<&str> = text.lines().collect();
        for found in read(vec![document], "a", &text).unwrap_or_default() {
            let line = lines.get(found.line as usize - 1).map_or(0, |line| line.chars().count());
            prop_assert!(found.end_col as usize <= line, "{:?} in {:?}", found, text);
        }
    }

    #[test]
    fn any_text_has_a_last_name_or_none(symbol in any::<String>()) {
        let _ = (SymbolName::of(&symbol), package(&symbol));
    }
}
