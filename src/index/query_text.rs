//! The text of a query, split once for every channel.

use super::words;

/// What was asked, whole and in pieces. Upper and lower case are as they were typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryText {
    /// The text without space around it.
    pub raw: String,
    /// Runs of letters, digits and underscores: `Pool::acquire` is two words.
    pub words: Vec<String>,
    /// Words with the separators of qualified names inside them: `Pool::acquire` is one identifier.
    pub identifiers: Vec<String>,
    /// Texts in double quotes, and the whole text if it stands in other quotes.
    pub quoted: Vec<String>,
}

impl QueryText {
    pub fn new(text: &str) -> Self {
        let raw = text.trim();
        Self {
            raw: raw.to_owned(),
            words: words::words(raw).map(str::to_owned).collect(),
            identifiers: words::identifiers(raw).map(str::to_owned).collect(),
            quoted: quoted(raw),
        }
    }
}

/// The texts in quotes that have a word.
fn quoted(raw: &str) -> Vec<String> {
    const PAIRS: [(char, char); 2] = [('"', '"'), ('“', '”')];
    let whole = ['\'', '`'].iter().find_map(|&quote| {
        let inside = raw.strip_prefix(quote)?.strip_suffix(quote)?;
        Some(inside).filter(|text| !text.contains(quote))
    });
    let mut found: Vec<&str> = whole.into_iter().collect();
    let mut rest = raw;
    while let Some(at) = rest.find(PAIRS.map(|(open, _)| open)) {
        let open = rest[at..].chars().next().unwrap_or_default();
        let close = PAIRS.iter().find(|pair| pair.0 == open).map_or(open, |pair| pair.1);
        let after = &rest[at + open.len_utf8()..];
        let Some(end) = after.find(close) else { break };
        found.push(&after[..end]);
        rest = &after[end + close.len_utf8()..];
    }
    let trimmed = found.into_iter().map(str::trim);
    trimmed.filter(|text| words::words(text).next().is_some()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_texts_are_kept_as_they_are() {
        for (text, expected) in [
            ("\"a lock\" of `Pool::take()`", "a lock"),
            ("'it is late'", "it is late"),
            ("`Pool::take()`", "Pool::take()"),
            ("it's what's here", ""),
            ("an \"open quote", ""),
            ("“größe” and \"\"", "größe"),
        ] {
            assert_eq!(QueryText::new(text).quoted.join("|"), expected, "{text}");
        }
    }
}
