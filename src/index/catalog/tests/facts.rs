//! The graph of references, and the facts that are kept.

use super::*;
use crate::base::error::Error;
use crate::index::catalog::{Documentation, FileEdge, FileFacts};

/// A file of one chunk that defines and uses these names. defined: qualified names with kinds and
/// signatures.
fn file(
    path: &str,
    language: &str,
    id: u32,
    defined: &[(&str, SymbolKind, &str)],
    used: &[&str],
) -> FileRows {
    let mut rows = whole(path, language, id, 1);
    let base = rows.symbols[0].clone();
    let symbol = |(qualified, kind, signature): &(&str, SymbolKind, &str)| SymbolRow {
        name: qualified.rsplit("::").next().unwrap().to_owned(),
        qualified: (*qualified).to_owned(),
        kind: *kind,
        signature: (*signature).to_owned(),
        ..base.clone()
    };
    rows.symbols = defined.iter().map(symbol).collect();
    let reference = |name: &&str| RefRow { name: (*name).to_owned(), chunk: ChunkId(id), line: 1 };
    rows.references = used.iter().map(reference).collect();
    rows
}

/// Files a.rs to e.py: Pool is defined in b.rs, and so are some names that are no reason for an edge.
fn files() -> Vec<FileRows> {
    use SymbolKind::{Function, Method, Section, Struct};
    vec![
        file("a.rs", "rust", 0, &[], &["Pool", "acquire", "hidden_part", "go", "heading", "map"]),
        file(
            "b.rs",
            "rust",
            1,
            &[
                ("Pool", Struct, "pub struct Pool"),
                ("Pool::acquire", Method, "pub fn acquire(&self)"),
                ("hidden_part", Function, "fn hidden_part()"),
                ("go", Function, "pub fn go()"),
                ("heading", Section, "pub heading"),
                ("map", Function, "pub fn map()"),
            ],
            &["Pool"],
        ),
        // It knows no Pool, so that its acquire is that of something else.
        file("c.rs", "rust", 2, &[], &["acquire", "shared_name"]),
        file("d.rs", "rust", 3, &[("shared_name", Function, "pub fn shared_name()")], &[]),
        file("e.py", "python", 4, &[("_private", Function, "def _private()")], &["Pool"]),
        file("f.rs", "rust", 5, &[("shared_name", Function, "pub fn shared_name()")], &[]),
    ]
}

#[test]
fn an_edge_leads_to_each_file_that_defines_a_name_which_can_be_meant() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = CatalogWriter::create(&path_in(&folder)).unwrap();
    files().iter().for_each(|file| append(&mut writer, file));
    assert_eq!(writer.paths(), ["a.rs", "b.rs", "c.rs", "d.rs", "e.py", "f.rs"]);
    let edge = |from, to, weight| FileEdge { from, to, weight };
    let mut found = writer.reference_graph().unwrap();
    found.iter_mut().for_each(|edge| edge.weight = (edge.weight * 1e6).round() / 1e6);
    // Pool weighs 1, acquire and map a tenth each; shared_name is divided between two files.
    assert_eq!(found, [edge(0, 1, 1.2), edge(2, 3, 0.5), edge(2, 5, 0.5)]);

    let documented = writer.documentation().unwrap();
    let of = |path: &str| documented.get(path).copied();
    // The base of every symbol has no documentation in odd chunks.
    assert_eq!(of("b.rs"), Some(Documentation { definitions: 4, documented: 0 }));
    assert_eq!(of("e.py"), None, "nothing public");
}

#[test]
fn facts_are_replaced_kept_and_read_and_the_most_used_definition_is_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder);
    let mut writer = CatalogWriter::create(&path).unwrap();
    files().iter().for_each(|file| append(&mut writer, file));
    let facts = |path: &str, centrality| FileFacts {
        path: path.to_owned(),
        centrality,
        commits: 3,
        main_author: Some("Zoë".to_owned()),
        ..FileFacts::default()
    };
    writer.set_facts(&[facts("gone.rs", 1.0)]).unwrap();
    let rows = [facts("a.rs", 0.75), facts("c.rs", 0.25)];
    writer.set_facts(&rows).unwrap();
    assert_eq!(writer.facts().unwrap(), rows);
    writer.set_note("heads", "1").unwrap();
    writer.set_note("heads", "2").unwrap();
    writer.finish().unwrap();

    let catalog = Catalog::open(&path).unwrap();
    assert_eq!(catalog.facts().unwrap(), rows);
    assert_eq!(catalog.note("heads").unwrap().as_deref(), Some("2"));
    assert_eq!(catalog.note("other").unwrap(), None);
    let used = catalog.used_symbols(&["d.rs", "b.rs", "none.rs"]).unwrap();
    let used: Vec<(&str, f64)> =
        used.iter().map(|used| (used.symbol.name.as_str(), used.centrality)).collect();
    assert_eq!(used[..2], [("shared_name", 0.125), ("Pool", 0.75)]);
    assert_eq!(used.len(), 6, "headings are no code: {used:?}");
}

#[test]
fn an_older_catalog_has_no_facts_until_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder);
    write(&path, &files());
    let older = "drop table file_facts; update meta set value = '2' where key = 'schema'";
    duckdb::Connection::open(&path).unwrap().execute_batch(older).unwrap();
    let error = Catalog::open(&path).unwrap().facts().unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("codeintel index --full"), "{error}");
    CatalogWriter::open(&path).unwrap().finish().unwrap();
    assert_eq!(Catalog::open(&path).unwrap().facts().unwrap(), []);
}
