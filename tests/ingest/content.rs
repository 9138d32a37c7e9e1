//! The content of an index: every line of every file once, with the same chunk id in each part.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use codeintel::embedding::engine::{EmbedRequest, PromptKind};
use codeintel::index::catalog::ChunkRow;
use codeintel::index::{DenseIndex, LexicalIndex, QueryText, SymbolIndex};
use codeintel::search::ChannelName;

use crate::support::{Place, ask, cx, only, overflow_token, paths, rust_file};

fn varied() -> Place {
    let place = Place::uncached(&[]);
    for i in 0..4 {
        place.write(&format!("src/file_{i}.rs"), rust_file(i, 7));
    }
    place
        .write("no_newline_at_end.py", "def first():\n    return 1\n\n\ndef last():\n    return 2");
    place.write("windows.md", "# Title\r\n\r\nSome words.\r\n\r\n## Second\r\n\r\nMore words.\r\n");
    place.write("unicode.txt", "Grüße, κόσμε, 世界 🌍\n\n\n\ntail after blank lines\n");
    place.write("one_line.json", "{\"key\": [1, 2, 3]}");
    place.write("no_language.weird", "words\n\n\n".repeat(60));
    place.write("broken.rs", "fn broken( {{{ let x = ;\n}\n impl for struct\n");
    place
}

/// Checks the current version against the files on disk, and its parts against each other.
fn check(place: &Place) {
    let version = place.version();
    let folder = &version.folder;
    let catalog = place.catalog();
    let dense = DenseIndex::open(&folder.dense(), version.manifest.model.dim).unwrap();
    let lexical = LexicalIndex::open(&folder.lexical()).unwrap();
    let symbols = SymbolIndex::open(&folder.symbols()).unwrap();
    let total = version.manifest.total_chunks;
    assert_eq!((catalog.universe(), dense.n()), (total, total));
    let live = catalog.live().unwrap();
    assert_eq!(live.count(), version.manifest.live_chunks);
    assert_eq!(lexical.n(), live.count(), "the documents are the live chunks");

    let rows = catalog.rows_in(0..total as u32).unwrap();
    assert_eq!(rows.len(), live.count());
    let mut by_path: HashMap<&str, Vec<&ChunkRow>> = HashMap::new();
    for row in &rows {
        assert!(live.contains(row.id));
        by_path.entry(&row.path).or_default().push(row);
    }
    let files = catalog.files().unwrap();
    assert_eq!(files.len(), version.manifest.files);
    for file in &files {
        let text = fs::read_to_string(place.repo().join(&file.path)).unwrap();
        let chunks = &by_path[file.path.as_str()];
        let joined: String = chunks.iter().map(|row| row.text.as_str()).collect();
        assert_eq!(joined, text, "{}", file.path);
        let mut line = 1;
        for row in chunks {
            assert_eq!(row.start_line, line, "{}: no line is missing or repeated", file.path);
            assert!(row.end_line >= row.start_line);
            line = row.end_line + 1;
        }
        assert_eq!(line as usize - 1, text.lines().count(), "{}", file.path);
        let ids: Vec<u32> = chunks.iter().map(|row| row.id.0).collect();
        let first = file.first_chunk.0;
        assert_eq!(ids, (first..first + file.chunk_count).collect::<Vec<_>>(), "ids have no gap");
    }

    let texts: Vec<String> = rows.iter().map(ChunkRow::embedded_text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let request = EmbedRequest::bulk(&texts, PromptKind::Document);
    let embedded = place.engine().embed(request, &cx()).unwrap();
    for (row, expected) in rows.iter().zip(embedded.vectors.rows()) {
        let vector = dense.vector(row.id).unwrap();
        let difference =
            vector.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-4, "row {} differs from the vector of its text", row.id.0);
    }

    let names = catalog.symbols().unwrap();
    assert!(!names.is_empty());
    for symbol in names.iter().filter(|symbol| symbol.name.contains('_')) {
        let query = QueryText::new(&symbol.name);
        let hits = lexical.search(&query, total, Some(&live)).unwrap();
        assert!(hits.iter().any(|hit| hit.id == symbol.chunk), "lexical: {symbol:?}");
        let hits = symbols.search(&query, 1, None, |_| 0.0).unwrap();
        assert_eq!(hits[0].id, symbol.chunk, "symbols: {symbol:?}");
        let row = rows.iter().find(|row| row.id == symbol.chunk).unwrap();
        assert!(row.text.contains(&symbol.name), "catalog: {symbol:?}");
    }
}

#[test]
fn every_line_is_in_one_chunk_which_has_the_same_id_in_every_part() {
    let mut place = varied();
    place.settings.chunk.tokens_max = 64;
    let report = place.index();
    assert_eq!(report.files, 10);
    assert!(report.chunks > 30, "{report:?}");
    assert_eq!((report.chunks_written, report.chunks_embedded), (report.chunks, report.chunks));
    let manifest = place.version().manifest;
    assert_eq!((manifest.total_chunks, manifest.live_chunks), (report.chunks, report.chunks));
    check(&place);

    place.write("src/file_1.rs", rust_file(100, 5));
    place.write("src/added.rs", rust_file(101, 3));
    place.remove("src/file_2.rs");
    place.index();
    let manifest = place.version().manifest;
    assert!(manifest.base_chunks < manifest.total_chunks, "the second version has a delta");
    assert!(manifest.live_chunks < manifest.total_chunks, "and holes");
    check(&place);
}

#[test]
fn a_file_that_keeps_changing_is_indexed_in_one_of_its_states() {
    let place = Place::uncached(&[("still.rs", "fn still() {}\n")]);
    // Each line of a state has its number. All states have the same length and span several pages.
    let state = |n: usize| format!("// state {n:08}\n").repeat(600);
    place.write("busy.rs", state(0));
    place.index();
    let stop = AtomicBool::new(false);
    let check = || {
        let catalog = place.catalog();
        let rows = catalog.rows_in(0..catalog.universe() as u32).unwrap();
        let busy = rows.into_iter().filter(|row| row.path == "busy.rs");
        let text: String = busy.map(|row| row.text).collect();
        let first = text.lines().next().expect("the file is always indexed").to_owned();
        assert!(text.lines().all(|line| line == first), "two states in one text");
        assert_eq!(text.lines().count(), 600);
        first
    };
    let mut seen = std::collections::HashSet::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::os::unix::fs::FileExt;
            let file = fs::File::options().write(true).open(place.repo().join("busy.rs")).unwrap();
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                file.write_all_at(state(n).as_bytes(), 0).unwrap();
                std::thread::sleep(Duration::from_millis([0, 0, 0, 25][n % 4]));
            }
        });
        for _ in 0..8 {
            place.index();
            seen.insert(check());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(seen.len() > 1, "all versions had the same state");
    place.index();
    let last = fs::read_to_string(place.repo().join("busy.rs")).unwrap();
    assert_eq!(
        check(),
        last.lines().next().unwrap(),
        "the last state is indexed once the file rests"
    );
}

#[test]
fn an_index_says_when_cosines_rank_otherwise_than_the_model_wants() {
    let models = Place::new(&[]);
    for (similarity, warned) in [("dot", false), ("manhattan", true)] {
        let text = format!(r#"{{"similarity_fn_name": "{similarity}"}}"#);
        let model = models.edited_model("bert", similarity, |folder| {
            fs::write(folder.join("config_sentence_transformers.json"), text).unwrap();
        });
        let place = Place::with_model(&[("a.py", "def first():\n    return 1\n")], &model);
        let cx = cx();
        place.ingest().run(&[place.repo().to_owned()], false, &cx).unwrap();
        let warnings = cx.report().warnings;
        assert_eq!(warnings.len(), usize::from(warned), "{warnings:?}");
        for warning in warnings {
            assert_eq!(warning.code, "similarity-replaced");
            assert!(warning.message.contains("manhattan"), "{}", warning.message);
        }
    }
}

#[test]
fn a_chunk_that_the_model_cannot_embed_stays_without_a_vector_and_ends_no_run() {
    let models = Place::new(&[]);
    let model = models.edited_model("bert", "overflows", |folder| overflow_token(folder, "python"));
    let bad = "def is_python(name):\n    return name\n";
    let files = [("a.py", "def first():\n    return 1\n"), ("b.py", bad), ("c.py", "LAST = 3\n")];
    let place = Place::with_model(&files, &model);
    let cx = cx();
    let report = place.ingest().run(&[place.repo().to_owned()], false, &cx).unwrap();
    assert_eq!((report.files, report.chunks_written), (3, 3));
    let warnings = cx.report().warnings;
    let message = &warnings.iter().find(|warning| warning.code == "not-embedded").unwrap().message;
    for part in ["b.py lines 1 to 2", "not a finite number"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let searcher = place.searcher();
    let dense = ask(&searcher, &only(place.query("def first", 5), &[ChannelName::Dense]));
    let found = paths(&dense);
    assert!(found.contains(&"a.py") && found.contains(&"c.py"), "{found:?}");
    assert_ne!(found[0], "b.py", "no query is near to a chunk without a vector");
    let lexical = ask(&searcher, &only(place.query("is_python", 5), &[ChannelName::Lexical]));
    assert_eq!(paths(&lexical), ["b.py"]);
    place.write("d.py", "NEW = 4\n");
    assert_eq!(place.index().files, 4, "the next run also ends");
}
