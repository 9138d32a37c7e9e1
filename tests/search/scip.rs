//! An `index.scip` in the repository decides definitions and references, while it fits the files.

use codeintel::ingest::IngestOutcome;
use prost::Message;
use serde_json::{Value, json};

use crate::support::{Place, Ran};

#[derive(Clone, PartialEq, prost::Message)]
struct Index {
    #[prost(message, repeated, tag = "2")]
    documents: Vec<Document>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Document {
    #[prost(string, tag = "1")]
    relative_path: String,
    #[prost(message, repeated, tag = "2")]
    occurrences: Vec<Occurrence>,
    #[prost(int32, tag = "6")]
    position_encoding: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Occurrence {
    #[prost(int32, repeated, tag = "1")]
    range: Vec<i32>,
    #[prost(string, tag = "2")]
    symbol: String,
    #[prost(int32, tag = "3")]
    symbol_roles: i32,
}

const POOL: &str = "pub struct Pool;\nimpl Pool {\n    pub fn open(&self) {}\n}\n";
const FILE: &str = "pub struct File;\nimpl File {\n    pub fn open(&self) {}\n}\n";
const MAIN: &str = "fn main(p: Pool) {\n    let é = p; é.open();\n    std::mem::drop(é);\n}\n";

/// An index in which the call in main.rs is one of `File::open`, which no syntax tree can tell.
fn index(opened: &str) -> Vec<u8> {
    let symbol = |name: &str| format!("rust-analyzer cargo demo 0.1.0 {name}");
    let occurrence = |range: [i32; 3], name: &str, symbol_roles| Occurrence {
        range: range.to_vec(),
        symbol: if name.starts_with("local") { name.to_owned() } else { symbol(name) },
        symbol_roles,
    };
    let document = |path: &str, occurrences| Document {
        relative_path: path.to_owned(),
        occurrences,
        position_encoding: 2,
    };
    let open = |name: &str| occurrence([2, 11, 15], name, 1);
    let drop = Occurrence {
        range: vec![2, 14, 18],
        symbol: "rust-analyzer cargo core 1.95.0 mem/drop().".to_owned(),
        symbol_roles: 0,
    };
    let main = vec![
        occurrence([0, 3, 7], "main().", 1),
        occurrence([1, 8, 9], "local 0", 1),
        occurrence([1, 15, 16], "local 0", 0),
        occurrence([1, 17, 21], opened, 0),
        drop,
        occurrence([2, 19, 20], "local 0", 0),
    ];
    let documents = vec![
        document("pool.rs", vec![open("impl#[Pool]open().")]),
        document("file.rs", vec![open("impl#[File]open().")]),
        document("main.rs", main),
    ];
    Index { documents }.encode_to_vec()
}

fn place() -> Place {
    let place = Place::uncached(&[("pool.rs", POOL), ("file.rs", FILE), ("main.rs", MAIN)]);
    place.write("index.scip", index("impl#[File]open()."));
    place.index();
    place
}

/// The answer of a tool at a position of main.rs.
#[track_caller]
fn at(place: &Place, tool: &str, line: u32, character: u32) -> Value {
    let input = json!({ "path": "main.rs", "line": line, "character": character });
    call(place, tool, &input)
}

#[track_caller]
fn call(place: &Place, tool: &str, input: &Value) -> Value {
    let ran: Ran = place.run(&["tool", tool, "--json", &input.to_string()]);
    ran.json()
}

/// Path, line and column of each item.
fn places(items: &Value, line: &str, column: &str) -> Vec<(String, u64, u64)> {
    let number = |item: &Value, key: &str| item[key].as_u64().unwrap();
    let place = |item: &Value| {
        (item["path"].as_str().unwrap().to_owned(), number(item, line), number(item, column))
    };
    items.as_array().unwrap().iter().map(place).collect()
}

fn definitions(answer: &Value) -> Vec<(String, u64, u64)> {
    places(&answer["symbols"], "start_line", "start_column")
}

fn references(answer: &Value) -> Vec<(String, u64, u64)> {
    places(&answer["references"], "line", "column")
}

fn one(path: &str, line: u64, column: u64) -> Vec<(String, u64, u64)> {
    vec![(path.to_owned(), line, column)]
}

#[test]
fn an_index_of_symbols_decides_definitions_and_references() {
    let place = place();
    let found = at(&place, "definition_at", 2, 18);
    assert_eq!(definitions(&found), one("file.rs", 3, 12));
    assert!(found.to_string().contains("from index.scip"), "{found}");
    let item = &found["symbols"][0];
    assert_eq!((&item["qualified"], &item["kind"]), (&json!("File::open"), &json!("method")));

    // A local variable, which no syntax tree defines; columns count characters.
    assert_eq!(definitions(&at(&place, "definition_at", 3, 20)), one("main.rs", 2, 9));
    let uses = at(&place, "references_at", 2, 9);
    assert_eq!(references(&uses), [one("main.rs", 2, 16), one("main.rs", 3, 20)].concat());

    // By position, and by name: the calls of one of the two methods called `open`.
    let call_of_open = one("main.rs", 2, 18);
    assert_eq!(references(&at(&place, "references_at", 2, 18)), call_of_open);
    for (name, expected) in
        [("open", &call_of_open), ("File::open", &call_of_open), ("Pool::open", &vec![])]
    {
        let uses = call(&place, "references_at", &json!({ "name": name }));
        assert_eq!(&references(&uses), expected, "{name}");
    }
    let outside = at(&place, "definition_at", 3, 15);
    assert!(
        definitions(&outside).is_empty() && outside.to_string().contains("core 1.95.0"),
        "{outside}"
    );
}

#[test]
fn a_file_that_was_edited_is_answered_from_its_syntax_tree() {
    let place = place();
    place.write("main.rs", format!("use x;\n\n{MAIN}"));
    place.write("other.rs", "fn other(f: File) {\n    f.open();\n}\n");
    let ran = place.run_index(&[]);
    assert!(ran.err.contains("index.scip does not fit main.rs"), "{}", ran.err);
    let found = at(&place, "definition_at", 4, 18);
    assert!(!found.to_string().contains("from index.scip"), "{found}");
    assert_eq!(found["total"], 2);
    // The definition is in a file that still fits, and the uses are not.
    let input = json!({ "path": "file.rs", "line": 3, "character": 12 });
    let uses = call(&place, "references_at", &input);
    let by_name = [one("main.rs", 4, 18), one("other.rs", 2, 7)].concat();
    assert_eq!(references(&uses), by_name);
    assert!(uses.to_string().contains("2 of them by name"), "{uses}");

    place.write("main.rs", MAIN);
    place.index();
    assert_eq!(definitions(&at(&place, "definition_at", 2, 18)), one("file.rs", 3, 12));
}

#[test]
fn another_index_of_symbols_reads_every_file_again_and_embeds_nothing() {
    let place = place();
    assert_eq!(place.index().outcome, IngestOutcome::Unchanged);
    place.write("index.scip", index("impl#[Pool]open()."));
    let report = place.index();
    assert_eq!((report.outcome, report.files_changed), (IngestOutcome::Built, 3));
    assert_eq!((report.chunks_embedded, report.files), (0, 3));
    assert_eq!(report.reasons, ["index.scip has changed"]);
    assert_eq!(definitions(&at(&place, "definition_at", 2, 18)), one("pool.rs", 3, 12));

    place.write("index.scip", b"\x12\xff\xff\x7f damaged");
    let ran = place.run_index(&[]);
    assert!(ran.err.contains("index.scip is not used"), "{}", ran.err);
    assert_eq!(at(&place, "definition_at", 2, 18)["total"], 2);

    place.remove("index.scip");
    assert_eq!(place.index().reasons, ["index.scip has changed"]);
    assert_eq!(place.index().outcome, IngestOutcome::Unchanged);
}
