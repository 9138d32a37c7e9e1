//! Looking up names: the ladder, typing mistakes, scopes, and files on disk.

use std::fs;

use super::*;
use crate::base::error::Error;
use crate::base::hit::{ChunkSet, Hit, Score};
use crate::corpus::chunk::SymbolKind::*;
use crate::index::QueryText;

const SYMBOLS: &[(&str, &str, SymbolKind)] = &[
    ("acquire", "net::Pool::acquire", Function),
    ("acquire", "db::Lock::acquire", Function),
    ("Pool", "net::Pool", Function),
    ("pool", "net::pool", Section),
    ("ConnectionPool", "net.http.ConnectionPool", Function),
    ("connection_pool_size", "config.connection_pool_size", Module),
    ("HTTPServer", "HTTPServer", Function),
    ("parse_config_file", "config::parse_config_file", Function),
    ("read", "io::read", Function),
    ("tokenizer", "nlp.tokenizer", Function),
    ("größe", "", Function),
];

fn index() -> SymbolIndex {
    let entry =
        |(i, (name, qualified, kind)): (usize, &(&'static str, &'static str, SymbolKind))| {
            SymbolEntry { name, qualified, id: ChunkId(i as u32), kind: *kind }
        };
    SymbolIndex::build(SYMBOLS.iter().enumerate().map(entry)).unwrap()
}

fn search(index: &SymbolIndex, query: &str) -> Vec<Hit> {
    index.search(&QueryText::new(query), 20, None, penalty).unwrap()
}

fn penalty(kind: SymbolKind) -> Score {
    match kind {
        Section => 0.003,
        Module => 0.002,
        _ => 0.0,
    }
}

fn ids(hits: &[Hit]) -> Vec<u32> {
    hits.iter().map(|hit| hit.id.0).collect()
}

#[test]
fn a_query_finds_what_it_names_in_the_order_of_the_ladder() {
    let index = index();
    for (query, expected) in [
        ("acquire", &[0, 1][..]),
        ("Acquire", &[0, 1]),
        ("Pool::acquire", &[0]),
        ("pool.acquire", &[0]),
        ("net::Pool::acquire", &[0]),
        ("Nowhere::acquire", &[0, 1]),
        ("Pool", &[2, 3, 4, 5]),
        ("pool", &[3, 2, 4, 5]),
        ("connection_pool", &[4, 5]),
        ("connectionpool", &[4, 5]),
        ("connecton_pool", &[4]),
        ("acquier", &[0, 1]),
        ("http_server", &[6]),
        ("httpServer()", &[6]),
        ("parse_conf", &[7]),
        ("config_file", &[7]),
        ("read", &[8]),
        ("GRÖSSE", &[]),
        ("Größe", &[10]),
        ("", &[]),
        ("?!", &[]),
    ] {
        assert_eq!(ids(&search(&index, query)), expected, "{query:?}");
    }
}

#[test]
fn the_rungs_are_where_they_are_documented() {
    let index = index();
    let score = |query: &str, id: u32| {
        search(&index, query).iter().find(|hit| hit.id.0 == id).map(|hit| hit.score)
    };
    assert_eq!(score("Pool", 2), Some(rung::EXACT));
    assert_eq!(score("POOL", 2), Some(rung::CASE));
    assert_eq!(score("pool", 3), Some(rung::EXACT - penalty(Section)));
    assert_eq!(score("http_server", 6), Some(rung::STYLE));
    assert_eq!(score("http server", 6), Some(rung::JOINED));
    assert_eq!(score("net::pool::acquire", 0), Some(rung::EXACT));
    assert_eq!(score("pool::acquire", 0), Some(rung::QUALIFIED));
    assert_eq!(score("tree::acquire", 0), Some(rung::LAST_SEGMENT));
    assert_eq!(score("acqiure", 0), Some(rung::EDIT));
    let prefix = score("connectionpool", 5).unwrap();
    assert!(prefix > rung::SUBWORD && prefix < rung::PREFIX);
    let part = score("file", 7).unwrap();
    assert!(part > rung::EDIT && part <= rung::SUBWORD);
}

fn index_of(name: &str) -> SymbolIndex {
    let entry = SymbolEntry { name, qualified: "", id: ChunkId(0), kind: Function };
    SymbolIndex::build([entry]).unwrap()
}

#[test]
fn one_edit_is_one_character_more_fewer_or_other_or_two_swapped() {
    for (word, name, expected) in [
        ("pool", "pol", true),
        ("pool", "ool", true),
        ("pool", "poo", true),
        ("pool", "spool", true),
        ("pool", "tool", true),
        ("pool", "poll", true),
        ("pool", "opol", true),
        ("pool", "polo", true),
        ("pool", "pl", false),
        ("pool", "loop", false),
        ("pool", "spools", false),
        ("groesse", "grösse", false),
        ("grosse", "grösse", true),
        ("größe", "grösse", false),
        ("gröse", "größe", true),
        ("gröeß", "größe", true),
        ("größee", "größe", true),
        ("ДобрУе", "добре", true),
        // A word of fewer than four characters is not corrected.
        ("poo", "pool", true),
        ("poo", "too", false),
    ] {
        let found = search(&index_of(name), word);
        assert_eq!(!found.is_empty(), expected, "{word} and {name}");
    }
    let long = "a".repeat(63);
    assert!(search(&index_of(&long[1..]), &long).is_empty(), "beyond the maximum");
}

proptest::proptest! {
    #[test]
    fn one_edit_agrees_with_the_definition(word in "[abö]{4,7}", name in "[abö]{1,8}") {
        let hits = search(&index_of(&name), &word);
        let expected = match strsim::osa_distance(&word, &name) {
            0 => Some(rung::EXACT),
            1 if !name.starts_with(&word) => Some(rung::EDIT),
            // A prefix ranks higher, with a distance or without.
            _ => name.starts_with(&word).then(|| hits[0].score),
        };
        proptest::prop_assert_eq!(hits.first().map(|hit| hit.score), expected);
    }
}

#[test]
fn words_of_a_question_count_only_when_they_are_meant_as_names() {
    let index = index();
    for (query, expected) in [
        ("how do I read a file", &[][..]),
        ("where is the connection pool", &[3, 2, 4]),
        ("how does Pool::acquire() work?", &[0]),
        ("which tokenizer is used", &[9]),
        ("tokenizers in use", &[]),
        ("what calls parse_config_file and why", &[7]),
        ("read the HTTPServer", &[6]),
    ] {
        let mut found = ids(&search(&index, query));
        let mut expected = expected.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{query:?}");
    }
}

#[test]
fn a_scope_is_complete_and_nothing_else() {
    let index = index();
    for query in ["acquire", "pool", "connection_pool", "acquier"] {
        let all = search(&index, query);
        for step in [1, 2, 3] {
            let mut set = ChunkSet::none(SYMBOLS.len());
            (0..SYMBOLS.len()).step_by(step).for_each(|id| set.insert(ChunkId(id as u32)));
            let expected: Vec<Hit> =
                all.iter().filter(|hit| set.contains(hit.id)).take(2).copied().collect();
            let found = index.search(&QueryText::new(query), 2, Some(&set), penalty).unwrap();
            assert_eq!(found, expected, "{query} {step}");
        }
    }
}

#[test]
fn names_are_known_exactly_and_counted_once() {
    let index = index();
    assert!(index.contains("Pool") && index.contains("pool") && !index.contains("POOL"));
    assert!(!index.contains("http_server") && !index.contains(""));
    assert_eq!((index.n(), index.names()), (11, 10));
    let empty = SymbolIndex::build([]).unwrap();
    assert_eq!((empty.n(), empty.names(), search(&empty, "pool").len()), (0, 0, 0));
}

#[test]
fn many_definitions_of_one_name_are_ordered_by_id() {
    let entry =
        |id| SymbolEntry { name: "new", qualified: "T::new", id: ChunkId(id), kind: Method };
    let index = SymbolIndex::build((0..500).rev().map(entry)).unwrap();
    assert_eq!(ids(&search(&index, "new")), (0..20).collect::<Vec<_>>());
}

#[test]
fn what_is_saved_is_what_is_opened_and_the_order_of_building_does_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let index = index();
    index.save(folder.path()).unwrap();
    let again = SymbolIndex::open(folder.path()).unwrap();
    for query in ["acquire", "pool", "Pool::acquire", "connecton_pool", "config_file"] {
        assert_eq!(search(&again, query), search(&index, query));
    }
    assert_eq!(again.names(), index.names());
    let bytes = fs::read(folder.path().join("symbols.fst")).unwrap();
    let entry =
        |(i, (name, qualified, kind)): (usize, &(&'static str, &'static str, SymbolKind))| {
            SymbolEntry { name, qualified, id: ChunkId(i as u32), kind: *kind }
        };
    let reversed = SymbolIndex::build(SYMBOLS.iter().enumerate().rev().map(entry)).unwrap();
    reversed.save(folder.path()).unwrap();
    assert_eq!(fs::read(folder.path().join("symbols.fst")).unwrap(), bytes);
}

#[test]
fn kinds_keep_their_numbers_on_disk() {
    let words: Vec<&str> = SymbolKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let expected = "function method class struct enum trait module constant macro type section \
                    key rule field variant";
    assert_eq!(words.join(" "), expected, "add kinds at the end, or raise the format");
}

#[test]
fn a_file_of_the_format_before_has_penalties_in_place_of_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("symbols.fst");
    // The kinds with the positions 0, 1 and 2, which were penalties then.
    let kinds = [Function, Method, Class].into_iter().zip(0..);
    let entries =
        kinds.map(|(kind, id)| SymbolEntry { name: "pool", qualified: "", id: ChunkId(id), kind });
    SymbolIndex::build(entries).unwrap().save(folder.path()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[..8].copy_from_slice(b"CISYMBL1");
    fs::write(&path, bytes).unwrap();
    let hits = search(&SymbolIndex::open(folder.path()).unwrap(), "pool");
    let expected = [Function, Module, Section].map(|kind| rung::EXACT - penalty(kind));
    for (hit, id) in hits.iter().zip([0, 1, 2]) {
        assert_eq!((hit.id.0, hit.score), (id, expected[id as usize]));
    }
    assert_eq!(hits.len(), 3);
}

#[test]
fn a_damaged_file_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    index().save(folder.path()).unwrap();
    let path = folder.path().join("symbols.fst");
    let whole = fs::read(&path).unwrap();
    let refused = |how: &str| match SymbolIndex::open(folder.path()) {
        Err(Error::IndexCorrupt { path, .. }) => assert!(path.ends_with("symbols.fst"), "{how}"),
        Err(other) => panic!("{how}: {other}"),
        Ok(_) => panic!("{how}: opened"),
    };
    for length in [0, 1, 7, 8, 100, 127, 128, 129, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        refused(&format!("cut to {length}"));
    }
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&path, bytes).unwrap();
        refused(&format!("flipped at {at}"));
    }
    fs::remove_file(&path).unwrap();
    refused("missing");
}
