//! One tile of a matrix product: the loop of linear layers and attention.
//!
//! A tile is a few rows of activations by the 32 outputs of one panel of weights. Inputs are read
//! in *words* of 32 bits, which hold 1 f32, 2 bf16, 2 int16 or 4 int8, whatever the instruction
//! set; a *step* is one word of every row and of every output:
//!
//! ```text
//! x      [rows, stride]  words, row-major; the first `steps` of each row count
//! panel  [steps, 32]     words
//! sums   [rows, across]  steps, the first of each row: the bits of f32 or i32
//!        sums[r][o] = sum over s of dot(x[r][s], panel[s][o])
//! ```
//!
//! On AVX-512 the tile is 12 rows by 2 registers of 16 words, so 24 registers hold sums, 2 the
//! weights of a step and 1 a word of a row, spread over all lanes: 24 instructions that compute for
//! 14 that load, enough that the loads hide. On AVX2 it is 6 rows by 2 registers of 8 words, of 16
//! registers, and a panel is gone through twice. Weights are fetched into L2 while the tiles before
//! them are computed, and stream from there in their order of use, a row of x from L1; nothing is
//! blocked over the inputs.

#[cfg(target_arch = "x86_64")]
#[macro_use]
mod body;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use crate::device::{Dtype, InstructionSet};

/// Outputs of one panel.
pub const PANEL: usize = 32;

/// Rows of the tallest tile.
pub const ROWS_MAX: usize = 12;

/// Whether two products of 16-bit integers and their sum are one instruction: twice the rate of
/// f32.
pub fn int16_is_fast(set: InstructionSet) -> bool {
    match set {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => is_x86_feature_detected!("avx512vnni"),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => is_x86_feature_detected!("avxvnni"),
        _ => false,
    }
}

/// One word of each output of a panel, or the sums of one row of a tile, on two cache lines.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct Step(pub [u32; PANEL]);

impl Step {
    pub const ZERO: Self = Self([0; PANEL]);
}

/// A build of the tile's loop for one type and one instruction set.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// Rows of its tallest tile.
    rows_max: usize,
    run: Run,
}

/// rows, x: `[rows, stride]`, stride, panel: `[steps, 32]`, sums: `[rows, across]`, across, ahead.
///
/// # Safety
/// The processor has the build's instructions, and the shapes are as [`Kernel::run`] asserts.
type Run = unsafe fn(usize, &[u32], usize, &[Step], &mut [Step], usize, &[Step]);

impl Kernel {
    /// The fastest build for `dtype` that `set` allows and this processor has.
    pub fn new(set: InstructionSet, dtype: Dtype) -> Self {
        match set {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => avx512::kernel(dtype),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => avx2::kernel(dtype),
            _ => portable::kernel(dtype),
        }
    }

    /// The best height of tiles for `rows`: as few tiles as possible, all but the last of one
    /// height.
    pub fn height(self, rows: usize) -> usize {
        rows.div_ceil(rows.div_ceil(self.rows_max).max(1))
    }

    /// Computes one tile of `rows` rows.
    ///
    /// x: `[rows, stride]`, the last row may end after its steps; panel: `[steps, 32]`; sums:
    /// `[rows, across]`, the first of each row is written. ahead: what a later tile will read; it
    /// is brought into L2 meanwhile, a little with every step.
    #[expect(clippy::too_many_arguments)]
    pub fn run(
        self,
        rows: usize,
        x: &[u32],
        stride: usize,
        panel: &[Step],
        sums: &mut [Step],
        across: usize,
        ahead: &[Step],
    ) {
        assert!((1..=self.rows_max).contains(&rows) && stride >= panel.len());
        assert!((rows - 1) * stride + panel.len() <= x.len(), "rows outside their matrix");
        assert!((rows - 1) * across < sums.len(), "sums outside their matrix");
        // SAFETY: `new` chose a build whose instructions this processor has, and the assertions
        // are what every build asks for.
        unsafe { (self.run)(rows, x, stride, panel, sums, across, ahead) }
    }
}

#[cfg(test)]
mod tests;
