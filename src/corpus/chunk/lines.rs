//! The lines of a text: where each starts, and how far it is indented.

use std::borrow::Cow;

use crate::base::text::prefix;

/// The indent of a line that is all white space.
pub(super) const BLANK: u32 = u32::MAX;

/// Only the beginning of a longer line counts: the rest is data, such as an embedded image.
pub(super) const LINE_BYTES_MAX: usize = 2000;

/// `text` with only the beginning of each long line.
pub(super) fn without_line_tails(text: &str) -> Cow<'_, str> {
    let lines = || text.split_inclusive('\n');
    if text.len() <= LINE_BYTES_MAX || lines().all(|line| line.len() <= LINE_BYTES_MAX) {
        return Cow::Borrowed(text);
    }
    let mut short = String::with_capacity(text.len().min(1 << 16));
    for line in lines() {
        let start = prefix(line, LINE_BYTES_MAX);
        short.push_str(start);
        if start.len() < line.len() && line.ends_with('\n') {
            short.push('\n');
        }
    }
    Cow::Owned(short)
}

/// The lines of a text. A line includes its `\n`; the last one may have none.
pub(super) struct Lines<'a> {
    pub text: &'a str,
    /// The byte at which each line starts, then the length of the text: `[lines + 1]`.
    pub starts: Vec<u32>,
    /// Bytes before the first character that is not white space, or [`BLANK`]: `[lines]`.
    pub indents: Vec<u32>,
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Self {
        let (mut starts, mut indents) = (vec![0], Vec::new());
        let mut end = 0;
        for line in text.split_inclusive('\n') {
            end += line.len();
            starts.push(end as u32);
            let rest = line.trim_start().len();
            indents.push(if rest == 0 { BLANK } else { (line.len() - rest) as u32 });
        }
        Self { text, starts, indents }
    }

    pub fn len(&self) -> usize {
        self.indents.len()
    }

    /// The lines `from..to`, with their line ends.
    pub fn slice(&self, from: usize, to: usize) -> &'a str {
        &self.text[self.starts[from] as usize..self.starts[to] as usize]
    }

    pub fn line(&self, line: usize) -> &'a str {
        self.slice(line, line + 1)
    }

    pub fn is_blank(&self, line: usize) -> bool {
        self.indents[line] == BLANK
    }

    /// Whether only white space precedes byte `column` of `line`.
    pub fn starts_at(&self, line: usize, column: usize) -> bool {
        self.indents.get(line).is_some_and(|indent| *indent as usize == column)
    }

    /// Whether only white space follows byte `column` of `line`.
    pub fn ends_at(&self, line: usize, column: usize) -> bool {
        self.line(line).get(column..).is_none_or(|rest| rest.trim().is_empty())
    }
}
