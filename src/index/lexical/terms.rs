//! Which words does a piece of code hold?
//!
//! An identifier counts as a whole and by its parts: `HTTPServerPool` is `httpserverpool`, `http`,
//! `server` and `pool`; `max_batch_2` is `max_batch_2`, `max`, `batch` and `2`. A part whose
//! English stem differs has its stem beside it (`pools`, `pool`), so that a question in prose meets
//! the code.

use std::collections::HashMap;

use tantivy::tokenizer::{Language, RawTokenizer, Stemmer, TextAnalyzer, TokenStream, Tokenizer};

/// Bytes of the longest term; a longer one is cut at a border of characters.
const TERM_BYTES_MAX: usize = 64;
/// Stems remembered by one analyzer, 24 bytes and two short strings each.
const STEMS_MAX: usize = 1 << 16;

/// Splits text into terms. One for each thread: it remembers the stems that it has met.
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

impl Analyzer {
    /// Hands each term of `text` to `take`, in order, with the byte offsets of what it came from.
    pub(super) fn each(&mut self, text: &str, mut take: impl FnMut(&str, usize, usize)) {
        for (start, word) in words(text) {
            self.word(word, |term| take(term, start, start + word.len()));
        }
    }

    /// The terms of `text` in order, repetitions included.
    #[cfg(test)]
    pub(super) fn terms(&mut self, text: &str) -> Vec<String> {
        let mut terms = Vec::new();
        self.each(text, |term, _, _| terms.push(term.to_owned()));
        terms
    }

    fn word(&mut self, word: &str, mut take: impl FnMut(&str)) {
        if parts(word).nth(1).is_some() {
            take(cut(lower(word).trim_matches('_')));
        }
        for part in parts(word) {
            let part = lower(part);
            let part = cut(&part);
            take(part);
            if let Some(stem) = self.stem(part) {
                take(stem);
            }
        }
    }

    /// The stem of a part, when it is another word.
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

/// Runs of letters, digits and underscores that hold a letter or a digit, with their offsets.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(inside)?;
        let end = text[start..].find(|c| !inside(c)).map_or(text.len(), |n| start + n);
        at = end;
        Some((start, &text[start..end]))
    })
    .filter(|(_, word)| word.chars().any(char::is_alphanumeric))
}

/// The parts of an identifier, cut at underscores, before an upper-case letter that follows a lower
/// one, before the last letter of an acronym that begins a word (`HTTP|Server`), and where digits
/// begin or end.
pub(crate) fn parts(word: &str) -> impl Iterator<Item = &str> {
    word.split('_').filter(|run| !run.is_empty()).flat_map(|run| {
        let mut rest = run;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (part, after) = rest.split_at(first_border(rest));
            rest = after;
            Some(part)
        })
    })
}

fn first_border(run: &str) -> usize {
    let mut chars = run.char_indices().peekable();
    let mut before: Option<char> = None;
    while let Some((at, c)) = chars.next() {
        if let Some(before) = before {
            let next = chars.peek().map(|(_, next)| *next);
            let camel = before.is_lowercase() && c.is_uppercase();
            let acronym =
                before.is_uppercase() && c.is_uppercase() && next.is_some_and(char::is_lowercase);
            if camel || acronym || before.is_numeric() != c.is_numeric() {
                return at;
            }
        }
        before = Some(c);
    }
    run.len()
}

/// Lower case by Unicode, without an allocation that plain code would need twice.
pub(crate) fn lower(word: &str) -> String {
    if word.is_ascii() { word.to_ascii_lowercase() } else { word.to_lowercase() }
}

fn cut(term: &str) -> &str {
    let mut end = term.len().min(TERM_BYTES_MAX);
    while !term.is_char_boundary(end) {
        end -= 1;
    }
    &term[..end]
}

/// The same terms as a tokenizer of tantivy, by which the field is registered.
#[derive(Clone, Default)]
pub(super) struct CodeTokenizer;

impl Tokenizer for CodeTokenizer {
    type TokenStream<'a> = CodeTokens;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> CodeTokens {
        let mut tokens = Vec::new();
        Analyzer::default().each(text, |term, offset_from, offset_to| {
            let text = term.to_owned();
            let position = tokens.len();
            tokens.push(tantivy::tokenizer::Token {
                offset_from,
                offset_to,
                position,
                text,
                position_length: 1,
            });
        });
        CodeTokens { tokens, next: 0 }
    }
}

pub(super) struct CodeTokens {
    tokens: Vec<tantivy::tokenizer::Token>,
    next: usize,
}

impl TokenStream for CodeTokens {
    fn advance(&mut self) -> bool {
        self.next += 1;
        self.next <= self.tokens.len()
    }

    fn token(&self) -> &tantivy::tokenizer::Token {
        &self.tokens[self.next - 1]
    }

    fn token_mut(&mut self) -> &mut tantivy::tokenizer::Token {
        &mut self.tokens[self.next - 1]
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
            ("日本語 text", "日本語 text"),
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

    #[test]
    fn offsets_point_at_the_word() {
        let text = "let MaxSize = é_x;";
        Analyzer::default().each(text, |term, from, to| {
            let word = lower(&text[from..to]);
            assert!(word.contains(term), "{term} in {word}");
        });
    }

    #[test]
    fn tantivy_sees_the_same_terms() {
        let text = "fn acquire_connection(&self) -> PooledConnection";
        let mut tokenizer = CodeTokenizer;
        let mut stream = tokenizer.token_stream(text);
        let mut seen = Vec::new();
        stream.process(&mut |token| seen.push(token.text.clone()));
        assert_eq!(seen, Analyzer::default().terms(text));
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
