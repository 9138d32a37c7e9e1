//! The pool: the distinct chunks that the channels found, and that are ranked.

use std::collections::HashSet;

use super::fuse::Ranking;
use crate::base::hit::ChunkId;
use crate::base::telemetry::{StageSpan, attrs};

/// Keeps at most `max` distinct chunks in the rankings, those that any channel ranks highest.
pub fn pool(rankings: &mut [Ranking], max: usize, span: &mut StageSpan) {
    let (kept, dropped) = best_ranked(rankings, max);
    if dropped > 0 {
        for ranking in rankings {
            ranking.hits.retain(|hit| kept.contains(&hit.id));
        }
    }
    span.set(attrs::POOL_DOCS, kept.len());
    span.set(attrs::POOL_DROPPED, dropped);
}

/// The first of every ranking, the second of every ranking, and so on, at most `max` distinct ones; and
/// how many more there are.
fn best_ranked(rankings: &[Ranking], max: usize) -> (HashSet<ChunkId>, usize) {
    let mut kept = HashSet::new();
    let mut dropped = HashSet::new();
    let depth = rankings.iter().map(|ranking| ranking.hits.len()).max().unwrap_or(0);
    for rank in 0..depth {
        for hit in rankings.iter().filter_map(|ranking| ranking.hits.get(rank)) {
            if kept.contains(&hit.id) {
                continue;
            }
            let place = if kept.len() < max { &mut kept } else { &mut dropped };
            place.insert(hit.id);
        }
    }
    (kept, dropped.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hit::Hit;
    use crate::search::ChannelName;

    #[test]
    fn a_chunk_counts_once_and_those_that_every_channel_ranks_low_are_dropped_first() {
        let ranking = |channel, ids: &[u32]| {
            let hits = ids.iter().map(|id| Hit { id: ChunkId(*id), score: 1.0 }).collect();
            Ranking { channel, weight: 1.0, hits }
        };
        let rankings =
            [ranking(ChannelName::Dense, &[1, 2, 3, 4]), ranking(ChannelName::Lexical, &[3, 1, 9])];
        let kept = |max| {
            let (kept, dropped) = best_ranked(&rankings, max);
            let mut kept: Vec<u32> = kept.into_iter().map(|id| id.0).collect();
            kept.sort_unstable();
            (kept, dropped)
        };
        assert_eq!(kept(10), (vec![1, 2, 3, 4, 9], 0));
        assert_eq!(kept(3), (vec![1, 2, 3], 2));
        assert_eq!(best_ranked(&[], 3), (HashSet::new(), 0));
    }
}
