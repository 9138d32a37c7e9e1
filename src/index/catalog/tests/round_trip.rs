//! A catalog returns what was written, and nothing else.

use proptest::prelude::*;

use super::super::{Catalog, CatalogWriter, ChunkRow, FileRows, SymbolName};
use super::{append, catalog, chunk, ids, path_in, shown, whole, write};
use crate::base::error::Error;
use crate::base::hit::ChunkId;

#[test]
fn everything_written_comes_back() {
    let files = [whole("a.rs", "rust", 0, 3), whole("b/c.py", "python", 3, 0)];
    let (_folder, catalog) = catalog(&files);
    assert_eq!(catalog.files().unwrap(), files.clone().map(|f| f.file));
    assert_eq!(catalog.file("b/c.py").unwrap().as_ref(), Some(&files[1].file));
    assert_eq!(catalog.file("b").unwrap(), None);
    assert_eq!(catalog.rows(&ids(&[0, 1, 2])).unwrap().rows, shown(&files[0].chunks));
    assert_eq!(catalog.rows_in(0..99).unwrap(), files[0].chunks);
    assert_eq!(catalog.symbols_of(&ids(&[2, 0])).unwrap()[1], files[0].symbols[2]);
    assert_eq!(catalog.symbols_in("a.rs").unwrap(), files[0].symbols);
    assert_eq!(catalog.symbols_named("name_1").unwrap(), files[0].symbols[1..2]);
    assert_eq!(catalog.references("called", 2).unwrap(), files[0].references[..2]);
    let hashes: Vec<_> = files[0].chunks.iter().map(|c| (c.id, c.hash)).collect();
    assert_eq!(catalog.chunk_hashes().unwrap(), hashes);
    let name = |s: &super::super::SymbolRow| SymbolName {
        name: s.name.clone(),
        qualified: s.qualified.clone(),
        kind: s.kind,
        chunk: s.chunk,
    };
    let names: Vec<_> = files[0].symbols.iter().map(name).collect();
    assert_eq!(catalog.symbols().unwrap(), names);
    let counts = catalog.counts().unwrap();
    assert_eq!((counts.files, counts.chunks, counts.symbols, counts.references), (2, 3, 3, 3));
    assert_eq!(counts.source_bytes, 3000);
}

#[test]
fn a_replaced_file_gets_new_ids_and_the_old_ones_stay_holes() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder);
    let kept = whole("kept.rs", "rust", 0, 2);
    let old = [kept.clone(), whole("new.rs", "rust", 2, 3), whole("gone.rs", "rust", 5, 4)];
    write(&path, &old);
    let mut writer = CatalogWriter::open(&path).unwrap();
    let gone = ["gone.rs", "new.rs", "never.rs"].map(str::to_owned);
    assert_eq!(writer.delete_files(&gone).unwrap(), ids(&[2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(writer.next_chunk(), ChunkId(9));
    let new = whole("new.rs", "rust", 9, 1);
    append(&mut writer, &new);
    writer.finish().unwrap();

    let catalog = Catalog::open(&path).unwrap();
    assert_eq!(catalog.universe(), 10);
    assert_eq!(catalog.live().unwrap().iter().collect::<Vec<_>>(), ids(&[0, 1, 9]));
    let spans = catalog.file_spans().unwrap();
    let of_file: Vec<_> = spans.iter().map(|s| (s.path.as_str(), s.first_chunk.0)).collect();
    assert_eq!(of_file, [("kept.rs", 0), ("new.rs", 9)]);
    assert_eq!(catalog.rows_in(0..10).unwrap().len(), 3);
    assert_eq!(catalog.rows(&ids(&[9])).unwrap().rows, shown(&new.chunks));
    let counts = catalog.counts().unwrap();
    assert_eq!((counts.files, counts.chunks, counts.symbols, counts.references), (2, 3, 3, 3));
}

#[test]
fn the_last_ids_are_not_given_again_after_a_delete() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder);
    write(&path, &[whole("a.rs", "rust", 0, 2), whole("b.rs", "rust", 2, 2)]);
    let mut writer = CatalogWriter::open(&path).unwrap();
    writer.delete_files(&["b.rs".to_owned()]).unwrap();
    writer.finish().unwrap();
    assert_eq!(Catalog::open(&path).unwrap().universe(), 4);
    assert_eq!(CatalogWriter::open(&path).unwrap().next_chunk(), ChunkId(4));
}

#[test]
fn deletes_and_appends_may_alternate_before_finish() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = CatalogWriter::create(&path_in(&folder)).unwrap();
    for round in 0..20 {
        append(&mut writer, &whole("same.rs", "rust", round * 5, 5));
        if round < 19 {
            let removed = writer.delete_files(&["same.rs".to_owned()]).unwrap();
            assert_eq!(removed.len(), 5, "round {round}");
        }
    }
    writer.finish().unwrap();
    let catalog = Catalog::open(&path_in(&folder)).unwrap();
    let left: Vec<u32> = catalog.rows_in(0..1000).unwrap().iter().map(|row| row.id.0).collect();
    assert_eq!(left, [95, 96, 97, 98, 99]);
    assert_eq!(catalog.counts().unwrap().references, 5);
}

#[test]
fn a_wrong_number_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = CatalogWriter::create(&path_in(&folder)).unwrap();
    append(&mut writer, &whole("a.rs", "rust", 0, 2));
    let mut other_path = whole("c.rs", "rust", 2, 2);
    other_path.chunks[1].path = "d.rs".to_owned();
    let mut foreign_symbol = whole("c.rs", "rust", 2, 2);
    foreign_symbol.symbols[0].chunk = ChunkId(1);
    let mut short = whole("c.rs", "rust", 2, 2);
    short.chunks.pop();
    let gap = whole("c.rs", "rust", 3, 2);
    let twice = whole("a.rs", "rust", 2, 2);
    for bad in [other_path, foreign_symbol, short, gap, twice] {
        let path = bad.file.path.clone();
        let error = writer.append_file(bad).unwrap_err();
        assert!(matches!(error, Error::Internal { what: "catalog", .. }), "{error}");
        assert!(error.to_string().contains(&path), "{error}");
    }
    append(&mut writer, &whole("c.rs", "rust", 2, 2));
    writer.finish().unwrap();
    assert_eq!(Catalog::open(&path_in(&folder)).unwrap().universe(), 4);
}

#[test]
fn texts_of_a_megabyte_and_awkward_bytes_survive() {
    let awkward =
        ["", "\0", "a\0b\0", "it's \"quoted\" -- ; drop table chunks", "日本語 👩‍👩‍👧 \u{feff}"];
    let mut file = whole("odd \" ' \u{7f} name\n.rs", "rust", 0, 7);
    for (chunk, text) in file.chunks.iter_mut().zip(awkward) {
        chunk.text = text.to_owned();
        chunk.header = format!("{text}\n{text}");
        chunk.doc = Some(text.to_owned());
        chunk.signature = Some(text.to_owned());
        chunk.enclosing = vec![text.to_owned(), String::new()];
    }
    file.chunks[5].text = "line with \0 and é\n".repeat(60_000);
    file.chunks[6].text = "x".repeat(1 << 20);
    let (_folder, catalog) = catalog(std::slice::from_ref(&file));
    assert_eq!(catalog.rows(&ids(&[0, 1, 2, 3, 4, 5, 6])).unwrap().rows, shown(&file.chunks));
    assert_eq!(catalog.rows_in(0..7).unwrap(), file.chunks);
}

#[test]
fn one_file_is_left_when_it_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    write(&path_in(&folder), &[whole("a.rs", "rust", 0, 5000)]);
    let left: Vec<_> =
        folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["catalog.duckdb"]);
}

#[test]
fn create_refuses_to_overwrite_and_open_to_create() {
    let folder = tempfile::tempdir().unwrap();
    let missing = CatalogWriter::open(&path_in(&folder)).err().unwrap();
    assert!(matches!(missing, Error::Io { action: "open", .. }), "{missing}");
    write(&path_in(&folder), &[]);
    let there = CatalogWriter::create(&path_in(&folder)).err().unwrap();
    assert!(matches!(there, Error::Io { action: "create", .. }), "{there}");
}

fn any_chunk() -> impl Strategy<Value = ChunkRow> {
    let text = || any::<String>();
    let numbers = any::<[u32; 5]>();
    let optional = (proptest::option::of(any::<String>()), proptest::option::of(any::<String>()));
    let names = proptest::collection::vec(any::<String>(), 0..4);
    (numbers, text(), text(), text(), names, optional, any::<[u8; 32]>()).prop_map(
        |(n, language, header, text, enclosing, (signature, doc), hash)| ChunkRow {
            start_line: n[0],
            end_line: n[1],
            start_byte: n[2],
            end_byte: n[3],
            tokens: n[4],
            language,
            header,
            text,
            enclosing,
            signature,
            doc,
            hash,
            ..chunk("", "", 0)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_chunks_of_any_file_survive(
        mut chunks in proptest::collection::vec(any_chunk(), 0..6),
        path in any::<String>(),
        times in any::<(i64, i64, u64)>(),
        commit in proptest::option::of(any::<String>()),
    ) {
        let mut file = whole(&path, "rust", 0, chunks.len() as u32).file;
        (file.modified_ns, file.indexed_at_s, file.size_bytes) = times;
        (file.commit_id, file.author, file.commit_time_s) = (commit.clone(), commit, None);
        for (id, chunk) in (0..).zip(&mut chunks) {
            (chunk.id, chunk.path) = (ChunkId(id), path.clone());
            chunk.language = "rust".to_owned();
        }
        let written = FileRows { file, chunks, symbols: vec![], references: vec![], occurrences: vec![] };
        let (_folder, catalog) = catalog(std::slice::from_ref(&written));
        prop_assert_eq!(catalog.files().unwrap(), vec![written.file]);
        let all: Vec<ChunkId> = written.chunks.iter().map(|chunk| chunk.id).collect();
        prop_assert_eq!(catalog.rows(&all).unwrap().rows, shown(&written.chunks));
        prop_assert_eq!(catalog.rows_in(0..9).unwrap(), written.chunks);
    }
}
