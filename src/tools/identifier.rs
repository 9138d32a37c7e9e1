//! The identifier that a caller means, by its name or by a position in a file.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::open_file::{self, OpenedFile};
use crate::base::error::{Error, Result};
use crate::search::Searcher;

/// A name, or a position in a file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentifierInput {
    /// The name of the symbol; or else give path, line and character.
    pub name: Option<String>,
    /// A path of the index. With a name, definitions in this file come first.
    pub path: Option<String>,
    /// The line of the symbol, from 1.
    #[schemars(range(min = 1))]
    pub line: Option<usize>,
    /// The column of the symbol in that line, in characters from 1.
    #[schemars(range(min = 1))]
    pub character: Option<usize>,
    /// The most results.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: usize,
}

fn default_limit() -> usize {
    100
}

/// The identifier that an input means.
pub(super) struct Identifier {
    pub name: String,
    /// The file in which it was found or is preferred.
    pub path: Option<String>,
    /// The language of that file.
    pub language: Option<String>,
    /// Where it was found; `None` if the caller gave a name.
    pub place: Option<Place>,
    pub notes: Vec<String>,
}

/// A position in a file.
pub(super) struct Place {
    /// From 1.
    pub line: u32,
    /// The column that the caller gave, in characters from 0.
    pub column: u32,
    /// Where the identifier starts in the line.
    pub start_byte: usize,
    /// Whether the text is that of the index.
    pub is_indexed_state: bool,
    /// The whole file.
    pub text: String,
}

impl Identifier {
    /// The last part of a qualified name.
    pub fn last_name(&self) -> &str {
        self.name.rsplit(['.', ':', '#', '/']).next().unwrap_or(&self.name)
    }

    pub fn find(input: IdentifierInput, searcher: &Searcher) -> Result<Self, Arc<Error>> {
        let refuse = |name, value: String, expected: &str| {
            Err(Error::Argument { name, value, expected: expected.to_owned() }.into())
        };
        let file = input.path.as_deref().map(|path| open_file::open(searcher, path)).transpose()?;
        let (path, language) = match &file {
            Some(file) => (Some(file.row.path.clone()), Some(file.row.language.clone())),
            None => (None, None),
        };
        if let Some(name) = input.name {
            let name = name.trim().to_owned();
            if name.is_empty() {
                return refuse("name", "\"\"".to_owned(), "the name of a symbol");
            }
            return Ok(Self { name, path, language, place: None, notes: Vec::new() });
        }
        let (Some(file), Some(line), Some(character)) = (file, input.line, input.character) else {
            let expected = "a name, or else path, line and character";
            return refuse("name", "absent".to_owned(), expected);
        };
        let lines: Vec<&str> = file.text.lines().collect();
        let Some(text) = line.checked_sub(1).and_then(|i| lines.get(i)) else {
            let expected =
                format!("1 to {}, because {} has so many lines", lines.len(), file.row.path);
            return refuse("line", line.to_string(), &expected);
        };
        match identifier_at(text, character) {
            Some((start_byte, name)) => {
                let (name, line, column) = (name.to_owned(), line as u32, (character - 1) as u32);
                let OpenedFile { is_indexed_state, text, notes, .. } = file;
                let place = Some(Place { line, column, start_byte, is_indexed_state, text });
                Ok(Self { name, path, language, place, notes })
            }
            None => {
                let line = crate::base::text::prefix(text.trim(), 200);
                let expected = format!("the column of an identifier in this line: {line}");
                refuse("character", character.to_string(), &expected)
            }
        }
    }
}

/// The identifier that contains or ends before a column, and the byte at which it starts.
/// character: in characters, from 1.
fn identifier_at(line: &str, character: usize) -> Option<(usize, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let column = character.checked_sub(1)?;
    let starts: Vec<(usize, char)> = line.char_indices().collect();
    if column > starts.len() {
        return None;
    }
    let part = |i: usize| starts.get(i).is_some_and(|(_, c)| is_part(*c));
    let within = if part(column) { column } else { column.checked_sub(1).filter(|i| part(*i))? };
    let first = (0..=within).rev().take_while(|i| part(*i)).last()?;
    let end = (within..).find(|i| !part(*i))?;
    let byte = |i: usize| starts.get(i).map_or(line.len(), |(byte, _)| *byte);
    let name = &line[byte(first)..byte(end)];
    (!name.starts_with(|c: char| c.is_ascii_digit())).then_some((byte(first), name))
}

/// The column of the first whole occurrence of `name` in `line`, in characters from 1.
pub(super) fn column_of(line: &str, name: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name).find_map(|(at, found)| {
        let before = line[..at].chars().next_back().is_some_and(is_part);
        let after = line[at + found.len()..].chars().next().is_some_and(is_part);
        (!before && !after).then(|| line[..at].chars().count() + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_found_at_each_of_its_columns_and_right_after_it() {
        let line = "let naïve_x = foo(bar);";
        for (columns, name) in
            [(1..=4, "let"), (5..=12, "naïve_x"), (15..=18, "foo"), (19..=22, "bar")]
        {
            for column in columns {
                let found = identifier_at(line, column).map(|(_, name)| name);
                assert_eq!(found, Some(name), "{column}");
            }
        }
        for column in [0, 14, 24, 25, usize::MAX] {
            assert_eq!(identifier_at(line, column), None, "{column}");
        }
        assert_eq!(identifier_at("12 ab", 1), None);
        assert_eq!(identifier_at("", 1), None);
    }

    #[test]
    fn a_name_is_found_only_as_a_whole_word() {
        assert_eq!(column_of("get_x(x)", "x"), Some(7));
        assert_eq!(column_of("é = x", "x"), Some(5));
        assert_eq!(column_of("xx", "x"), None);
    }
}
