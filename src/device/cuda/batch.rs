//! The tokens and the sequences of a batch in device memory.
//!
//! Kernels index tables by the ids of a batch, so the maximum of each is kept here, and the
//! operations check it against their tables.

use super::kernels::TileWidth;
use super::memory::{Arena, Buffer};
use super::slot::StagedUpload;
use crate::base::error::Result;
use crate::device::cpu::ops::Tokens;

/// Queries of a tile on four warps, and of one on a single warp: see kernels/attention.cu.
const QUERIES_LONG: usize = 64;
const QUERIES_SHORT: usize = 16;

/// Rows of a batch, so that the sum of a row and a distance stays below 2^31.
const TOKENS_MAX: usize = 1 << 29;

/// Batches of up to so many tokens are padded, so that the launches of one serve for others. Above
/// this, a launch costs the host little compared with the device.
const PADDED_TOKENS_MAX: usize = 4096;

/// The numbers of rows and tiles on the device: all that the launches of a network depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    pub rows: usize,
    long: usize,
    short: usize,
}

/// How a batch is laid out on the device.
pub struct BatchLayout {
    pub frame: Frame,
    /// The frame is larger than the batch, so that others share it: rows behind its tokens belong
    /// to no sequence, and tiles behind its own have no rows. Nothing reads what is computed there.
    pub padded: bool,
    /// As in [`Tiles`].
    long: Vec<u32>,
    short: Vec<u32>,
}

impl BatchLayout {
    /// As large as the batch. cu_seqlens: `[n + 1]`, from 0, ascending.
    pub fn exact(cu_seqlens: &[u32]) -> Self {
        let rows = cu_seqlens.last().map_or(0, |&end| end as usize);
        assert!(
            cu_seqlens.first() == Some(&0) && cu_seqlens.is_sorted() && rows < TOKENS_MAX,
            "cu_seqlens begin at 0, ascend, and end below {TOKENS_MAX}"
        );
        let (long, short) = tiles(cu_seqlens);
        let frame = Frame { rows, long: long.len() / 3, short: short.len() / 3 };
        Self { frame, padded: false, long, short }
    }

    /// Padded if it is small. cu_seqlens: `[n + 1]`, as above.
    pub fn new(cu_seqlens: &[u32]) -> Self {
        let mut layout = Self::exact(cu_seqlens);
        if (1..=PADDED_TOKENS_MAX).contains(&layout.frame.rows) {
            let rows = bucket(layout.frame.rows);
            let n = (cu_seqlens.len() - 1).next_power_of_two();
            // After its full long tiles a sequence has one more tile, long or short; a long one has
            // more queries than fit a short one.
            let long = (rows / QUERIES_LONG + n).min(rows / (QUERIES_SHORT + 1));
            layout.frame = Frame { rows, long, short: n.min(rows) };
            layout.padded = true;
        }
        layout
    }

    /// Bytes of an arena for the batch, which has `n` sequences.
    pub fn bytes(&self, n: usize) -> usize {
        let Frame { rows, long, short } = self.frame;
        let words = |n: usize| n * size_of::<u32>();
        let tiles = [long, short].map(|tiles| words(3 * tiles));
        Arena::bytes_of(&[words(rows), rows, words(rows), tiles[0], tiles[1], words(n + 1)])
    }
}

/// The tokens of a batch.
pub struct DeviceTokens {
    pub(super) ids: Buffer<u32>,
    pub(super) token_type_ids: Buffer<u8>,
    pub(super) position_ids: Buffer<u32>,
    /// One more than the largest id.
    pub(super) ids_end: usize,
    pub(super) positions_end: usize,
}

impl DeviceTokens {
    /// Each part of `tokens`: `[tokens]`; padded with id 0 at position 0, up to `rows`.
    pub fn place(upload: &mut StagedUpload<'_>, tokens: Tokens<'_>, rows: usize) -> Result<Self> {
        let n = tokens.ids.len();
        assert_eq!(
            (tokens.token_type_ids.len(), tokens.position_ids.len()),
            (n, n),
            "a token type and a position for each token"
        );
        let end = |values: &[u32]| values.iter().max().map_or(0, |&most| most as usize + 1);
        Ok(Self {
            ids: upload.place(tokens.ids, rows)?,
            token_type_ids: upload.place(tokens.token_type_ids, rows)?,
            position_ids: upload.place(tokens.position_ids, rows)?,
            ids_end: end(tokens.ids),
            positions_end: end(tokens.position_ids),
        })
    }

    pub fn n(&self) -> usize {
        self.ids.len()
    }
}

/// The bounds of each sequence of a batch, and the tiles that divide its queries among blocks.
pub struct Sequences {
    /// `[n + 1]`.
    pub(super) cu_seqlens: Buffer<u32>,
    pub(super) tiles: [Tiles; 2],
    tokens: usize,
    rows: usize,
}

/// A list of tiles: `[n, 3]`, the first row of its sequence, the row after its last, and the row of
/// its first query. Where these are 0 there is nothing to do.
pub(super) struct Tiles {
    pub list: Buffer<u32>,
    pub width: TileWidth,
}

impl Sequences {
    /// cu_seqlens: `[n + 1]`; layout: made of them.
    pub fn place(
        upload: &mut StagedUpload<'_>,
        cu_seqlens: &[u32],
        layout: &BatchLayout,
    ) -> Result<Self> {
        let Frame { rows, long, short } = layout.frame;
        let long = Tiles { list: upload.place(&layout.long, 3 * long)?, width: TileWidth::Long };
        let short =
            Tiles { list: upload.place(&layout.short, 3 * short)?, width: TileWidth::Short };
        let tokens = cu_seqlens.last().map_or(0, |&end| end as usize);
        // Last, so that everything before it has the same address for each batch of this frame.
        let cu_seqlens = upload.place(cu_seqlens, cu_seqlens.len())?;
        Ok(Self { cu_seqlens, tiles: [long, short], tokens, rows })
    }

    pub fn n(&self) -> usize {
        self.cu_seqlens.len() - 1
    }

    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// At least as many as there are tokens.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// A batch in device memory.
pub struct CudaBatch {
    pub tokens: DeviceTokens,
    pub sequences: Sequences,
}

/// The long tiles and the short ones. A short one takes the rest of a sequence if that is at most a
/// quarter of a long tile.
fn tiles(cu_seqlens: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let (mut long, mut short) = (Vec::new(), Vec::new());
    for ends in cu_seqlens.windows(2) {
        for query in (ends[0]..ends[1]).step_by(QUERIES_LONG) {
            let left = (ends[1] - query) as usize;
            let list = if left <= QUERIES_SHORT { &mut short } else { &mut long };
            list.extend([ends[0], ends[1], query]);
        }
    }
    (long, short)
}

/// The number of tokens for which an algorithm is chosen, and to which a small batch is padded: up
/// to a quarter more than there are.
pub(super) fn bucket(tokens: usize) -> usize {
    match tokens {
        0..=16 => 16,
        _ => tokens.next_multiple_of(1 << ((tokens - 1).ilog2() - 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::ops::ends;

    #[test]
    fn every_query_is_in_one_tile_that_is_no_larger_than_it_need_be() {
        // No sequence, an empty one, one token, one too many for a short tile, long ones.
        let cu_seqlens = [0, 0, 1, 18, 146, 227];
        let (long, short) = tiles(&cu_seqlens);
        assert_eq!(long, [1, 18, 1, 18, 146, 18, 18, 146, 82, 146, 227, 146, 146, 227, 210]);
        assert_eq!(short, [0, 1, 0]);
        assert_eq!(tiles(&[0]), (vec![], vec![]));
        assert_eq!(tiles(&[0, 80]), (vec![0, 80, 0], vec![0, 80, 64]));
    }

    #[test]
    fn a_small_batch_fits_the_frame_of_its_bucket_whatever_its_sequences_are() {
        let check = |lengths: &[usize]| {
            let cu_seqlens = ends(lengths);
            let (exact, layout) =
                (BatchLayout::exact(&cu_seqlens).frame, BatchLayout::new(&cu_seqlens));
            let Frame { rows, long, short } = layout.frame;
            assert!(layout.padded && rows == bucket(exact.rows), "{lengths:?}");
            assert!(exact.long <= long && exact.short <= short, "{lengths:?}: {exact:?}");
        };
        for tokens in 1..=PADDED_TOKENS_MAX {
            check(&[tokens]);
        }
        // The most tiles that rows can have: of the shortest sequences that take a long one.
        for (length, n) in [(1, 4096), (16, 256), (17, 240), (63, 65), (64, 64), (65, 63), (80, 51)]
        {
            check(&vec![length; n]);
            check(&[vec![0; 40], vec![length; n], vec![0; 99]].concat());
        }
        let same = [BatchLayout::new(&[0, 12]).frame, BatchLayout::new(&[0, 16]).frame];
        assert_eq!(same[0], same[1]);
        for cu_seqlens in [&[0, 0][..], &[0, 4097]] {
            let layout = BatchLayout::new(cu_seqlens);
            assert!(!layout.padded && layout.frame == BatchLayout::exact(cu_seqlens).frame);
        }
    }

    #[test]
    fn a_bucket_is_at_most_a_quarter_larger_than_the_tokens_and_there_are_few() {
        let sizes: Vec<usize> = (1..=1 << 16).collect();
        for &n in sizes.iter().filter(|&&n| n > 16) {
            assert!((n..=n + n / 4).contains(&bucket(n)), "{n} is in {}", bucket(n));
        }
        let mut buckets: Vec<usize> = sizes.into_iter().map(bucket).collect();
        assert!(buckets.is_sorted());
        buckets.dedup();
        assert_eq!(buckets.len(), 49);
    }
}
