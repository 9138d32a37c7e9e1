//! Whether a document of SCIP still describes a text: an edit after the index was made moves lines.

use super::columns::ColumnUnit;
use super::messages::{Document, LineRange, ROLE_DEFINITION, RawOccurrence};
use super::scip_index::Occurrence;
use super::symbol::{SymbolName, local_of};

/// The part of the definitions, and of the ranges, that has to be right, in per cent.
const RIGHT_MIN: usize = 90;

/// How many of something are as they should be.
#[derive(Default)]
struct Tally {
    right: usize,
    all: usize,
}

impl Tally {
    fn add(&mut self, is_right: bool) {
        self.right += usize::from(is_right);
        self.all += 1;
    }

    fn is_enough(&self) -> bool {
        self.right * 100 >= self.all * RIGHT_MIN
    }
}

/// The occurrences of `document` in a file; `None` if they do not fit its text.
///
/// They fit if the definitions are where the names of their symbols are written, and if the ranges
/// are whole words. An occurrence whose range is not a whole word is left out.
pub(super) fn occurrences(document: &Document, path: &str, text: &str) -> Option<Vec<Occurrence>> {
    let lines: Vec<&str> = text.lines().collect();
    let unit = ColumnUnit::of(document.position_encoding);
    let (mut definitions, mut ranges) = (Tally::default(), Tally::default());
    let mut found = Vec::with_capacity(document.occurrences.len());
    for raw in &document.occurrences {
        let Some(range) = raw.line_range().filter(|_| !raw.symbol.is_empty()) else { continue };
        let is_definition = raw.symbol_roles & ROLE_DEFINITION != 0;
        let name = SymbolName::of(&raw.symbol).map(|symbol| symbol.name).unwrap_or_default();
        let is_point = range.start == range.end;
        // Only a definition may be without a word: that of a module is its file.
        if is_point && !is_definition {
            continue;
        }
        let place = place(&lines, range, unit);
        let word = place.and_then(|(line, start, end)| word(line, start, end));
        if !is_point {
            ranges.add(word.is_some());
            if is_definition && is_identifier(&name) {
                definitions.add(word.is_some_and(|word| word.trim_start_matches("r#") == name));
            }
        }
        if let (Some((_, start_col, end_col)), true) = (place, is_point || word.is_some()) {
            found.push(occurrence(raw, path, name, range.line, start_col, end_col));
        }
    }
    (definitions.is_enough() && ranges.is_enough()).then(|| {
        found.sort_unstable();
        found.dedup();
        found
    })
}

fn occurrence(
    raw: &RawOccurrence,
    path: &str,
    name: String,
    line: u32,
    start_col: u32,
    end_col: u32,
) -> Occurrence {
    Occurrence {
        line: line + 1,
        start_col,
        end_col,
        is_definition: raw.symbol_roles & ROLE_DEFINITION != 0,
        symbol: local_of(&raw.symbol, path).unwrap_or_else(|| raw.symbol.clone()),
        name,
    }
}

/// The line of a range and its columns in characters; `None` if it is not in the text.
fn place<'t>(lines: &[&'t str], range: LineRange, unit: ColumnUnit) -> Option<(&'t str, u32, u32)> {
    let line = match lines.get(range.line as usize) {
        Some(line) => *line,
        // A module is defined at the start of its file, which may be empty.
        None if range.line == 0 => "",
        None => return None,
    };
    Some((line, unit.to_chars(line, range.start)?, unit.to_chars(line, range.end)?))
}

/// The characters `start..end` of a line, unless a word continues before or after them.
fn word(line: &str, start: u32, end: u32) -> Option<&str> {
    let byte = |column: u32| {
        if line.is_ascii() {
            return column as usize;
        }

        line.char_indices().nth(column as usize).map_or(line.len(), |(byte, _)| byte)
    };
    let (start, end) = (byte(start), byte(end));
    let word = line.get(start..end).filter(|word| !word.is_empty())?;
    let part = |c: Option<char>| c.is_some_and(is_word_part);
    let continues_before = part(line[..start].chars().next_back()) && part(word.chars().next());
    let continues_after = part(line[end..].chars().next()) && part(word.chars().next_back());
    (!continues_before && !continues_after).then_some(word)
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_word_part)
}

fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}
