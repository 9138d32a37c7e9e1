//! The level of each line: where a file is best split.
//!
//! The level of a line belongs to the split before it. Lower levels are split first.

use super::lines::{BLANK, Lines};

/// From here on: lines that follow a blank line, ordered by their indent.
const AFTER_BLANK: u32 = 1 << 30;
const INDENT_MAX: u32 = 1 << 20;
/// Any other line, the last resort.
const ANYWHERE: u32 = 1 << 31;
/// Never split: a blank line belongs to the line before it.
pub(super) const NEVER: u32 = u32::MAX;

/// A node that fills a whole line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    Comment,
    Attribute,
}

/// Completes the levels of a syntax tree, which are [`NEVER`] where no node starts.
///
/// levels, marks: `[lines]`.
pub(super) fn complete(levels: &mut [u32], marks: &[Mark], lines: &Lines<'_>) {
    for (line, level) in levels.iter_mut().enumerate() {
        if *level == NEVER {
            let after_blank = line > 0 && lines.is_blank(line - 1);
            let indent = lines.indents[line].min(INDENT_MAX);
            *level = if after_blank { AFTER_BLANK + indent } else { ANYWHERE };
        }
    }
    for line in 0..levels.len() {
        let first = first_of_run(line, marks, lines);
        if first < line && levels[line] < AFTER_BLANK {
            levels[first] = levels[first].min(levels[line]);
            levels[first + 1..=line].fill(ANYWHERE);
        }
    }
    for (level, indent) in levels.iter_mut().zip(&lines.indents) {
        if *indent == BLANK {
            *level = NEVER;
        }
    }
}

/// The first line of the comments and attributes directly above `line` that belong to it.
pub(super) fn first_of_run(line: usize, marks: &[Mark], lines: &Lines<'_>) -> usize {
    if marks[line] != Mark::None || lines.indents[line] == BLANK {
        return line;
    }
    let mut first = line;
    while first > 0 && marks[first - 1] != Mark::None {
        first -= 1;
    }
    // Lines inside a comment may be indented deeper; the run starts at the indent of the line.
    while first < line && lines.indents[first] != lines.indents[line] {
        first += 1;
    }
    first
}
