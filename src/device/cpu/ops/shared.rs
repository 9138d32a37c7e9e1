//! One buffer that several tasks write, and values as words: the unsafe part of the operations.

use std::marker::PhantomData;
use std::ops::Range;

use super::tile::{PANEL, Step};

/// Rows and columns that are transposed in registers.
const SIDE: usize = 4;

/// A row-major buffer that tasks write disjoint tiles of: `[n, stride]`.
pub struct Shared<'a> {
    start: *mut f32,
    n: usize,
    stride: usize,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is an address and two sizes; callers of `tile` promise that no two tiles overlap.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// data: `[n * stride]`.
    pub fn new(data: &'a mut [f32], stride: usize) -> Self {
        assert!(stride > 0 && data.len().is_multiple_of(stride));
        Self { n: data.len() / stride, start: data.as_mut_ptr(), stride, owner: PhantomData }
    }

    /// A tile for one task to write.
    ///
    /// # Safety
    /// No two tiles alive at the same time share an element.
    pub unsafe fn tile(&self, rows: Range<usize>, cols: Range<usize>) -> Tile<'_> {
        assert!(!rows.is_empty() && !cols.is_empty(), "a tile without elements");
        assert!(rows.end <= self.n && cols.end <= self.stride, "a tile outside its matrix");
        // SAFETY: the first element of the tile lies inside the buffer, by the assertions.
        let start = unsafe { self.start.add(rows.start * self.stride + cols.start) };
        let (rows, cols) = (rows.len(), cols.len());
        Tile { start, rows, cols, stride: self.stride, owner: PhantomData }
    }
}

/// A writable block of a row-major matrix: `[rows, cols]`.
pub struct Tile<'a> {
    start: *mut f32,
    rows: usize,
    cols: usize,
    stride: usize,
    owner: PhantomData<&'a mut [f32]>,
}

impl Tile<'_> {
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Row `i`: `[cols]`.
    pub fn row(&mut self, i: usize) -> &mut [f32] {
        assert!(i < self.rows);
        // SAFETY: `Shared::tile` checked that row `i` of the tile lies in the buffer, and its
        // caller promised that nobody else has it; `&mut self` lends one row at a time.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(i * self.stride), self.cols) }
    }
}

/// The bits of f32 values. values: `[n]`.
pub fn words(values: &[f32]) -> &[u32] {
    // SAFETY: the same size and alignment, and a u32 has no invalid bits.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
}

/// The same words, two values each: `[2 * steps]`.
pub fn halves(words: &mut [u32]) -> &mut [u16] {
    // SAFETY: a u16 has no invalid bits and a smaller alignment, and two fill a u32.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 2 * words.len()) }
}

/// The same words, four values each: `[4 * steps]`.
pub fn bytes(words: &mut [u32]) -> &mut [u8] {
    // SAFETY: a u8 has no invalid bits and a smaller alignment, and four fill a u32.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 4 * words.len()) }
}

/// The values of steps: `[32 * steps]`.
pub fn floats(steps: &mut [Step]) -> &mut [f32] {
    // SAFETY: a step is 32 words without padding, aligned more strictly than f32, and an f32 has no
    // invalid bits.
    unsafe { std::slice::from_raw_parts_mut(steps.as_mut_ptr().cast(), steps.len() * PANEL) }
}

/// The words of steps: `[32 * steps]`.
pub fn words_of(steps: &[Step]) -> &[u32] {
    // SAFETY: a step is 32 words without padding, aligned more strictly than u32.
    unsafe { std::slice::from_raw_parts(steps.as_ptr().cast(), steps.len() * PANEL) }
}

/// panel becomes `rows`, each in its own lane. rows: `[32][steps]`; panel: `[steps]`.
pub fn transpose(rows: [&[u32]; PANEL], panel: &mut [Step]) {
    for first in (0..PANEL).step_by(SIDE) {
        let rows: [_; SIDE] = std::array::from_fn(|i| rows[first + i].as_chunks::<SIDE>());
        let (blocks, rest) = panel.as_chunks_mut::<SIDE>();
        for (i, steps) in blocks.iter_mut().enumerate() {
            let block = rows.map(|(blocks, _)| blocks[i]);
            for (j, step) in steps.iter_mut().enumerate() {
                step.0[first..first + SIDE].copy_from_slice(&block.map(|row| row[j]));
            }
        }
        for (j, step) in rest.iter_mut().enumerate() {
            step.0[first..first + SIDE].copy_from_slice(&rows.map(|(_, rest)| rest[j]));
        }
    }
}
