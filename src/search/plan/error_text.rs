//! Whether a query is a message that a program printed: the words of messages, and their shapes.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::shape::{is_code, is_constant, is_question};
use crate::index::words::{lower, parts, words};

/// Words and phrases of messages; the file says what its columns mean.
static TABLE: LazyLock<HashMap<String, Row>> = LazyLock::new(|| {
    let lines = include_str!("error_words.tsv").lines().filter(|line| !line.starts_with('#'));
    let row = |line: &'static str| {
        let (phrase, weight) = line.split_once('\t').expect("a phrase, a TAB, a weight");
        let weight = weight.parse().expect("a weight is a number");
        let begins = phrase.starts_with('^');
        (split(phrase).join(" "), Row { weight, begins })
    };
    lines.map(row).collect()
});

/// Words of the longest phrase of the table.
const PHRASE_WORDS_MAX: usize = 6;

/// What the table says about a phrase, or about a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Row {
    /// Of a text: the sum over its phrases.
    weight: u32,
    /// Whether a text that begins with the phrase is a message.
    begins: bool,
}

/// The words of a text in lower case; names of errors are words too: `OutOfMemoryError`.
fn split(text: &str) -> Vec<String> {
    words(text).flat_map(parts).map(lower).collect()
}

/// The phrases of the table in `text`, from left to right, the longest first.
fn evidence(text: &str) -> Row {
    let words = split(text);
    let (mut found, mut at) = (Row::default(), 0);
    while at < words.len() {
        let longest = PHRASE_WORDS_MAX.min(words.len() - at);
        let phrase = (1..=longest).rev().find_map(|length| {
            let row = TABLE.get(words[at..at + length].join(" ").as_str())?;
            Some((length, *row))
        });
        let (length, row) = phrase.unwrap_or((1, Row::default()));
        found.weight += row.weight;
        found.begins |= at == 0 && row.begins;
        at += length;
    }
    found
}

/// Whether the text looks like a message printed by a program.
pub fn is_error(text: &str, words: &[&str]) -> bool {
    if is_question(text) {
        return false;
    }
    let Row { weight, begins } = evidence(text);
    let first = words[0];
    // `ld:`, `E:`, `java.lang.NullPointerException:`, `nginx[12]:`, but neither `std::` nor `Accept:`.
    let source = first.ends_with(':') && !first.ends_with("::") && words.len() > 2;
    let typed = ["Error", "Exception", "Warning", "Fault"].iter().any(|end| {
        words.iter().take(3).any(|w| w.trim_end_matches([':', ',', '(', ']']).ends_with(end))
    });
    let frame = first == "at" && text.contains(['(', ':']) && words.len() <= 4
        || first == "File" && text.contains(", line ");
    let marks = [": ", "[", "`", "‘", "'", "\"", "(", "#", ";", "--"];
    let marked = marks.iter().any(|mark| text.contains(mark))
        || text.chars().filter(char::is_ascii_digit).count() >= 2;
    let sentence = first.starts_with(char::is_uppercase) && !is_code(first);
    let http = text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("http"));
    let status = words.len() > 1
        && words.iter().any(|w| {
            w.len() == 3 && w.starts_with(['4', '5']) && w.bytes().all(|b| b.is_ascii_digit())
        })
        && (http || sentence || weight > 0);
    let shouted = is_constant(first) && first.len() > 6 && words.len() > 3;
    let told = weight > 0 && marked && (sentence || source || weight > 1 || text.contains(": "));
    frame
        || begins
        || status
        || told
        || (typed && words.len() > 2 && marked)
        || (weight > 0 && (shouted || source || (sentence && words.len() > 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(text: &str) -> u32 {
        evidence(text).weight
    }

    #[test]
    fn words_count_whole_and_once() {
        for (text, expected) in [
            ("unexpected", 1),
            ("undefined reference", 1),
            ("unrecognized option", 1),
            ("backtrace", 1),
            ("a terror of badly failing timeouts, abandoned", 0),
            ("inverse of validity, unknowingly", 0),
            ("NotFoundHandler is a misspelling", 1),
            ("java.lang.OutOfMemoryError", 2),
            ("INSTALL_FAILED_VERSION_DOWNGRADE", 1),
            ("can't do, cannot do, can not do, can\u{2019}t do", 4),
            ("no such file or directory", 1),
            ("", 0),
        ] {
            assert_eq!(weight(text), expected, "{text:?}");
        }
    }

    #[test]
    fn some_phrases_are_a_message_only_at_the_beginning_of_a_text() {
        assert!(evidence("Permission denied (publickey).").begins);
        assert!(!evidence("handle permission denied").begins);
        assert!(!evidence("expected a number").begins);
    }

    #[test]
    fn each_phrase_stands_once_in_the_table_and_is_short_enough_to_be_found() {
        let rows = include_str!("error_words.tsv").lines().filter(|line| !line.starts_with('#'));
        assert_eq!(rows.count(), TABLE.len());
        for (phrase, row) in TABLE.iter() {
            assert!((1..=PHRASE_WORDS_MAX).contains(&phrase.split(' ').count()), "{phrase}");
            assert!((1..=2).contains(&row.weight), "{phrase}");
            assert_eq!(evidence(phrase), *row, "{phrase}");
        }
    }
}
