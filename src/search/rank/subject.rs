//! What a query speaks of: its terms, and the identifiers in it.

use std::collections::HashSet;

use crate::index::lexical::{is_stop_word, stems};
use crate::index::symbols::{folded, looks_like_identifier};
use crate::index::{QueryText, words};
use crate::search::plan::QueryClass;

/// The words of a query as the ranking compares them with names and paths.
pub struct Subject {
    /// Stems of the parts of its words, without stop words unless there is nothing else.
    terms: HashSet<String>,
    /// How words with these stems begin; see [`starts`].
    starts: Vec<[u8; 2]>,
    /// Names as [`folded`] writes them.
    identifiers: HashSet<String>,
    /// Whether it is a name that the index has, so that a longer name is another one.
    pub is_exact: bool,
    /// Its words in lower case, also those inside of identifiers.
    pub words: HashSet<String>,
}

impl Subject {
    /// is_known: whether all words of the query are in the index.
    pub fn new(query: &QueryText, class: QueryClass, is_known: bool) -> Self {
        let telling = |word: &&String| !is_stop_word(&words::lower(word));
        let mut terms: HashSet<String> =
            query.words.iter().filter(telling).flat_map(|word| stems(word)).collect();
        if terms.is_empty() {
            terms = query.words.iter().flat_map(|word| stems(word)).collect();
        }
        let is_name = |word: &&String| {
            let capital = word.len() > 2 && word.starts_with(char::is_uppercase);
            class == QueryClass::Identifier || capital || looks_like_identifier(word)
        };
        let names = query.words.iter().filter(telling).filter(is_name);
        Self {
            starts: starts(&terms),
            terms,
            identifiers: names.map(|word| folded(word)).filter(|name| !name.is_empty()).collect(),
            is_exact: class == QueryClass::Identifier && is_known,
            words: super::path::mentioned(query),
        }
    }

    pub fn names(&self, name: &str) -> bool {
        !self.identifiers.is_empty() && self.identifiers.contains(&folded(name))
    }

    /// The share of the query's terms that `text` has, 0 to 1.
    pub fn covered_by(&self, text: &str) -> f64 {
        if !self.may_have_term(text) {
            return 0.0;
        }
        self.common(&terms_of(text)) as f64 / self.terms.len().max(1) as f64
    }

    /// The share of the terms of `text` that the query has, 0 to 1.
    pub fn covers(&self, text: &str) -> f64 {
        if !self.may_have_term(text) {
            return 0.0;
        }
        let terms = terms_of(text);
        self.common(&terms) as f64 / terms.len().max(1) as f64
    }

    /// Whether a part of `text` may have the stem of a term. It saves splitting most names of an answer.
    fn may_have_term(&self, text: &str) -> bool {
        let begins = |pair: &[u8]| {
            let pair = [pair[0].to_ascii_lowercase(), pair[1].to_ascii_lowercase()];
            self.starts.contains(&pair)
        };
        self.starts.is_empty() || !text.is_ascii() || text.as_bytes().windows(2).any(begins)
    }

    fn common(&self, terms: &HashSet<String>) -> usize {
        terms.iter().filter(|term| self.terms.contains(*term)).count()
    }
}

/// The first two letters of the words that may have one of these stems; none if that is not known, because
/// a term is shorter or not of ASCII letters. A stem begins like its word, except that a final `y` is
/// an `i` in it.
fn starts(terms: &HashSet<String>) -> Vec<[u8; 2]> {
    let mut starts = Vec::new();
    for term in terms {
        match term.as_bytes() {
            [a, b, ..] if term.is_ascii() => {
                starts.push([*a, *b]);
                if *b == b'i' {
                    starts.push([*a, b'y']);
                }
            }
            _ => return Vec::new(),
        }
    }
    starts
}

fn terms_of(text: &str) -> HashSet<String> {
    words::words(text).flat_map(stems).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_compared_with_names_and_paths_by_stems() {
        let query = QueryText::new("How does the ConnectionPool retry requests?");
        let subject = Subject::new(&query, QueryClass::Mixed, true);
        assert!(subject.names("connection_pool") && !subject.names("retry"));
        assert!(!subject.names("How"), "a stop word is no name");
        assert_eq!(subject.covered_by("RequestPool"), 0.5);
        assert_eq!(subject.covers("retries/request.rs"), 2.0 / 3.0);
        assert_eq!(subject.covers(""), 0.0);
        let only_stop_words =
            Subject::new(&QueryText::new("where is it"), QueryClass::NaturalLanguage, true);
        assert_eq!(only_stop_words.covered_by("it"), 1.0 / 3.0);
    }

    #[test]
    fn a_name_that_is_not_split_has_no_term_of_the_query() {
        let words =
            "retry pool cry dying lying tries HTTPServer getURLs a ééa 日本 parse_2 skies x1 open";
        for asked in words.split(' ') {
            let subject = Subject::new(&QueryText::new(asked), QueryClass::Mixed, true);
            for name in words.split(' ') {
                let has = subject.common(&terms_of(name)) > 0;
                assert!(!has || subject.may_have_term(name), "{asked} {name}");
            }
        }
        let subject = Subject::new(&QueryText::new("retry pool"), QueryClass::Mixed, true);
        assert!(!subject.may_have_term("quickVector"));
    }
}
