//! Searching a symbol index: the definitions that a query names, each on its rung.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use fst::{IntoStreamer, Streamer};
use levenshtein_automata::LevenshteinAutomatonBuilder;

use crate::base::error::Result;
use crate::base::hit::{ChunkId, ChunkSet, Hit, Score, TopK};
use crate::corpus::chunk::SymbolKind;
use crate::index::QueryText;

use super::common::{is_common, looks_like_identifier};
use super::store::{Entry, SymbolIndex};
use super::{folded, lower, parts, reversed, segments};

/// The ladder of scores.
pub mod rung {
    use crate::base::hit::Score;

    /// The name itself, or the whole qualified path.
    pub const EXACT: Score = 1.0;
    /// The end of a qualified path: `Pool::acquire` for `net::Pool::acquire`.
    pub const QUALIFIED: Score = 0.98;
    /// The name, ignoring case.
    pub const CASE: Score = 0.95;
    /// The name in another style: `http_server` for `HttpServer`.
    pub const STYLE: Score = 0.9;
    /// The words of a query as one name.
    pub const JOINED: Score = 0.85;
    /// A prefix that is nearly the whole name; a short prefix scores down to `SUBWORD`.
    pub const PREFIX: Score = 0.8;
    /// The last segment of a qualified name that is not in the index.
    pub const LAST_SEGMENT: Score = 0.7;
    /// All parts of the word are parts of the name; few of many score down to `EDIT`.
    pub const SUBWORD: Score = 0.6;
    /// One typing mistake.
    pub const EDIT: Score = 0.5;
}

/// Bytes of the shortest prefix looked up.
const PREFIX_BYTES_MIN: usize = 3;
/// Characters of a word that may have a typing mistake. The automaton takes some 10 KiB a character.
const EDIT_CHARS: RangeInclusive<usize> = 4..=62;
/// Words of a query that are looked up.
const WORDS_MAX: usize = 32;
/// Words that are tried as one name together.
const JOINED_WORDS_MAX: usize = 5;

/// The best score of each chunk that matched.
struct Matches<'a> {
    scope: Option<&'a ChunkSet>,
    penalty: fn(SymbolKind) -> Score,
    best: HashMap<ChunkId, Score>,
}

impl Matches<'_> {
    fn push(&mut self, entry: &Entry<'_>, score: Score) {
        if self.scope.is_none_or(|scope| scope.contains(entry.id)) {
            let score = score - (self.penalty)(entry.kind);
            let best = self.best.entry(entry.id).or_insert(score);
            *best = best.max(score);
        }
    }
}

impl SymbolIndex {
    /// The best `k` chunks of `scope` (`None`: of all) that define what `query` names, best first.
    ///
    /// penalty: what is subtracted from the score of a definition of this kind.
    pub fn search(
        &self,
        query: &QueryText,
        k: usize,
        scope: Option<&ChunkSet>,
        penalty: fn(SymbolKind) -> Score,
    ) -> Result<Vec<Hit>> {
        let words = &query.identifiers;
        let mut matches = Matches { scope, penalty, best: HashMap::new() };
        match words.as_slice() {
            [] => {}
            [word] => self.every_rung(word, &mut matches),
            _ => {
                for word in words.iter().take(WORDS_MAX) {
                    if looks_like_identifier(word) {
                        self.every_rung(word, &mut matches);
                    } else if !is_common(&lower(word)) {
                        self.by_name(word, false, &mut matches);
                    }
                }
                self.joined(words, &mut matches);
            }
        }
        let mut top = TopK::new(k);
        matches.best.into_iter().for_each(|(id, score)| top.push(Hit { id, score }));
        Ok(top.into_sorted())
    }

    fn every_rung(&self, word: &str, matches: &mut Matches<'_>) {
        if segments(word).nth(1).is_some() {
            return self.by_path(word, matches);
        }
        self.by_name(word, true, matches);
        let key = folded(word);
        self.by_prefix(&key, matches);
        self.by_parts(word, matches);
        self.one_edit_away(&key, matches);
    }

    /// The name exactly, in another case, and with `any_style` in another style.
    fn by_name(&self, word: &str, any_style: bool, matches: &mut Matches<'_>) {
        let Some(list) = self.names.map.get(folded(word)) else { return };
        let in_lower = lower(word);
        for item in self.items(&self.names, list) {
            let entry = self.entry(item);
            if entry.name == word {
                matches.push(&entry, rung::EXACT);
            } else if lower(entry.name) == in_lower {
                matches.push(&entry, rung::CASE);
            } else if any_style {
                matches.push(&entry, rung::STYLE);
            }
        }
    }

    /// A qualified name: the whole path or the end of one; failing that, its last segment.
    fn by_path(&self, word: &str, matches: &mut Matches<'_>) {
        let key = reversed(word);
        let longer = format!("{key}.");
        let mut stream = self.paths.map.range().ge(&key).into_stream();
        let mut found = false;
        while let Some((path, list)) = stream.next() {
            if !path.starts_with(key.as_bytes()) {
                break;
            }
            let whole = path == key.as_bytes();
            if !whole && !path.starts_with(longer.as_bytes()) {
                continue;
            }
            found = true;
            let score = if whole { rung::EXACT } else { rung::QUALIFIED };
            for item in self.items(&self.paths, list) {
                let entry = self.entry(item);
                matches.push(&entry, score);
            }
        }
        if found {
            return;
        }
        let last = segments(word).last().unwrap_or_default();
        if let Some(list) = self.names.map.get(folded(last)) {
            for item in self.items(&self.names, list) {
                let entry = self.entry(item);
                matches.push(&entry, rung::LAST_SEGMENT);
            }
        }
    }

    fn by_prefix(&self, key: &str, matches: &mut Matches<'_>) {
        if key.len() < PREFIX_BYTES_MIN {
            return;
        }
        let mut stream = self.names.map.range().gt(key).into_stream();
        while let Some((name, list)) = stream.next() {
            if !name.starts_with(key.as_bytes()) {
                break;
            }
            let share = key.len() as Score / name.len() as Score;
            let score = rung::SUBWORD + (rung::PREFIX - rung::SUBWORD) * share;
            self.push_list(list, score, matches);
        }
    }

    /// Names that have every part of the word, in any order.
    fn by_parts(&self, word: &str, matches: &mut Matches<'_>) {
        let mut wanted: Vec<String> = parts(word).map(lower).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut having: Option<Vec<u32>> = None;
        for part in &wanted {
            let Some(list) = self.parts.map.get(part) else { return };
            let lists: Vec<u32> = self.items(&self.parts, list).collect();
            having = Some(match having {
                None => lists,
                Some(kept) => kept.into_iter().filter(|l| lists.binary_search(l).is_ok()).collect(),
            });
        }
        for list in having.into_iter().flatten() {
            let first = self.items(&self.names, u64::from(list)).next();
            let count = first.map_or(1, |item| parts(self.entry(item).name).count().max(1));
            let share = (wanted.len() as Score / count as Score).min(1.0);
            let score = rung::EDIT + (rung::SUBWORD - rung::EDIT) * share;
            self.push_list(u64::from(list), score, matches);
        }
    }

    /// Names with one character more, fewer or other, or with two neighbours swapped.
    fn one_edit_away(&self, key: &str, matches: &mut Matches<'_>) {
        static ONE_EDIT: LazyLock<LevenshteinAutomatonBuilder> =
            LazyLock::new(|| LevenshteinAutomatonBuilder::new(1, true));
        if !EDIT_CHARS.contains(&key.chars().count()) {
            return;
        }
        let mut stream = self.names.map.search(ONE_EDIT.build_dfa(key)).into_stream();
        while let Some((_, list)) = stream.next() {
            self.push_list(list, rung::EDIT, matches);
        }
    }

    /// All words of a short query, and all but its common ones, as one name.
    fn joined(&self, words: &[String], matches: &mut Matches<'_>) {
        let all: Vec<&str> = words.iter().map(String::as_str).collect();
        let telling: Vec<&str> =
            all.iter().copied().filter(|word| !is_common(&lower(word))).collect();
        for words in [all, telling] {
            if (2..=JOINED_WORDS_MAX).contains(&words.len())
                && let Some(list) = self.names.map.get(folded(&words.concat()))
            {
                self.push_list(list, rung::JOINED, matches);
            }
        }
    }

    fn push_list(&self, list: u64, score: Score, matches: &mut Matches<'_>) {
        for item in self.items(&self.names, list) {
            let entry = self.entry(item);
            matches.push(&entry, score);
        }
    }
}
