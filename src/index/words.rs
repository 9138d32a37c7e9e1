//! Words of a text and parts of an identifier: the one splitter for documents and queries.

/// Runs of letters, digits and underscores that hold a letter or a digit.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let runs = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    runs.filter(|run| run.chars().any(char::is_alphanumeric))
}

/// The words of a text with the separators of qualified names inside them, but not around them:
/// `net::Pool::acquire()` is `net::Pool::acquire`.
pub(crate) fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    let outside = |c: char| {
        !c.is_alphanumeric() && !matches!(c, '_' | ':' | '.' | '#' | '/' | '\\' | '-' | '>')
    };
    text.split(outside)
        .map(|run| run.trim_matches(|c: char| !c.is_alphanumeric() && c != '_'))
        .filter(|run| run.chars().any(char::is_alphanumeric))
}

/// The parts of an identifier, split at underscores, before an upper-case letter that follows a
/// lower-case one, before the last letter of an acronym that begins a word (`HTTP|Server`), and
/// where digits begin or end, and where a script without spaces does.
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
            let script = is_unspaced(before) != is_unspaced(c);
            if camel || acronym || script || before.is_numeric() != c.is_numeric() {
                return at;
            }
        }
        before = Some(c);
    }
    run.len()
}

/// Whether a letter is of a script that puts no spaces between words: Chinese, Japanese, and Thai; or
/// of Korean, whose words carry their grammar.
pub(crate) fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0e7f}' | '\u{1100}'..='\u{11ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
}

/// Lower case by Unicode.
pub(crate) fn lower(word: &str) -> String {
    // ASCII, which most code is, in one pass.
    if word.is_ascii() { word.to_ascii_lowercase() } else { word.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_into_words_identifiers_and_parts() {
        for (text, in_words, in_identifiers, in_parts) in [
            ("", "", "", ""),
            ("a _ __ ?!", "a", "a", "a"),
            (
                "how does Pool::acquire() work?",
                "how does Pool acquire work",
                "how does Pool::acquire work",
                "how does Pool acquire work",
            ),
            (
                "src/net/pool.rs, a->b",
                "src net pool rs a b",
                "src/net/pool.rs a->b",
                "src net pool rs a b",
            ),
            (
                "HTTPServer max_batch_2",
                "HTTPServer max_batch_2",
                "HTTPServer max_batch_2",
                "HTTP Server max batch 2",
            ),
            (
                "don't --fix größerAls",
                "don t fix größerAls",
                "don t fix größerAls",
                "don t fix größer Als",
            ),
            ("login認証_test", "login認証_test", "login認証_test", "login 認証 test"),
        ] {
            let expected = |list: &str| {
                list.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(words(text).collect::<Vec<_>>(), expected(in_words), "{text:?}");
            assert_eq!(identifiers(text).collect::<Vec<_>>(), expected(in_identifiers), "{text:?}");
            assert_eq!(
                words(text).flat_map(parts).collect::<Vec<_>>(),
                expected(in_parts),
                "{text:?}"
            );
        }
    }
}
