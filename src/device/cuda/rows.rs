//! How are the operations on single rows started?
//!
//! Each checks the shapes that its kernel trusts. A size that no kernel is made for is an error that
//! names it; shapes that do not fit each other are a mistake of the caller.

use std::ops::Range;

use super::batch::{DeviceTokens, Sequences};
use super::context::Cuda;
use super::element::{Element, Vector};
use super::kernels::{Launch, arguments};
use super::memory::{Buffer, DeviceRows};
use super::weights::{DeviceEmbedding, DeviceNorm, DeviceTurns, NormRule};
use crate::base::error::{Error, Result};
use crate::device::cpu::ops::{Activation, Segment};

/// Values of a vector of 16 bytes.
const VECTOR: usize = 8;
/// Threads of a block.
const THREADS: usize = 256;
/// Values of a row that one warp, or one block, holds.
const ROW_OF_WARP: usize = 1024;
const ROW_OF_BLOCK: usize = 8192;
/// Values of a pooled vector.
const TAIL_MAX: usize = 4096;

/// out becomes `[tokens, d]`: `norm(scale word + type + position)`.
pub fn embed<T: Element>(
    cuda: &Cuda,
    table: &DeviceEmbedding<T>,
    tokens: &DeviceTokens,
    norm: Option<&DeviceNorm>,
    out: &mut DeviceRows<T>,
) -> Result<()> {
    let (n, d) = (tokens.n(), table.words.d());
    assert_eq!((out.n(), out.d()), (n, d), "a row for each token");
    assert!(tokens.ids_end <= table.words.n(), "ids of the vocabulary");
    assert!(norm.is_none_or(|norm| norm.d() == d), "values of a norm");
    let parts = [&table.types, &table.positions];
    assert!(parts.into_iter().flatten().all(|part| part.d() == d), "tables of rows of {d}");
    if let Some(positions) = &table.positions {
        assert!(tokens.places_end <= positions.n(), "places of the table of positions");
    }
    let pointer = |part: &Option<DeviceRows<T>>| part.as_ref().map_or(0, |part| part.pointer(cuda));
    let (types, positions) = (pointer(&table.types), pointer(&table.positions));
    let kinds_max = table.types.as_ref().map_or(0, |types| as_int(types.n() - 1));
    let rule = norm.map_or(NormRule::default(), |norm| norm.rule(cuda));
    let (words, out) = (table.words.pointer(cuda), out.pointer(cuda));
    let (ids, kinds) = (tokens.ids.pointer(cuda), tokens.types.pointer(cuda));
    let (places, scale) = (tokens.places.pointer(cuda), table.scale);
    let (width, blocks) = rows_of(n, d)?;
    let (n, d) = (as_int(n), as_int(d));
    let name = format!("embed_{width}_{}", T::NAME);
    let args =
        arguments![words, types, positions, ids, kinds, places, out, rule, scale, kinds_max, n, d];
    // SAFETY: the parameters of kernels/embed.cu, whose sizes were checked above.
    unsafe { cuda.launch(&flat("embed", &name, blocks), args) }
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

/// x becomes `x + y`, and out its norm: a residual and the norm of the layer behind it in one pass.
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

/// y, sum and the second of `normed` lead to `[n, d]` values as x has them; 0 is none.
fn add_norms<T: Element>(
    cuda: &Cuda,
    x: &DeviceRows<T>,
    y: u64,
    sum: u64,
    normed: Option<(&DeviceNorm, u64)>,
) -> Result<()> {
    assert!(normed.is_none_or(|(norm, _)| norm.d() == x.d()), "values of a norm");
    let rule = normed.map_or(NormRule::default(), |(norm, _)| norm.rule(cuda));
    let out = normed.map_or(0, |(_, out)| out);
    let (width, blocks) = rows_of(x.n(), x.d())?;
    let name = format!("add_norm_{width}_{}", T::NAME);
    let (n, d, x) = (as_int(x.n()), as_int(x.d()), x.pointer(cuda));
    let args = arguments![x, y, sum, out, rule, n, d];
    // SAFETY: the parameters of kernels/norm.cu; the callers checked that the shapes are one.
    unsafe { cuda.launch(&flat("norm", &name, blocks), args) }
}

/// Each of the heads in each row becomes its norm. x: `[n, all heads * head_dim]`.
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
    let (rule, x, first) = (norm.rule(cuda), x.pointer(cuda), as_int(heads.start));
    let (heads, head_dim, n, d) = (as_int(heads.len()), as_int(head_dim), as_int(n), as_int(d));
    let name = format!("norm_heads_{}", T::NAME);
    let args = arguments![x, rule, first, heads, head_dim, n, d];
    // SAFETY: the parameters of kernels/norm.cu, whose sizes were checked above.
    unsafe { cuda.launch(&flat("norm", &name, threads.div_ceil(THREADS)), args) }
}

/// Turns the first `heads` heads of each row by its place. x: `[n, all heads * head_dim]`.
pub fn rotary<T: Element>(
    cuda: &Cuda,
    x: &mut DeviceRows<T>,
    heads: usize,
    head_dim: usize,
    turns: &DeviceTurns,
    tokens: &DeviceTokens,
) -> Result<()> {
    let (n, d, pairs) = (x.n(), x.d(), turns.pairs);
    assert!(heads * head_dim <= d && 2 * pairs <= head_dim, "{heads} heads of {head_dim} in {d}");
    assert!(tokens.n() == n && tokens.places_end <= turns.places, "a turn for each row");
    let vectors = |n: usize| n.is_multiple_of(VECTOR);
    if !vectors(pairs) || !vectors(head_dim) || !vectors(d) {
        let found = format!("{pairs} rotary pairs in heads of {head_dim}");
        return Err(unsupported(cuda, found, "multiples of 8"));
    }
    let threads = n * heads * pairs / VECTOR;
    let (x, places) = (x.pointer(cuda), tokens.places.pointer(cuda));
    let (turns, heads, head_dim) = (turns.values.pointer(cuda), as_int(heads), as_int(head_dim));
    let (pairs, n, d) = (as_int(pairs), as_int(n), as_int(d));
    let name = format!("rotary_{}", T::NAME);
    let args = arguments![x, turns, places, heads, head_dim, pairs, n, d];
    // SAFETY: the parameters of kernels/rotary.cu, whose sizes were checked above.
    unsafe { cuda.launch(&flat("rotary", &name, threads.div_ceil(THREADS)), args) }
}

/// out becomes `[n, d]`: `activation(gate) * up`, each with its bias.
///
/// wide: `[n, 2 * d]`, the gate of a row, then its up; bias: `[2 * d]`.
pub fn glu<T: Element>(
    cuda: &Cuda,
    wide: &DeviceRows<T>,
    bias: Option<&Buffer<T>>,
    activation: Activation,
    out: &mut DeviceRows<T>,
) -> Result<()> {
    assert_eq!((wide.n(), wide.d()), (out.n(), 2 * out.d()), "a gate for each value");
    elementwise(cuda, "glu", wide, bias, activation, out)
}

/// x becomes `activation(x + bias)`. x: `[n, d]`; bias: `[d]`.
pub(super) fn activate<T: Element>(
    cuda: &Cuda,
    x: &mut DeviceRows<T>,
    bias: Option<&Buffer<T>>,
    activation: Activation,
) -> Result<()> {
    elementwise(cuda, "activation", x, bias, activation, x)
}

/// x: as the kernel has it; bias: `[x.d()]`; out: `[n, d]`.
fn elementwise<T: Element>(
    cuda: &Cuda,
    module: &'static str,
    x: &DeviceRows<T>,
    bias: Option<&Buffer<T>>,
    activation: Activation,
    out: &DeviceRows<T>,
) -> Result<()> {
    assert!(bias.is_none_or(|bias| bias.len() == x.d()), "a bias for each value");
    if !out.d().is_multiple_of(VECTOR) {
        return Err(unsupported(cuda, format!("rows of {}", out.d()), "multiples of 8"));
    }
    let kind = match activation {
        Activation::None => "none",
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_tanh",
        Activation::Relu => "relu",
        Activation::Silu => "silu",
        Activation::Tanh => "tanh",
    };
    let name = format!("{module}_{kind}_{}", T::NAME);
    let blocks = (out.n() * out.d() / VECTOR).div_ceil(THREADS);
    let bias = bias.map_or(0, |bias| bias.pointer(cuda));
    let (x, n, d, out) = (x.pointer(cuda), as_int(out.n()), as_int(out.d()), out.pointer(cuda));
    let args = arguments![x, bias, out, n, d];
    // SAFETY: the parameters of kernels/glu.cu and kernels/activation.cu, which are the same; the
    // sizes were checked above.
    unsafe { cuda.launch(&flat(module, &name, blocks), args) }
}

/// One vector a sequence: its rows pooled, cut to the first values, of length 1 if `normalize`; zeros
/// for an empty sequence. hidden: `[tokens, d]`; out: `[n, dim]`.
pub fn tail<T: Element, V: Vector>(
    cuda: &Cuda,
    hidden: &DeviceRows<T>,
    sequences: &Sequences,
    segment: Segment,
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
    let segment: i32 = match segment {
        Segment::Mean => 0,
        Segment::WeightedMean => 1,
        Segment::Max => 2,
        Segment::First => 3,
        Segment::Last => 4,
    };
    let (hidden, cu_seqlens) = (hidden.pointer(cuda), sequences.cu_seqlens.pointer(cuda));
    let (out, normalize, d, dim) =
        (out.pointer(cuda), i32::from(normalize), as_int(d), as_int(dim));
    let name = format!("tail_{}_{}", V::NAME, T::NAME);
    let args = arguments![hidden, cu_seqlens, out, segment, normalize, d, dim];
    // SAFETY: the parameters of kernels/tail.cu, whose sizes were checked above; `Sequences` checked
    // that the ends ascend.
    unsafe { cuda.launch(&flat("tail", &name, n), args) }
}

fn same<T: Element>(x: &DeviceRows<T>, y: &DeviceRows<T>) {
    assert_eq!((y.n(), y.d()), (x.n(), x.d()), "shapes of two operands");
}

/// Which build of a kernel takes rows of `d`, and how many blocks `n` of them are.
fn rows_of(n: usize, d: usize) -> Result<(&'static str, usize)> {
    if !d.is_multiple_of(VECTOR) || d > ROW_OF_BLOCK {
        return Err(Error::ModelUnsupported {
            found: format!("on a GPU, a hidden state of {d} values"),
            supported: format!("multiples of {VECTOR} up to {ROW_OF_BLOCK}"),
        });
    }
    let per_block = THREADS / 32;
    Ok(if d <= ROW_OF_WARP { ("warp", n.div_ceil(per_block)) } else { ("block", n) })
}

fn flat<'a>(module: &'static str, name: &'a str, blocks: usize) -> Launch<'a> {
    Launch { module, name, blocks: (blocks, 1), threads: THREADS as u32, shared_bytes: 0 }
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
