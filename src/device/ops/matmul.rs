//! How is one block of a product of matrices computed?
//!
//! The only file that hands addresses to a matrix kernel, and that lets tasks write into parts of
//! one buffer: everything above works with checked views.

use std::marker::PhantomData;
use std::ops::Range;

/// A read-only block of a matrix: `[rows, cols]`, any strides.
#[derive(Clone, Copy)]
pub struct View<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> View<'a> {
    /// A block of a row-major matrix. data: `[n * stride]`.
    pub fn new(data: &'a [f32], stride: usize, rows: Range<usize>, cols: Range<usize>) -> Self {
        assert!(cols.end <= stride && rows.end * stride <= data.len(), "a view outside its matrix");
        let from = (rows.start * stride + cols.start).min(data.len());
        let (rows, cols) = (rows.len(), cols.len());
        Self { data: &data[from..], rows, cols, row_stride: stride, col_stride: 1 }
    }

    /// The same block with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// A row-major buffer that tasks write disjoint tiles of: `[n, stride]`.
pub struct Shared<'a> {
    start: *mut f32,
    n: usize,
    stride: usize,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is only an address and two sizes; whoever makes tiles of it promises that no two
// overlap.
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

    /// Becomes `scale * a b`. a: `[rows, k]`, b: `[k, cols]`. One thread; the kernel of the `gemm`
    /// crate.
    pub fn product(&mut self, a: View<'_>, b: View<'_>, scale: f32) {
        assert_eq!((a.rows, b.cols, a.cols), (self.rows, self.cols, b.rows), "shapes of a product");
        // SAFETY: each address is the first element of a block whose every element, at the strides
        // given, lies inside its buffer: `View::new` and `Shared::tile` check that. The tile is
        // ours alone, so it overlaps neither operand (they are borrowed shared). It is not read
        // (`false`).
        unsafe {
            gemm::gemm(
                self.rows,
                self.cols,
                a.cols,
                self.start,
                1,
                self.stride as isize,
                false,
                a.data.as_ptr(),
                a.col_stride as isize,
                a.row_stride as isize,
                b.data.as_ptr(),
                b.col_stride as isize,
                b.row_stride as isize,
                0.0_f32,
                scale,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}

/// The bits of f32 values. values: `[n]`.
pub fn words(values: &[f32]) -> &[u32] {
    // SAFETY: the same size and alignment, and a u32 has no invalid bits.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
}
