//! Launches of the operations on single rows.
//!
//! Each checks the shapes that its kernel relies on. A size without a kernel is an error that names
//! it; shapes that do not fit each other are a bug of the caller.

use std::ops::Range;

use super::batch::{DeviceTokens, Sequences};
use super::context::Cuda;
use super::element::{Element, Vector};
use super::kernels::{Kernel, RowWidth};
use super::launch::{Launch, arguments};
use super::memory::{Buffer, DeviceRows};
use super::weights::{DeviceCosSin, DeviceEmbedding, DeviceNorm, NormParams};
use crate::base::error::{Error, Result};
use crate::device::cpu::ops::{Activation, Pooling};

/// Values of a vector of 16 bytes.
const VECTOR: usize = 8;
/// Threads of a block.
const THREADS: usize = 256;
/// Values of a row that one warp, or one block, holds.
const ROW_OF_WARP: usize = 1024;
const ROW_OF_BLOCK: usize = 8192;
/// Values of a pooled vector.
const TAIL_MAX: usize = 4096;

/// out becomes `[tokens, d]`: `norm(scale * word + token type + position)`.
pub fn embed<T: Element>(
    cuda: &Cuda,
    table: &DeviceEmbedding<T>,
    tokens: &DeviceTokens,
    norm: Option<&DeviceNorm>,
    out: &mut DeviceRows<T>,
) -> Result<()> {
    let (n, d) = (tokens.n(), table.word_embeddings.d());
    assert_eq!((out.n(), out.d()), (n, d), "a row for each token");
    assert!(tokens.ids_end <= table.word_embeddings.n(), "ids of the vocabulary");
    assert!(norm.is_none_or(|norm| norm.d() == d), "values of a norm");
    let parts = [&table.token_type_embeddings, &table.position_embeddings];
    assert!(parts.into_iter().flatten().all(|part| part.d() == d), "tables of rows of {d}");
    if let Some(positions) = &table.position_embeddings {
        assert!(tokens.positions_end <= positions.n(), "rows of the position embeddings");
    }
    let pointer = |part: &Option<DeviceRows<T>>| part.as_ref().map_or(0, |part| part.pointer(cuda));
    let (types, positions) =
        (pointer(&table.token_type_embeddings), pointer(&table.position_embeddings));
    let token_type_max =
        table.token_type_embeddings.as_ref().map_or(0, |types| as_int(types.n() - 1));
    let norm = norm.map_or(NormParams::default(), |norm| norm.params(cuda));
    let (words, out) = (table.word_embeddings.pointer(cuda), out.pointer(cuda));
    let (ids, token_type_ids) = (tokens.ids.pointer(cuda), tokens.token_type_ids.pointer(cuda));
    let (position_ids, scale) = (tokens.position_ids.pointer(cuda), table.scale);
    let (width, blocks) = rows_of(n, d)?;
    let (n, d) = (as_int(n), as_int(d));
    let kernel = Kernel::Embed(width, T::NUMBER);
    let args = arguments![
        words,
        types,
        positions,
        ids,
        token_type_ids,
        position_ids,
        out,
        norm,
        scale,
        token_type_max,
        n,
        d
    ];
    // SAFETY: the parameters of kernels/embed.cu, whose sizes were checked above.
    unsafe { cuda.launch(&flat(kernel, blocks), args) }
}

/// out becomes `norm(x)`. x, out: `[n, d]`.
pub fn norm<T: Element>(
    cuda: &Cuda,
    x: &DeviceRows<T>,
    norm: &DeviceNorm,
    out: &mut DeviceRows<T>,
) -> Result<()> {
    same(x, out);
    add_norms(cuda, x, 0, 0, Some((norm, out.pointer(cuda))))
}

/// x becomes `x + y`. x, y: `[n, d]`.
pub fn residual<T: Element>(cuda: &Cuda, x: &mut DeviceRows<T>, y: &DeviceRows<T>) -> Result<()> {
    same(x, y);
    add_norms(cuda, x, y.pointer(cuda), x.pointer(cuda), None)
}

/// x becomes `norm(x + y)`. x, y: `[n, d]`.
pub fn residual_norm<T: Element>(
    cuda: &Cuda,
    x: &mut DeviceRows<T>,
    y: &DeviceRows<T>,
    norm: &DeviceNorm,
) -> Result<()> {
    same(x, y);
    add_norms(cuda, x, y.pointer(cuda), 0, Some((norm, x.pointer(cuda))))
}

/// x becomes `x + y`, and out its norm: a residual and the norm of the next layer in one pass.
/// x, y, out: `[n, d]`.
pub fn add_norm<T: Element>(
    cuda: &Cuda,
    x: &mut DeviceRows<T>,
    y: &DeviceRows<T>,
    norm: &DeviceNorm,
    out: &mut DeviceRows<T>,
) -> Result<()> {
    same(x, y);
    same(x, out);
    add_norms(cuda, x, y.pointer(cuda), x.pointer(cuda), Some((norm, out.pointer(cuda))))
}

/// y, sum and the second of `normed` are addresses of `[n, d]` values, or 0 for none.
fn add_norms<T: Element>(
    cuda: &Cuda,
    x: &DeviceRows<T>,
    y: u64,
    sum: u64,
    normed: Option<(&DeviceNorm, u64)>,
) -> Result<()> {
    assert!(normed.is_none_or(|(norm, _)| norm.d() == x.d()), "values of a norm");
    let params = normed.map_or(NormParams::default(), |(norm, _)| norm.params(cuda));
    let out = normed.map_or(0, |(_, out)| out);
    let (width, blocks) = rows_of(x.n(), x.d())?;
    let kernel = Kernel::AddNorm(width, T::NUMBER);
    let (n, d, x) = (as_int(x.n()), as_int(x.d()), x.pointer(cuda));
    let args = arguments![x, y, sum, out, params, n, d];
    // SAFETY: the parameters of kernels/norm.cu; the callers checked that the shapes are one.
    unsafe { cuda.launch(&flat(kernel, blocks), args) }
}

/// Normalises each of `heads` in each row. x: `[n, all heads * head_dim]`.
pub fn norm_heads<T: Element>(
    cuda: &Cuda,
    x: &mut DeviceRows<T>,
    heads: Range<usize>,
    norm: &DeviceNorm,
) -> Result<()> {
    let (n, d, head_dim) = (x.n(), x.d(), norm.d());
    assert!(heads.end * head_dim <= d, "heads {heads:?} of {head_dim} in rows of {d}");
    if !head_dim.is_power_of_two() || !(VECTOR..=32 * VECTOR).contains(&head_dim) {
        return Err(unsupported(cuda, format!("norms of heads of {head_dim}"), "8, 16, … 256"));
    }
    let threads = n * heads.len() * head_dim / VECTOR;
    let (norm, x, first) = (norm.params(cuda), x.pointer(cuda), as_int(heads.start));
    let (heads, head_dim, n, d) = (as_int(heads.len()), as_int(head_dim), as_int(n), as_int(d));
    let kernel = Kernel::NormHeads(T::NUMBER);
    let args = arguments![x, norm, first, heads, head_dim, n, d];
    // SAFETY: the parameters of kernels/norm.cu, whose sizes were checked above.
    unsafe { cuda.launch(&flat(kernel, threads.div_ceil(THREADS)), args) }
}

/// Applies rotary position embeddings to the first `heads` heads of each row. x:
/// `[n, all heads * head_dim]`.
pub fn rotary<T: Element>(
    cuda: &Cuda,
    x: &mut DeviceRows<T>,
    heads: usize,
    head_dim: usize,
    cos_sin: &DeviceCosSin,
    tokens: &DeviceTokens,
) -> Result<()> {
    let (n, d, pairs) = (x.n(), x.d(), cos_sin.pairs);
    assert!(heads * head_dim <= d && 2 * pairs <= head_dim, "{heads} heads of {head_dim} in {d}");
    assert!(
        tokens.n() == n && tokens.positions_end <= cos_sin.positions,
        "a position for each row"
    );
    let vectors = |n: usize| n.is_multiple_of(VECTOR);
    if !vectors(pairs) || !vectors(head_dim) || !vectors(d) {
        let found = format!("{pairs} rotary pairs in heads of {head_dim}");
        return Err(unsupported(cuda, found, "multiples of 8"));
    }
    let threads = n * heads * pairs / VECTOR;
    let (x, position_ids) = (x.pointer(cuda), tokens.position_ids.pointer(cuda));
    let (cos_sin, heads, head_dim) =
        (cos_sin.values.pointer(cuda), as_int(heads), as_int(head_dim));
    let (pairs, n, d) = (as_int(pairs), as_int(n), as_int(d));
    let kernel = Kernel::Rotary(T::NUMBER);
    let args = arguments![x, cos_sin, position_ids, heads, head_dim, pairs, n, d];
    // SAFETY: the parameters of kernels/rotary.cu, whose sizes were checked above.
    unsafe { cuda.launch(&flat(kernel, threads.div_ceil(THREADS)), args) }
}

/// out becomes `[n, d]`: `activation(gate) * up`, each with its bias.
///
/// gate_up: `[n, 2 * d]`, the gate of a row first; bias: `[2 * d]`.
pub fn glu<T: Element>(
    cuda: &Cuda,
    gate_up: &DeviceRows<T>,
    bias: Option<&Buffer<T>>,
    activation: Activation,
    out: &mut DeviceRows<T>,
) -> Result<()> {
    assert_eq!((gate_up.n(), gate_up.d()), (out.n(), 2 * out.d()), "a gate for each value");
    elementwise(cuda, Kernel::Glu(activation, T::NUMBER), gate_up, bias, out)
}

/// x becomes `activation(x + bias)`. x: `[n, d]`; bias: `[d]`.
pub(super) fn activate<T: Element>(
    cuda: &Cuda,
    x: &mut DeviceRows<T>,
    bias: Option<&Buffer<T>>,
    activation: Activation,
) -> Result<()> {
    elementwise(cuda, Kernel::Activation(activation, T::NUMBER), x, bias, x)
}

/// x: as the kernel reads it; bias: `[x.d()]`; out: `[n, d]`.
fn elementwise<T: Element>(
    cuda: &Cuda,
    kernel: Kernel,
    x: &DeviceRows<T>,
    bias: Option<&Buffer<T>>,
    out: &DeviceRows<T>,
) -> Result<()> {
    assert!(bias.is_none_or(|bias| bias.len() == x.d()), "a bias for each value");
    if !out.d().is_multiple_of(VECTOR) {
        return Err(unsupported(cuda, format!("rows of {}", out.d()), "multiples of 8"));
    }
    let blocks = (out.n() * out.d() / VECTOR).div_ceil(THREADS);
    let bias = bias.map_or(0, |bias| bias.pointer(cuda));
    let (x, n, d, out) = (x.pointer(cuda), as_int(out.n()), as_int(out.d()), out.pointer(cuda));
    let args = arguments![x, bias, out, n, d];
    // SAFETY: the parameters of kernels/glu.cu and kernels/activation.cu, which are the same; the
    // sizes were checked above.
    unsafe { cuda.launch(&flat(kernel, blocks), args) }
}

/// One vector for each sequence: its rows pooled, truncated to `out.d()`, of length 1 if
/// `normalize`; zeros for an empty sequence. hidden: `[tokens, d]`; out: `[n, dim]`.
pub fn tail<T: Element, V: Vector>(
    cuda: &Cuda,
    hidden: &DeviceRows<T>,
    sequences: &Sequences,
    pooling: Pooling,
    normalize: bool,
    out: &mut DeviceRows<V>,
) -> Result<()> {
    let (n, d, dim) = (sequences.n(), hidden.d(), out.d());
    assert_eq!(sequences.tokens(), hidden.n(), "cu_seqlens end where the rows end");
    assert!((1..=d).contains(&dim), "{dim} of {d} values");
    assert_eq!(out.n(), n, "a vector for each sequence");
    if !d.is_multiple_of(VECTOR) || dim > TAIL_MAX {
        let found = format!("vectors of {dim} out of rows of {d}");
        return Err(unsupported(cuda, found, "up to 4096 out of multiples of 8"));
    }
    let pooling: i32 = match pooling {
        Pooling::Mean => 0,
        Pooling::WeightedMean => 1,
        Pooling::Max => 2,
        Pooling::Cls => 3,
        Pooling::Last => 4,
        Pooling::MeanSqrtLen => {
            let found = format!("pooling by {}", pooling.as_str());
            return Err(unsupported(cuda, found, "mean, weightedmean, max, cls and last"));
        }
    };
    let (hidden, cu_seqlens) = (hidden.pointer(cuda), sequences.cu_seqlens.pointer(cuda));
    let (out, normalize, d, dim) =
        (out.pointer(cuda), i32::from(normalize), as_int(d), as_int(dim));
    let kernel = Kernel::Tail(V::NUMBER, T::NUMBER);
    let args = arguments![hidden, cu_seqlens, out, pooling, normalize, d, dim];
    // SAFETY: the parameters of kernels/tail.cu, whose sizes were checked above; `Sequences`
    // checked that the ends ascend.
    unsafe { cuda.launch(&flat(kernel, n), args) }
}

fn same<T: Element>(x: &DeviceRows<T>, y: &DeviceRows<T>) {
    assert_eq!((y.n(), y.d()), (x.n(), x.d()), "shapes of two operands");
}

/// The variant of a kernel for rows of `d`, and the number of blocks for `n` of them.
fn rows_of(n: usize, d: usize) -> Result<(RowWidth, usize)> {
    if !d.is_multiple_of(VECTOR) || d > ROW_OF_BLOCK {
        return Err(Error::ModelUnsupported {
            found: format!("on a GPU, a hidden state of {d} values"),
            supported: format!("multiples of {VECTOR} up to {ROW_OF_BLOCK}"),
        });
    }
    let per_block = THREADS / 32;
    Ok(if d <= ROW_OF_WARP {
        (RowWidth::Warp, n.div_ceil(per_block))
    } else {
        (RowWidth::Block, n)
    })
}

fn flat(kernel: Kernel, blocks: usize) -> Launch {
    Launch { kernel, blocks: (blocks, 1), threads: THREADS as u32 }
}

/// A size as the kernels take it.
pub(crate) fn as_int(n: usize) -> i32 {
    i32::try_from(n).expect("sizes of a batch are below 2^31")
}

pub(super) fn unsupported(cuda: &Cuda, found: String, supported: &str) -> Error {
    Error::ModelUnsupported {
        found: format!("on {}, {found}", cuda.name()),
        supported: format!("{supported}; the CPU takes any"),
    }
}
