//! Readers get the right rows in order, also at the same time.

use super::super::{Catalog, CatalogWriter, ScopeSpec};
use super::{append, catalog, ids, path_in, whole};
use crate::base::error::Error;
use crate::base::hit::ChunkId;

fn scope(globs: &[&str], languages: &[&str]) -> ScopeSpec {
    let own = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
    ScopeSpec { globs: own(globs), languages: own(languages) }
}

#[test]
fn rows_keep_the_order_of_the_ids_and_their_repeats() {
    let (_folder, catalog) = catalog(&[whole("a.rs", "rust", 0, 600)]);
    let lists: [Vec<u32>; 5] = [
        vec![],
        vec![7, 3, 7, 599, 0, 3],
        (0..257).rev().collect(),
        (0..600).map(|i| i * 7 % 600).collect(),
        vec![42; 300],
    ];
    for list in lists {
        let found: Vec<u32> =
            catalog.rows(&ids(&list)).unwrap().rows.iter().map(|row| row.id.0).collect();
        assert_eq!(found, list);
    }
}

#[test]
fn every_number_of_rows_up_to_a_full_statement_is_found() {
    let (_folder, catalog) = catalog(&[whole("a.rs", "rust", 0, 300)]);
    for n in 1..300 {
        let wanted: Vec<ChunkId> = (0..n).map(ChunkId).collect();
        assert_eq!(catalog.rows(&wanted).unwrap().rows.len(), n as usize);
    }
}

#[test]
fn hydration_says_how_much_sql_it_ran() {
    let (_folder, catalog) = catalog(&[whole("a.rs", "rust", 0, 300)]);
    assert_eq!(catalog.rows(&[]).unwrap().sql_bytes, 0);
    let few = catalog.rows(&ids(&[1, 2])).unwrap().sql_bytes;
    let as_few = catalog.rows(&ids(&[1, 2, 3, 4])).unwrap().sql_bytes;
    let many: Vec<u32> = (0..300).collect();
    assert_eq!(few, as_few, "one prepared statement serves both");
    assert!(catalog.rows(&ids(&many)).unwrap().sql_bytes > 2 * few);
}

#[test]
fn symbols_of_chunks_come_once_each_in_the_order_of_the_chunks() {
    let file = whole("a.rs", "rust", 0, 600);
    let (_folder, catalog) = catalog(std::slice::from_ref(&file));
    let wanted: Vec<u32> = (0..600).rev().filter(|id| id % 3 == 0).chain([9, 9, 9999]).collect();
    let expected: Vec<_> = file.symbols.iter().filter(|s| s.chunk.0 % 3 == 0).cloned().collect();
    assert_eq!(catalog.symbols_of(&ids(&wanted)).unwrap(), expected);
    assert_eq!(catalog.symbols_of(&[]).unwrap(), []);
}

#[test]
fn a_chunk_that_is_not_there_is_named() {
    let (_folder, catalog) = catalog(&[whole("a.rs", "rust", 0, 5)]);
    let error = catalog.rows(&ids(&[1, 77, 2])).unwrap_err();
    assert!(matches!(error, Error::IndexCorrupt { .. }), "{error}");
    assert!(error.to_string().contains("chunk 77"), "{error}");
}

#[test]
fn a_chunk_belongs_to_the_file_that_holds_it() {
    let files = [
        whole("a.rs", "rust", 0, 2),
        whole("b-empty.rs", "rust", 2, 0),
        whole("c.py", "python", 2, 3),
        whole("z-empty.rs", "rust", 2, 0),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut writer = CatalogWriter::create(&path_in(&folder)).unwrap();
    for (file, first) in files.iter().zip([0, 2, 2, 5]) {
        let mut file = file.clone();
        file.file.first_chunk = ChunkId(first);
        append(&mut writer, &file);
    }
    append(&mut writer, &whole("gone.rs", "rust", 5, 1));
    append(&mut writer, &whole("last.rs", "rust", 6, 1));
    writer.delete_files(&["gone.rs".to_owned()]).unwrap();
    writer.finish().unwrap();
    let catalog = Catalog::open(&path_in(&folder)).unwrap();
    let of = |id| catalog.file_of(ChunkId(id)).unwrap().map(|file| file.path.as_str());
    let expected = [Some("a.rs"), Some("a.rs"), Some("c.py"), Some("c.py"), Some("c.py"), None];
    assert_eq!([0, 1, 2, 3, 4, 5].map(of), expected);
    assert_eq!([6, 7, u32::MAX].map(of), [Some("last.rs"), None, None]);
    let rows = catalog.rows(&ids(&[4, 0])).unwrap().rows;
    let files: Vec<_> = rows.iter().map(|row| (row.path.as_str(), row.language.as_str())).collect();
    assert_eq!(files, [("c.py", "python"), ("a.rs", "rust")]);
}

#[test]
fn warming_changes_no_answer_whatever_is_in_the_catalog() {
    for chunks in [0, 1, 19, 20, 21, 500] {
        let (_folder, catalog) = catalog(&[whole("a.rs", "rust", 0, chunks)]);
        catalog.warm().unwrap();
        let wanted: Vec<u32> = (0..chunks).collect();
        assert_eq!(catalog.rows(&ids(&wanted)).unwrap().rows.len(), chunks as usize);
    }
}

#[test]
fn many_threads_read_one_catalog_and_get_their_own_rows() {
    let (_folder, catalog) = catalog(&[whole("a.rs", "rust", 0, 2000)]);
    std::thread::scope(|threads| {
        for seed in 0..24_u32 {
            let catalog = &catalog;
            threads.spawn(move || {
                for round in 0..20 {
                    let wanted: Vec<u32> =
                        (0..20).map(|i| (seed * 977 + round * 131 + i * 37) % 2000).collect();
                    let rows = catalog.rows(&ids(&wanted)).unwrap().rows;
                    for (row, id) in rows.iter().zip(&wanted) {
                        assert_eq!(row.id.0, *id);
                        assert!(row.text.starts_with(&format!("fn name_{id}()")));
                    }
                }
            });
        }
    });
}

#[test]
fn two_readers_open_one_file_at_once() {
    let (folder, first) = catalog(&[whole("a.rs", "rust", 0, 5)]);
    let second = Catalog::open(&path_in(&folder)).unwrap();
    assert_eq!(first.files().unwrap(), second.files().unwrap());
}

#[test]
fn a_scope_is_the_live_chunks_of_the_files_that_match() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(&folder);
    let mut writer = CatalogWriter::create(&path).unwrap();
    append(&mut writer, &whole("src/a.rs", "rust", 0, 2));
    append(&mut writer, &whole("src/b.py", "python", 2, 2));
    append(&mut writer, &whole("tests/c.rs", "rust", 4, 1));
    append(&mut writer, &whole("src/gone.rs", "rust", 5, 1));
    append(&mut writer, &whole("README.md", "markdown", 6, 1));
    writer.delete_files(&["src/gone.rs".to_owned()]).unwrap();
    writer.finish().unwrap();
    let catalog = Catalog::open(&path).unwrap();
    let check = |globs: &[&str], languages: &[&str], expected: &[u32]| {
        let set = catalog.scope(&scope(globs, languages)).unwrap();
        assert_eq!(set.universe(), 7);
        assert_eq!(set.iter().collect::<Vec<_>>(), ids(expected), "{globs:?} {languages:?}");
    };
    check(&[], &[], &[0, 1, 2, 3, 4, 6]);
    check(&["*.rs"], &[], &[0, 1, 4]);
    check(&["src/**", "!*.py"], &[], &[0, 1]);
    check(&["!src"], &["Rust"], &[4]);
    check(&[], &["rust", "MARKDOWN"], &[0, 1, 4, 6]);
    check(&["nothing/**"], &[], &[]);
}

#[test]
fn a_language_that_is_not_here_is_answered_with_the_nearest() {
    let (_folder, catalog) =
        catalog(&[whole("a.rs", "rust", 0, 1), whole("b.ts", "typescript", 1, 1)]);
    let message = catalog.scope(&scope(&[], &["typscript"])).unwrap_err().to_string();
    let [near, far] = ["typescript, ", "rust"].map(|word| message.find(word));
    assert!(near.is_some() && near < far, "{message}");
    let error = catalog.scope(&scope(&["[a"], &[])).unwrap_err();
    assert!(matches!(error, Error::Argument { name: "glob", .. }), "{error}");
}

#[test]
fn languages_are_counted_the_most_spoken_first() {
    let (_folder, catalog) = catalog(&[whole("a.py", "python", 0, 1), whole("a.rs", "rust", 1, 5)]);
    let languages = catalog.languages().unwrap();
    let rows: Vec<_> = languages.iter().map(|l| (l.language.as_str(), l.files, l.chunks)).collect();
    assert_eq!(rows, [("rust", 1, 5), ("python", 1, 1)]);
}
