//! Full precision for compressed and approximate vector indexes: a chunk that another channel found
//! and that the dense channel would have found by an exact search gets the contribution that it misses.
//!
//! The dense channel itself scores what it finds in full precision, so nothing changes where its index
//! is exact.

use super::Sources;
use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;
use crate::base::telemetry::RunContext;
use crate::search::channels::ChannelName;
use crate::search::fuse::{Contribution, Fused, Fusion, Ranking};

/// Adds the missing contributions to `chunks`, and returns how many were looked at: all of them.
pub fn rescore(chunks: &mut [Fused], sources: &Sources<'_>, cx: &RunContext) -> Result<usize> {
    let dense = sources.rankings.iter().find(|ranking| ranking.channel == ChannelName::Dense);
    let dense = dense.filter(|ranking| !ranking.hits.is_empty()).ok_or_else(|| {
        let remedy = "the dense channel found nothing to compare with".to_owned();
        Error::Unavailable { what: "exact".to_owned(), remedy }
    })?;
    let is_missing = |chunk: &&mut Fused| {
        chunk.why.contributions.iter().all(|c| c.channel != ChannelName::Dense)
    };
    let mut missing: Vec<&mut Fused> = chunks.iter_mut().filter(is_missing).collect();
    let ids: Vec<ChunkId> = missing.iter().map(|chunk| chunk.id).collect();
    let scores = sources.dense.exact(sources.query, &ids, cx)?;
    for (chunk, score) in missing.iter_mut().zip(scores) {
        if let Some(contribution) = contribution(dense, score, sources.fusion) {
            chunk.why.contributions.push(contribution);
            chunk.score = chunk.why.score();
        }
    }
    Ok(chunks.len())
}

/// What a chunk of this exact score would have contributed; `None` if it would not have been found.
fn contribution(dense: &Ranking, score: f32, fusion: Fusion) -> Option<Contribution> {
    dense.hits.last().filter(|last| score > last.score)?;
    let rank = 1 + dense.hits.iter().filter(|hit| hit.score > score).count();
    Some(fusion.contribution(dense, rank, score))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hit::Hit;

    #[test]
    fn a_chunk_better_than_the_worst_that_was_found_contributes_as_if_it_had_been_found() {
        let hits = [(7, 0.75), (3, 0.5), (9, 0.25)];
        let hits = hits.map(|(id, score)| Hit { id: ChunkId(id), score }).to_vec();
        let dense = Ranking { channel: ChannelName::Dense, weight: 0.5, hits };
        let convex = Fusion::Convex { near_misses: false };
        let found = contribution(&dense, 0.625, convex).unwrap();
        assert_eq!((found.rank, found.raw_score, found.score), (2, 0.625, 0.375));
        let found = contribution(&dense, 0.625, Fusion::ReciprocalRank { k: 60 }).unwrap();
        assert_eq!((found.rank, found.score), (2, 0.5 / 62.0));
        for score in [0.25, 0.1] {
            assert_eq!(contribution(&dense, score, convex), None, "it would not have been found");
        }
    }
}
