//! Splitter: chooses the runs of lines that become the chunks of a file.
//!
//! A range over the budget is split at its lowest level. Parts that fit are merged again from the
//! left, and a part that does not fit is split further. An explicit stack replaces recursion, because
//! levels nest as deep as the text does. O(n log n) for n lines.

use super::levels::NEVER;

/// Lines `start..end`, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub start: usize,
    pub end: usize,
}

/// A head of at most `1 / HEAD_PART` of the budget stays with the first part of its body.
const HEAD_PART: u64 = 3;
/// A piece of at most `1 / TINY_PART` of the budget is merged with a neighbour if both fit.
const TINY_PART: u64 = 8;

/// Levels and tokens of the lines to split.
pub(super) struct Splitter<'a> {
    /// `[lines]`
    levels: &'a [u32],
    /// The next line of the same level with no lower one between: `[lines]`.
    next: Vec<u32>,
    lowest: LowestTree,
    /// Tokens of all lines before each line: `[lines + 1]`.
    before: Vec<u64>,
}

enum Work {
    Done(Piece),
    /// May be over the budget. It is split only after line `inner`.
    Open {
        start: usize,
        inner: usize,
        end: usize,
    },
}

impl<'a> Splitter<'a> {
    /// levels, tokens: `[lines]`.
    pub fn new(levels: &'a [u32], tokens: &[u32]) -> Self {
        let mut before = Vec::with_capacity(tokens.len() + 1);
        before.push(0);
        before.extend(tokens.iter().scan(0, |sum, &count| {
            *sum += u64::from(count);
            Some(*sum)
        }));
        Self { levels, next: next_of_same(levels), lowest: LowestTree::new(levels), before }
    }

    /// Tokens of the lines `start..end`.
    pub fn tokens(&self, start: usize, end: usize) -> u64 {
        self.before[end] - self.before[start]
    }

    /// Pieces in order that together hold every line once. `budget(line)` is the number of tokens that a
    /// piece starting there may have.
    pub fn split(&self, mut budget: impl FnMut(usize) -> u64) -> Vec<Piece> {
        let lines = self.levels.len();
        if lines == 0 {
            return Vec::new();
        }
        let mut pieces = Vec::new();
        let mut stack = vec![Work::Open { start: 0, inner: 0, end: lines }];
        while let Some(work) = stack.pop() {
            match work {
                Work::Done(piece) => pieces.push(piece),
                Work::Open { start, inner, end } => {
                    let from = stack.len();
                    self.split_range(start, inner, end, &mut budget, &mut stack);
                    stack[from..].reverse();
                }
            }
        }
        self.merge_tiny(pieces, budget)
    }

    fn split_range(
        &self,
        start: usize,
        inner: usize,
        end: usize,
        budget: &mut impl FnMut(usize) -> u64,
        out: &mut Vec<Work>,
    ) {
        let whole = Work::Done(Piece { start, end });
        if self.tokens(start, end) <= budget(start) {
            return out.push(whole);
        }
        let Some(first) = self.lowest.first(inner + 1, end) else {
            if start < inner {
                out.push(Work::Done(Piece { start, end: inner }));
            }
            return out.push(Work::Done(Piece { start: inner, end }));
        };
        let mut merged: Option<Merged> = None;
        let (mut from, mut to) = (start, first);
        while from < end {
            let seam = if from == start { inner } else { from };
            self.add_part(from, seam, to, &mut merged, budget, out);
            from = to;
            to = (self.next[from.min(self.next.len() - 1)] as usize).min(end);
        }
        if let Some(merged) = merged {
            out.push(Work::Done(merged.piece));
        }
    }

    /// Merges the part `from..to` with the parts before it, or starts a new piece with it.
    fn add_part(
        &self,
        from: usize,
        seam: usize,
        to: usize,
        merged: &mut Option<Merged>,
        budget: &mut impl FnMut(usize) -> u64,
        out: &mut Vec<Work>,
    ) {
        let fits = |start: usize, budget: &mut dyn FnMut(usize) -> u64| {
            self.tokens(start, to) <= budget(start)
        };
        if let Some(before) = merged
            && fits(before.piece.start, budget)
        {
            before.piece.end = to;
            before.parts += 1;
            return;
        }
        let before = merged.take();
        if fits(from, budget) {
            out.extend(before.map(|before| Work::Done(before.piece)));
            *merged = Some(Merged { piece: Piece { start: from, end: to }, parts: 1 });
            return;
        }
        let mut start = from;
        if let Some(Merged { piece, parts }) = before {
            let part = if parts == 1 { HEAD_PART } else { TINY_PART };
            if self.tokens(piece.start, piece.end) * part <= budget(piece.start) {
                start = piece.start;
            } else {
                out.push(Work::Done(piece));
            }
        }
        out.push(Work::Open { start, inner: seam, end: to });
    }

    fn merge_tiny(&self, pieces: Vec<Piece>, mut budget: impl FnMut(usize) -> u64) -> Vec<Piece> {
        let mut merged: Vec<Piece> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let Some(last) = merged.last_mut() else {
                merged.push(piece);
                continue;
            };
            let budget = budget(last.start);
            let smaller =
                self.tokens(piece.start, piece.end).min(self.tokens(last.start, last.end));
            let fits = self.tokens(last.start, piece.end) <= budget;
            if fits && smaller * TINY_PART <= budget {
                last.end = piece.end;
            } else {
                merged.push(piece);
            }
        }
        merged
    }
}

struct Merged {
    piece: Piece,
    parts: usize,
}

/// For each line the next one of its level with no lower one between, or the number of lines.
fn next_of_same(levels: &[u32]) -> Vec<u32> {
    let mut next = vec![levels.len() as u32; levels.len()];
    let mut open: Vec<usize> = Vec::new();
    for (line, &level) in levels.iter().enumerate() {
        while open.last().is_some_and(|&before| levels[before] > level) {
            open.pop();
        }
        if let Some(&before) = open.last()
            && levels[before] == level
        {
            next[before] = line as u32;
            open.pop();
        }
        open.push(line);
    }
    next
}

/// Finds the first line of the lowest level in any range of lines.
struct LowestTree {
    /// A segment tree of (level, line), whose leaves are the second half.
    nodes: Vec<(u32, u32)>,
}

impl LowestTree {
    fn new(levels: &[u32]) -> Self {
        let n = levels.len();
        let mut nodes = vec![(NEVER, u32::MAX); 2 * n];
        for (line, &level) in levels.iter().enumerate() {
            nodes[n + line] = (level, line as u32);
        }
        for i in (1..n).rev() {
            nodes[i] = nodes[2 * i].min(nodes[2 * i + 1]);
        }
        Self { nodes }
    }

    /// The first line of the lowest level in `from..to`; `None` when no line there may be split.
    fn first(&self, from: usize, to: usize) -> Option<usize> {
        let n = self.nodes.len() / 2;
        let (mut left, mut right) = (from + n, to.max(from) + n);
        let mut best = (NEVER, u32::MAX);
        while left < right {
            if left % 2 == 1 {
                best = best.min(self.nodes[left]);
                left += 1;
            }
            if right % 2 == 1 {
                right -= 1;
                best = best.min(self.nodes[right]);
            }
            left /= 2;
            right /= 2;
        }
        (best.0 != NEVER).then_some(best.1 as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(levels: &[u32], tokens: &[u32], budget: u64) -> Vec<(usize, usize)> {
        let pieces = Splitter::new(levels, tokens).split(|_| budget);
        pieces.into_iter().map(|piece| (piece.start, piece.end)).collect()
    }

    #[test]
    fn what_fits_is_one_piece() {
        assert_eq!(split(&[], &[], 10), []);
        assert_eq!(split(&[0, 1, 1], &[3, 3, 4], 10), [(0, 3)]);
    }

    #[test]
    fn siblings_are_merged_from_the_left_up_to_the_budget() {
        assert_eq!(split(&[0, 1, 1, 1, 1], &[4; 5], 10), [(0, 2), (2, 4), (4, 5)]);
    }

    #[test]
    fn a_large_node_is_cut_inside_and_not_mixed_with_its_neighbours() {
        // a | b with three parts of its own | c
        let levels = [1, 1, 2, 2, 1];
        assert_eq!(split(&levels, &[6, 8, 8, 8, 6], 10), [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
        // The head of a large node stays with the first part of its body.
        assert_eq!(split(&[1, 2, 2], &[2, 8, 8], 10), [(0, 2), (2, 3)]);
    }

    #[test]
    fn a_line_over_the_budget_is_alone() {
        assert_eq!(split(&[1, 1, 1], &[2, 50, 2], 10), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(split(&[1], &[50], 10), [(0, 1)]);
        assert_eq!(split(&[NEVER, NEVER], &[50, 50], 10), [(0, 2)]);
    }

    #[test]
    fn a_tiny_tail_joins_its_neighbour() {
        assert_eq!(split(&[1, 2, 1, 1], &[6, 6, 1, 10], 10), [(0, 1), (1, 3), (3, 4)]);
    }
}
