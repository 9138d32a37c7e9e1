//! Symbols and references of a file, and the cleaned text of their documentation.

use crate::base::text::prefix;

macro_rules! kinds {
    ($($variant:ident = $word:literal),+ $(,)?) => {
        /// What a definition defines.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum SymbolKind { $($variant),+ }

        impl SymbolKind {
            /// Every kind.
            pub const ALL: &[SymbolKind] = &[$(Self::$variant),+];

            /// The kind as a lower-case word: `function`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

kinds! {
    Function = "function",
    Method = "method",
    Class = "class",
    Struct = "struct",
    Enum = "enum",
    Trait = "trait",
    Module = "module",
    Constant = "constant",
    Macro = "macro",
    Type = "type",
    Section = "section",
    Key = "key",
    Rule = "rule",
    Field = "field",
    Variant = "variant",
}

impl SymbolKind {
    /// Parses the word of [`SymbolKind::as_str`]; `interface` is a trait,
    /// `property` a field.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "interface" => Some(Self::Trait),
            "property" => Some(Self::Field),
            _ => Self::ALL.iter().copied().find(|kind| kind.as_str() == word),
        }
    }

    /// Whether a function defined directly inside is a method.
    pub(super) fn holds_methods(self) -> bool {
        matches!(self, Self::Class | Self::Struct | Self::Enum | Self::Trait)
    }

    /// Whether it is a part of a type: a symbol that encloses nothing and heads no chunk.
    pub fn is_member(self) -> bool {
        matches!(self, Self::Field | Self::Variant)
    }

    pub(super) fn is_function(self) -> bool {
        matches!(self, Self::Function | Self::Method)
    }
}

impl std::str::FromStr for SymbolKind {
    type Err = crate::base::error::Error;

    fn from_str(word: &str) -> crate::base::error::Result<Self> {
        Self::parse(word).ok_or_else(|| crate::base::error::Error::Argument {
            name: "kind",
            value: word.to_owned(),
            expected: Self::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", "),
        })
    }
}

impl std::fmt::Display for SymbolKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One definition. Lines count from 1, both ends included; columns are bytes and count from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    pub name: String,
    /// The enclosing names and its own: `module::Type::method` in Rust and C++, with dots elsewhere.
    pub qualified: String,
    pub kind: SymbolKind,
    /// The text up to the body, on one line of at most 200 characters.
    pub signature: String,
    pub doc: Option<String>,
    pub start_line: u32,
    pub end_line: u32,
    pub start_col: u32,
    /// The index of its chunk in the file's chunks.
    pub chunk: u32,
}

/// One use of a name. Each name is kept once per chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub name: String,
    /// Counted from 1.
    pub line: u32,
    /// The index of its chunk in the file's chunks.
    pub chunk: u32,
}

/// The most bytes of documentation kept with a symbol.
const DOC_BYTES_MAX: usize = 2000;

/// The text of a comment without its comment markers; `None` when nothing is left.
pub(super) fn clean_doc(comment: &str) -> Option<String> {
    const OPEN: [&str; 17] = [
        "/**", "/*!", "/*", "///", "//!", "//", "##", "#", "<!--", "--[[", "---", "-- |", "-- ^",
        "--", "{-|", "{-", ";",
    ];
    if let Some(at) = comment.find("@doc \"").or_else(|| comment.find("@doc ~")) {
        return clean_docstring(comment[at..].trim_end());
    }
    let mut doc = String::new();
    for line in comment.lines() {
        let mut line = line.trim();
        if let Some(open) = OPEN.iter().find(|open| line.starts_with(*open)) {
            line = &line[open.len()..];
        } else if let Some(rest) = line.strip_prefix('*').filter(|_| comment.contains("/*")) {
            line = rest;
        }
        let closed = ["*/", "-->", "-}", "]]"].iter().find_map(|close| line.strip_suffix(close));
        let line = closed.unwrap_or(line);
        let line = line.strip_prefix(' ').unwrap_or(line).trim_end();
        let line = if line == "/" { "" } else { line };
        if !line.is_empty() || !doc.is_empty() {
            doc.push_str(line);
            doc.push('\n');
        }
    }
    truncated(doc.trim())
}

/// The text of a docstring without its quotes.
pub(super) fn clean_docstring(string: &str) -> Option<String> {
    let start = string.find(['"', '\'']).unwrap_or(0);
    let inner = string[start..].trim_matches(['"', '\'']);
    let mut doc = String::new();
    for line in inner.trim().lines() {
        doc.push_str(line.trim());
        doc.push('\n');
    }
    truncated(doc.trim())
}

/// The documentation in `text`, truncated to [`DOC_BYTES_MAX`]; `None` if it is empty.
fn truncated(text: &str) -> Option<String> {
    let text = prefix(text, DOC_BYTES_MAX);
    (!text.is_empty()).then(|| text.to_owned())
}

/// `text` on one line, with single spaces, at most `chars_max` characters.
pub(super) fn one_line(text: &str, chars_max: usize) -> String {
    let (mut line, mut chars) = (String::new(), 0);
    for word in text.split_whitespace() {
        if chars > 0 {
            line.push(' ');
            chars += 1;
        }
        for c in word.chars() {
            if chars == chars_max {
                return line.trim_end().to_owned();
            }
            line.push(c);
            chars += 1;
        }
        if chars == chars_max {
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doc_is_the_words_of_its_comment() {
        for (comment, doc) in [
            ("/// One.\n///   Two.\n", "One.\n  Two."),
            ("/**\n * One.\n * @param x\n */", "One.\n@param x"),
            ("# One\n# two", "One\ntwo"),
            ("// One", "One"),
            ("/* One */", "One"),
            ("<!-- One -->", "One"),
        ] {
            assert_eq!(clean_doc(comment).as_deref(), Some(doc), "{comment}");
        }
        assert_eq!(clean_doc("//\n//"), None);
        assert_eq!(clean_docstring("r'''One.\n    Two.\n'''").as_deref(), Some("One.\nTwo."));
        assert!(clean_doc(&format!("// {}", "é".repeat(3000))).unwrap().len() <= DOC_BYTES_MAX);
    }

    #[test]
    fn a_signature_is_one_short_line() {
        assert_eq!(one_line("fn  a(\n    b: C,\n)", 200), "fn a( b: C, )");
        assert_eq!(one_line("abc def", 5), "abc d");
        assert_eq!(one_line("abc def", 4), "abc");
    }

    #[test]
    fn every_kind_is_read_back() {
        for &kind in SymbolKind::ALL {
            assert_eq!(kind.as_str().parse::<SymbolKind>().unwrap(), kind);
        }
        assert!("nothing".parse::<SymbolKind>().unwrap_err().to_string().contains("function"));
    }
}
