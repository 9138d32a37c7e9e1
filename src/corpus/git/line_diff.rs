//! Which lines of two versions of a file are the same?

use std::ops::Range;

use gix::diff::blob::sources::byte_lines;
use gix::diff::blob::{Algorithm, InternedInput, diff_with_slider_heuristics};

/// A run of lines that both versions have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unchanged {
    /// Counted from 0.
    pub before: u32,
    /// Counted from 0.
    pub after: u32,
    pub len: u32,
}

/// The lines in common, ascending, aligned as git aligns them.
pub(super) fn unchanged(before: &[u8], after: &[u8], algorithm: Algorithm) -> Vec<Unchanged> {
    let input = InternedInput::new(byte_lines(before), byte_lines(after));
    let diff = diff_with_slider_heuristics(algorithm, &input);
    let (mut runs, mut from, mut to) = (Vec::new(), 0, 0);
    let end = input.after.len() as u32;
    let changes = diff.hunks().map(|hunk| (hunk.before, hunk.after));
    for (removed, added) in changes.chain([(0..0, end..end)]) {
        if added.start > to {
            runs.push(Unchanged { before: from, after: to, len: added.start - to });
        }
        (from, to) = (removed.end, added.end);
    }
    runs
}

/// The lines of two versions of a file that are not in the other, ascending, counted from 1: those of
/// `before`, then those of `after`.
pub fn changed_lines(before: &str, after: &str) -> (Vec<u32>, Vec<u32>) {
    let input = InternedInput::new(byte_lines(before.as_bytes()), byte_lines(after.as_bytes()));
    let diff = diff_with_slider_heuristics(Algorithm::Histogram, &input);
    let lines = |ranges: Vec<Range<u32>>| {
        ranges.into_iter().flatten().map(|line| line + 1).collect::<Vec<u32>>()
    };
    let (removed, added) = diff.hunks().map(|hunk| (hunk.before, hunk.after)).unzip();
    (lines(removed), lines(added))
}

/// The number of lines; the last one may lack its end.
pub(super) fn count(text: &[u8]) -> u32 {
    byte_lines(text).count() as u32
}
