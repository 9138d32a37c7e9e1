//! Where may a file be cut, and where rather not?
//!
//! A level belongs to the cut before a line. Lower levels are cut first.

use super::lines::{BLANK, Lines};

/// Levels from here on come from blank lines: a line behind one, by its indent.
const AFTER_BLANK: u32 = 1 << 30;
const INDENT_MAX: u32 = 1 << 20;
/// Any other line: the last resort.
const ANYWHERE: u32 = 1 << 31;
/// Never cut: a blank line belongs to what is before it.
pub(super) const NEVER: u32 = u32::MAX;

/// What fills a whole line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    Comment,
    Attribute,
}

/// Completes the levels that a syntax tree gave, [`NEVER`] where it gave none.
///
/// `levels` and `marks` are `[lines]`.
pub(super) fn complete(levels: &mut [u32], marks: &[Mark], lines: &Lines<'_>) {
    for (line, level) in levels.iter_mut().enumerate() {
        if *level == NEVER {
            let behind_blank = line > 0 && lines.is_blank(line - 1);
            let indent = lines.indents[line].min(INDENT_MAX);
            *level = if behind_blank { AFTER_BLANK + indent } else { ANYWHERE };
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

/// The first of the comments and attributes that stand directly above `line` and belong to it.
pub(super) fn first_of_run(line: usize, marks: &[Mark], lines: &Lines<'_>) -> usize {
    if marks[line] != Mark::None || lines.indents[line] == BLANK {
        return line;
    }
    let mut first = line;
    while first > 0 && marks[first - 1] != Mark::None {
        first -= 1;
    }
    // Comments may be indented deeper inside; the run starts where the indent is that of the line.
    while first < line && lines.indents[first] != lines.indents[line] {
        first += 1;
    }
    first
}
