//! The terms of a piece of code or of a query.
//!
//! An identifier counts as a whole and by its parts: `HTTPServerPool` is `httpserverpool`, `http`,
//! `server` and `pool`; `max_batch_2` is `max_batch_2`, `max`, `batch` and `2`. A part whose English
//! stem differs is followed by the stem (`pools`, `pool`), so that a question in prose matches code.
//! Letters of a script without spaces are terms two by two: `認証機能` is `認証`, `証機` and `機能`.

use std::collections::HashMap;

use tantivy::tokenizer::{Language, RawTokenizer, Stemmer, TextAnalyzer, TokenStream};

use crate::base::text::prefix;
use crate::index::words::{is_unspaced, lower, parts, words};

/// Bytes of the longest term; a longer one is cut at a character boundary.
const TERM_BYTES_MAX: usize = 64;
/// Stems remembered by one analyzer, 24 bytes and two short strings each.
const STEMS_MAX: usize = 1 << 16;

/// Splits text into terms. One for each thread: it remembers stems.
pub(super) struct Analyzer {
    stemmer: TextAnalyzer,
    stems: HashMap<String, Option<String>>,
}

impl Default for Analyzer {
    fn default() -> Self {
        let stemmer = TextAnalyzer::builder(RawTokenizer::default())
            .filter(Stemmer::new(Language::English))
            .build();
        Self { stemmer, stems: HashMap::new() }
    }
}

/// Each letter of `part` with the next one.
fn pairs(part: &str) -> impl Iterator<Item = &str> {
    let ends = part.char_indices().skip(2).map(|(at, _)| at).chain([part.len()]);
    part.char_indices().zip(ends).map(|((start, _), end)| &part[start..end])
}

impl Analyzer {
    /// Hands each term of `text` to `take`, in order.
    pub(super) fn each(&mut self, text: &str, mut take: impl FnMut(&str)) {
        words(text).for_each(|word| self.each_of_word(word, &mut take));
    }

    /// The terms of `text` in order, repetitions included.
    #[cfg(test)]
    pub(super) fn terms(&mut self, text: &str) -> Vec<String> {
        let mut terms = Vec::new();
        self.each(text, |term| terms.push(term.to_owned()));
        terms
    }

    /// Hands each term of one word to `take`.
    pub(super) fn each_of_word(&mut self, word: &str, mut take: impl FnMut(&str)) {
        if parts(word).nth(1).is_some() {
            take(prefix(lower(word).trim_matches('_'), TERM_BYTES_MAX));
        }
        for part in parts(word) {
            if part.starts_with(is_unspaced) && part.chars().nth(1).is_some() {
                pairs(part).for_each(&mut take);
                continue;
            }
            let part = lower(part);
            let part = prefix(&part, TERM_BYTES_MAX);
            take(part);
            if let Some(stem) = self.stem(part) {
                take(stem);
            }
        }
    }

    /// The stem of each part of `word`, or the part.
    pub(super) fn stems_of_word(&mut self, word: &str) -> Vec<String> {
        let mut stems = Vec::new();
        for part in parts(word) {
            if part.starts_with(is_unspaced) {
                self.each_of_word(part, |term| stems.push(term.to_owned()));
                continue;
            }
            let part = lower(part);
            let stem = self.stem(&part).map(str::to_owned);
            stems.push(stem.unwrap_or(part));
        }
        stems
    }

    /// The first term of `word`, the one that distinguishes it most. A word with a script without spaces
    /// is a sentence rather than a name: the first term of its parts.
    pub(super) fn first_of_word(&mut self, word: &str) -> Option<String> {
        let mut first = None;
        let is_sentence = word.contains(is_unspaced);
        let word = if is_sentence { parts(word).next()? } else { word };
        self.each_of_word(word, |term| {
            first.get_or_insert_with(|| term.to_owned());
        });
        first
    }

    /// The stem of a part, if it differs from the part.
    fn stem(&mut self, part: &str) -> Option<&str> {
        if part.len() < 4 || !part.bytes().all(|b| b.is_ascii_lowercase()) {
            return None;
        }
        if !self.stems.contains_key(part) {
            if self.stems.len() >= STEMS_MAX {
                self.stems.clear();
            }
            let mut stream = self.stemmer.token_stream(part);
            let stem = stream.next().map(|token| token.text.clone()).filter(|stem| stem != part);
            drop(stream);
            self.stems.insert(part.to_owned(), stem);
        }
        self.stems.get(part).and_then(|stem| stem.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_the_words_that_a_person_would_look_for() {
        for (text, expected) in [
            ("", ""),
            ("HTTPServer", "httpserver http server"),
            (
                "HTTPServerConnectionPool",
                "httpserverconnectionpool http server connection connect pool",
            ),
            ("snake_case_id", "snake_case_id snake case id"),
            ("__init__", "init"),
            ("_private", "private privat"),
            ("max_batch_2", "max_batch_2 max batch 2"),
            ("utf8Decoder", "utf8decoder utf 8 decoder decod"),
            ("i32", "i32 i 32"),
            ("x", "x"),
            ("3.14", "3 14"),
            ("0xFF", "0xff 0 x ff"),
            ("std::fs::File", "std fs file"),
            ("a->b.c", "a b c"),
            ("getURLs", "geturls get ur ls"),
            ("connections pooling", "connections connect pooling pool"),
            ("größerAls", "größerals größer als"),
            ("ДоброеУтро", "доброеутро доброе утро"),
            ("日本語 text", "日本 本語 text"),
            ("用户login认证", "用户login认证 用户 login 认证"),
            ("don't stop", "don t stop"),
            ("___ -- !!", ""),
            ("X_AXIS", "x_axis x axis axi"),
            ("parseHTML5Doc", "parsehtml5doc parse pars html 5 doc"),
        ] {
            let found = Analyzer::default().terms(text);
            let expected: Vec<&str> = expected.split_whitespace().collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn a_long_term_is_cut_between_characters() {
        for text in ["a".repeat(500), "é".repeat(500), format!("a{}", "é".repeat(500))] {
            for term in Analyzer::default().terms(&text) {
                assert!(term.len() <= TERM_BYTES_MAX && !term.is_empty(), "{}", term.len());
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_lower_case_terms_within_bounds(text in "\\PC{0,200}") {
            for term in Analyzer::default().terms(&text) {
                proptest::prop_assert!(!term.is_empty() && term.len() <= TERM_BYTES_MAX);
                proptest::prop_assert!(!term.contains(char::is_whitespace));
            }
        }
    }
}
