//! What must a device know of the tokens and the sequences of a batch?
//!
//! Kernels read tables at the places that a batch names, so the greatest of each is kept here, and
//! the operations hold it against their tables.

use super::context::Cuda;
use super::memory::{Arena, Buffer};
use super::staging::Staging;
use crate::device::ops::Tokens;
use crate::error::Result;

/// Queries of a tile on four warps, and of one on a single warp: see kernels/attention.cu.
const QUERIES_LONG: usize = 64;
const QUERIES_SHORT: usize = 16;

/// Rows of a batch, so that the sum of a row and a distance stays below 2^31.
const TOKENS_MAX: usize = 1 << 29;

/// What is known of each token of a batch.
pub struct DeviceTokens {
    pub(super) ids: Buffer<u32>,
    pub(super) types: Buffer<u8>,
    pub(super) places: Buffer<u32>,
    /// One more than the greatest.
    pub(super) ids_end: usize,
    pub(super) places_end: usize,
}

impl DeviceTokens {
    /// Each part of `tokens`: `[tokens]`.
    pub fn place(
        cuda: &Cuda,
        staging: &mut Staging,
        arena: &mut Arena,
        tokens: Tokens<'_>,
    ) -> Result<Self> {
        let n = tokens.ids.len();
        assert_eq!((tokens.types.len(), tokens.places.len()), (n, n), "a type and a place a token");
        let end = |values: &[u32]| values.iter().max().map_or(0, |&most| most as usize + 1);
        Ok(Self {
            ids: staging.place(cuda, arena, tokens.ids)?,
            types: staging.place(cuda, arena, tokens.types)?,
            places: staging.place(cuda, arena, tokens.places)?,
            ids_end: end(tokens.ids),
            places_end: end(tokens.places),
        })
    }

    pub fn n(&self) -> usize {
        self.ids.len()
    }
}

/// Where each sequence of a batch lies, and how its queries are divided among blocks.
pub struct Sequences {
    /// `[n + 1]`.
    pub(super) cu_seqlens: Buffer<u32>,
    pub(super) tiles: [Tiles; 2],
    tokens: usize,
}

/// A list of tiles: `[n, 3]`, the first row of its sequence, the row after its last, and the row of
/// its first query.
pub(super) struct Tiles {
    pub list: Buffer<u32>,
    pub long: bool,
}

impl Sequences {
    /// Bytes of an arena that hold a batch of `tokens` in `n` sequences, the tokens included.
    pub fn bytes_max(tokens: usize, n: usize) -> usize {
        // What is left of a sequence after its long tiles is one more.
        let tiles = 3 * size_of::<u32>() * (tokens / QUERIES_LONG + n);
        let (ids, ends) = (size_of::<u32>() * tokens, size_of::<u32>() * (n + 1));
        Arena::bytes_of(&[tiles, tiles, ids, tokens, ids, ends])
    }

    /// cu_seqlens: `[n + 1]`, from 0, ascending.
    pub fn place(
        cuda: &Cuda,
        staging: &mut Staging,
        arena: &mut Arena,
        cu_seqlens: &[u32],
    ) -> Result<Self> {
        let tokens = cu_seqlens.last().map_or(0, |&end| end as usize);
        assert!(
            cu_seqlens.first() == Some(&0) && cu_seqlens.is_sorted() && tokens < TOKENS_MAX,
            "cu_seqlens begin at 0, ascend, and end below {TOKENS_MAX}"
        );
        let (long, short) = tiles(cu_seqlens);
        let long = Tiles { list: staging.place(cuda, arena, &long)?, long: true };
        let short = Tiles { list: staging.place(cuda, arena, &short)?, long: false };
        let cu_seqlens = staging.place(cuda, arena, cu_seqlens)?;
        Ok(Self { cu_seqlens, tiles: [long, short], tokens })
    }

    pub fn n(&self) -> usize {
        self.cu_seqlens.len() - 1
    }

    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

/// The long tiles and the short ones: what is left of a sequence for less than a quarter of a long
/// tile is a short one.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
