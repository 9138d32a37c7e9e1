//! Launches of attention over packed sequences.

use super::batch::Sequences;
use super::context::Cuda;
use super::element::Element;
use super::kernels::{HEAD_DIMS, Kernel};
use super::launch::{Launch, arguments};
use super::memory::DeviceRows;
use super::rows::{as_int, unsupported};
use super::weights::DeviceBias;
use crate::base::error::Result;
use crate::device::cpu::ops::Attention;

/// A distance that is beyond every sequence.
const DISTANCE_MAX: usize = 1 << 29;

/// `Shape` of kernels/attention.cu.
#[repr(C)]
struct Shape {
    heads: i32,
    heads_kv: i32,
    scale: f32,
    before: i32,
    after: i32,
    reach: i32,
}

/// out becomes `[tokens, heads * head_dim]`: `softmax(scale q k^T + bias) v` over the keys that the
/// mask shows, each sequence alone.
///
/// qkv: `[tokens, (heads + 2 * heads_kv) * head_dim]`, all queries of a token, then its keys, then
/// its values. Heads of 16, 32, 64 and 128.
pub fn attention<T: Element>(
    cuda: &Cuda,
    config: &Attention,
    qkv: &DeviceRows<T>,
    sequences: &Sequences,
    bias: Option<&DeviceBias>,
    out: &mut DeviceRows<T>,
) -> Result<()> {
    let Attention { heads, heads_kv, head_dim, .. } = *config;
    assert!(heads_kv > 0 && heads.is_multiple_of(heads_kv), "{heads} heads on {heads_kv}");
    assert_eq!(qkv.d(), config.row_dim(), "values of a row of queries, keys and values");
    assert_eq!(sequences.rows(), qkv.n(), "the tiles are of these rows");
    assert_eq!((out.n(), out.d()), (qkv.n(), heads * head_dim), "a context for each token");
    assert!(bias.is_none_or(|bias| bias.heads == heads), "a bias for each head");
    if !HEAD_DIMS.contains(&head_dim) {
        return Err(unsupported(cuda, format!("heads of {head_dim}"), "16, 32, 64 and 128"));
    }
    let shape = Shape {
        heads: as_int(heads),
        heads_kv: as_int(heads_kv),
        scale: config.scale,
        before: as_int(config.mask.before.min(DISTANCE_MAX)),
        after: as_int(config.mask.after.min(DISTANCE_MAX)),
        reach: bias.map_or(0, |bias| as_int(bias.reach)),
    };
    let bias = bias.map_or(0, |bias| bias.values.pointer(cuda));
    let (qkv, out) = (qkv.pointer(cuda), out.pointer(cuda));
    for tiles in &sequences.tiles {
        let list = tiles.list.pointer(cuda);
        let launch = Launch {
            kernel: Kernel::Attention(tiles.width, head_dim, T::NUMBER),
            blocks: (tiles.list.len() / 3, heads),
            threads: 32 * tiles.width.warps(),
        };
        // SAFETY: the parameters of kernels/attention.cu; the shapes were checked above, and
        // `Sequences` made the tiles of the rows it counted.
        unsafe { cuda.launch(&launch, arguments![qkv, bias, list, out, shape])? };
    }
    Ok(())
}
