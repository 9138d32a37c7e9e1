//! The profile of a query: its features and its class.
//!
//! Features come from the shape of the words and from the vocabulary of the index (whether a word
//! is the name of a symbol, and how rare it is), so that an English word is not classified as code
//! merely because it could be an identifier.

use std::collections::HashSet;

use super::error_text::is_error;
use super::shape::*;
use crate::index::QueryText;
use crate::index::lexical::is_stop_word;
use crate::index::words::{is_unspaced, lower};

/// The statistics of the index that the gate uses.
pub trait Vocabulary {
    /// Whether a definition has exactly this name.
    fn is_symbol(&self, word: &str) -> bool;
    /// The fraction of chunks that have the word, 0 to 1.
    fn share(&self, word: &str) -> f64;
    /// The number of chunks.
    fn chunks(&self) -> usize;
}

/// The class of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueryClass {
    Identifier,
    Path,
    Literal,
    ErrorText,
    NaturalLanguage,
    Mixed,
}

impl QueryClass {
    pub const ALL: [QueryClass; 6] = [
        Self::Identifier,
        Self::Path,
        Self::Literal,
        Self::ErrorText,
        Self::NaturalLanguage,
        Self::Mixed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identifier => "identifier",
            Self::Path => "path",
            Self::Literal => "literal",
            Self::ErrorText => "error_text",
            Self::NaturalLanguage => "natural_language",
            Self::Mixed => "mixed",
        }
    }
}

/// The features of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryProfile {
    /// Number of words separated by white space.
    pub length: usize,
    /// Distinct words divided by words.
    pub unique_ratio: f64,
    /// Words that look like code divided by words.
    pub code_token_ratio: f64,
    /// Digits divided by characters.
    pub digit_ratio: f64,
    /// Punctuation that is unusual in prose, divided by characters.
    pub symbol_ratio: f64,
    /// Names that occur in no chunk, divided by names.
    pub oov_ratio: f64,
    /// About the greatest score of BM25 that a chunk can have: the sum over the telling words of their
    /// inverse document frequency, times 1 + k1.
    pub lexical_score_max: f64,
    pub looks_literal: bool,
    pub looks_vague: bool,
    /// Whether it is worded as a question, which the code answers in other words, and not as a
    /// description, of which it has some.
    pub is_question: bool,
    /// The ambiguity of the query, from 0 (unambiguous) to 1 (could mean anything).
    pub ambiguity_score: f64,
    pub class: QueryClass,
}

/// Profiles a query against the vocabulary of the index.
pub fn profile(query: &QueryText, vocabulary: &impl Vocabulary) -> QueryProfile {
    let text = query.raw.as_str();
    // The shape is that of the whole word, including punctuation.
    let words: Vec<&str> = text.split_whitespace().collect();
    let length = words.len();
    let ratio = |count: usize| count as f64 / length.max(1) as f64;
    let distinct: HashSet<String> = words.iter().map(|w| w.to_lowercase()).collect();
    // The index knows the names inside of paths, calls and operators.
    let names = &query.words;
    let name_ratio = |count: usize| count as f64 / names.len().max(1) as f64;
    let chars = text.chars().count().max(1) as f64;
    let share_of =
        |test: fn(char) -> bool| text.chars().filter(|c| test(*c)).count() as f64 / chars;
    let code = words.iter().filter(|word| is_code(word)).count();
    let oov = names.iter().filter(|name| vocabulary.share(name) == 0.0).count();
    // A word that occurs in more than a tenth of all chunks hardly distinguishes them.
    let common = names.iter().filter(|name| vocabulary.share(name) > 0.1).count();

    let class = classify(text, &words, vocabulary);
    let looks_literal = !matches!(class, QueryClass::NaturalLanguage | QueryClass::Mixed);
    let looks_vague = !looks_literal && length <= 3 && code == 0;
    let vague = if looks_vague { 0.5 } else { 0.1 };
    let literal = if looks_literal { 0.4 } else { 0.0 };
    let ambiguity = vague + 0.3 * name_ratio(common) + 0.3 * name_ratio(oov) - literal;
    QueryProfile {
        length,
        unique_ratio: ratio(distinct.len()),
        code_token_ratio: ratio(code),
        digit_ratio: share_of(|c| c.is_ascii_digit()),
        symbol_ratio: share_of(is_code_punctuation),
        oov_ratio: name_ratio(oov),
        lexical_score_max: lexical_score_max(names, vocabulary),
        looks_literal,
        looks_vague,
        is_question: is_question(text),
        ambiguity_score: ambiguity.clamp(0.0, 1.0),
        class,
    }
}

fn lexical_score_max(names: &[String], vocabulary: &impl Vocabulary) -> f64 {
    const K1: f64 = 1.2;
    let n = vocabulary.chunks() as f64;
    let telling: HashSet<String> =
        names.iter().map(|name| lower(name)).filter(|name| !is_stop_word(name)).collect();
    let idf = |name: &String| {
        let df = vocabulary.share(name) * n;
        (1.0 + (n - df + 0.5) / (df + 0.5)).ln()
    };
    telling.iter().map(idf).sum::<f64>() * (1.0 + K1)
}

fn classify(text: &str, words: &[&str], vocabulary: &impl Vocabulary) -> QueryClass {
    if is_quoted(text) {
        return QueryClass::Literal;
    }
    if is_error(text, words) {
        return QueryClass::ErrorText;
    }
    if let [word] = words {
        return classify_word(word, vocabulary);
    }
    if words.iter().all(|word| is_path(word)) {
        return QueryClass::Path;
    }
    let name = |word: &&str| (is_code(word) || is_constant(word)) && !is_fragment(word);
    if words.iter().all(name) {
        return QueryClass::Identifier;
    }
    if !is_question(text) && is_code_line(text, words) {
        return QueryClass::Literal;
    }
    let shaped = |word: &&str| is_code(word) || is_path(word) || is_flag(word);
    if words.iter().any(shaped) { QueryClass::Mixed } else { QueryClass::NaturalLanguage }
}

fn classify_word(word: &str, vocabulary: &impl Vocabulary) -> QueryClass {
    // A name like `Vec::new` is not a path, and `src/lib.rs` is not a name.
    if is_path(word) && !word.contains("::") {
        return QueryClass::Path;
    }
    if is_fragment(word) {
        return QueryClass::Literal;
    }
    // A lone word that occurs nowhere is more likely a name with a mistake than a question.
    let is_unknown = || !word.contains(is_unspaced) && vocabulary.share(word) == 0.0;
    if is_code(word) || is_constant(word) || vocabulary.is_symbol(bare(word)) || is_unknown() {
        return QueryClass::Identifier;
    }
    QueryClass::NaturalLanguage
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Words;
    impl Vocabulary for Words {
        fn is_symbol(&self, word: &str) -> bool {
            ["retry", "Searcher", "main", "open"].contains(&word)
        }
        fn share(&self, word: &str) -> f64 {
            match word {
                "the" | "a" | "is" => 0.9,
                "zzyzx" => 0.0,
                _ => 0.01,
            }
        }
        fn chunks(&self) -> usize {
            1000
        }
    }

    /// How often a class (the row, in the order of [`QueryClass::ALL`]) was given as each class.
    struct Matrix([[usize; 6]; 6]);

    impl Matrix {
        /// The matrix of the labelled queries whose number, from 0, is even or odd, and the queries
        /// that got another class than theirs.
        fn of_half(half: usize) -> (Self, Vec<String>) {
            let labelled = include_str!("../../../tests/data/gate_queries.tsv");
            let lines = labelled.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
            let (mut counts, mut wrong) = ([[0; 6]; 6], Vec::new());
            for line in lines.skip(half).step_by(2) {
                let (label, text) = line.split_once('\t').expect("class, tab, query");
                let label = QueryClass::ALL.iter().position(|class| class.as_str() == label);
                let (label, got) = (label.unwrap(), profile(&QueryText::new(text), &Words).class);
                counts[label][got as usize] += 1;
                if label != got as usize {
                    wrong.push(format!("{text:?}: {} is wrong", got.as_str()));
                }
            }
            (Self(counts), wrong)
        }

        fn right(&self) -> f64 {
            let right: usize = (0..6).map(|i| self.0[i][i]).sum();
            right as f64 / self.0.iter().flatten().sum::<usize>() as f64
        }

        fn recall(&self, class: QueryClass) -> f64 {
            let row = self.0[class as usize];
            row[class as usize] as f64 / row.iter().sum::<usize>() as f64
        }

        fn precision(&self, class: QueryClass) -> f64 {
            let column = self.0.map(|row| row[class as usize]);
            column[class as usize] as f64 / column.iter().sum::<usize>() as f64
        }

        fn print(&self, title: &str) {
            println!("{title}: {:.1} % right; rows: label, columns: found", 100.0 * self.right());
            for (class, row) in QueryClass::ALL.iter().zip(self.0) {
                let cells: String = row.iter().map(|count| format!("{count:5}")).collect();
                let (recall, precision) = (self.recall(*class), self.precision(*class));
                println!(
                    "{:>17}{cells}  recall {recall:.2}, precision {precision:.2}",
                    class.as_str()
                );
            }
        }
    }

    /// 200 queries of each class, labelled before the rules were written. Rules and tables are
    /// tuned on the even half alone; the odd one tells how well they do on queries not seen.
    /// docs/searching.md has these figures.
    #[test]
    fn labelled_queries_get_their_class_also_those_that_no_rule_was_tuned_on() {
        let ((tuned, wrong), (unseen, _)) = (Matrix::of_half(0), Matrix::of_half(1));
        tuned.print("even half, tuned");
        unseen.print("odd half, unseen");
        for matrix in [&tuned, &unseen] {
            assert!(matrix.0.iter().all(|row| row.iter().sum::<usize>() == 100));
        }
        assert!(tuned.right() >= 0.975, "{}", wrong.join("\n"));
        assert!(unseen.right() >= 0.935);
        let error = QueryClass::ErrorText;
        assert!(unseen.recall(error) >= 0.83, "{}", unseen.recall(error));
        assert!(unseen.precision(error) >= 0.97, "{}", unseen.precision(error));
        let sentences = QueryClass::NaturalLanguage;
        assert!(unseen.recall(sentences) >= 0.99, "{}", unseen.recall(sentences));
    }

    #[test]
    fn an_english_word_is_not_code_and_a_symbol_of_this_index_is() {
        let profile = |text| profile(&QueryText::new(text), &Words);
        assert_eq!(profile("timeout").class, QueryClass::NaturalLanguage);
        assert_eq!(profile("retry").class, QueryClass::Identifier);
        assert_eq!(profile("zzyzx").oov_ratio, 1.0);
    }
}
