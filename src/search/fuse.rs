//! How do several rankings become one?
//!
//! Weighted reciprocal rank fusion (Cormack, Clarke, Büttcher 2009): a chunk's score is the sum over
//! the channels of `weight / (rrf_k + rank)`, rank from 1, times the prior of its path. Every
//! summand is kept, so that the explanation adds up to the score.

use std::collections::HashMap;

use super::query::Channel;
use crate::base::hit::{ChunkId, Hit};

/// What one channel gave to a chunk's score.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    pub channel: Channel,
    /// From 1.
    pub rank: usize,
    /// In the channel's own scale.
    pub raw_score: f32,
    pub weight: f64,
    /// `weight / (rrf_k + rank)`.
    pub score: f64,
}

/// A chunk with its fused score.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    pub id: ChunkId,
    /// The sum of the contributions, times `path_prior`.
    pub score: f64,
    pub path_prior: f64,
    pub contributions: Vec<Contribution>,
}

/// Fuses rankings (each best first, with its channel's weight); best first, equal scores by id.
pub fn fuse(
    rankings: &[(Channel, f64, Vec<Hit>)],
    rrf_k: usize,
    path_prior: impl Fn(ChunkId) -> f64,
) -> Vec<Fused> {
    let mut chunks: HashMap<ChunkId, Vec<Contribution>> = HashMap::new();
    for (channel, weight, hits) in rankings {
        for (i, hit) in hits.iter().enumerate() {
            let rank = i + 1;
            chunks.entry(hit.id).or_default().push(Contribution {
                channel: *channel,
                rank,
                raw_score: hit.score,
                weight: *weight,
                score: weight / (rrf_k + rank) as f64,
            });
        }
    }
    let mut fused: Vec<Fused> = chunks
        .into_iter()
        .map(|(id, contributions)| {
            let path_prior = path_prior(id);
            let score = contributions.iter().map(|c| c.score).sum::<f64>() * path_prior;
            Fused { id, score, path_prior, contributions }
        })
        .collect();
    fused.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(ids: &[u32]) -> Vec<Hit> {
        ids.iter().map(|&id| Hit { id: ChunkId(id), score: 1.0 / (id + 1) as f32 }).collect()
    }

    #[test]
    fn the_contributions_and_the_prior_multiply_out_to_the_score() {
        let rankings = [
            (Channel::Dense, 1.0, hits(&[3, 1, 2])),
            (Channel::Lexical, 0.7, hits(&[2, 9])),
            (Channel::Symbol, 1.5, hits(&[9])),
        ];
        let fused = fuse(&rankings, 60, |id| if id.0 == 9 { 0.5 } else { 1.0 });
        assert_eq!(fused.len(), 4);
        for chunk in &fused {
            let sum: f64 =
                chunk.contributions.iter().map(|c| c.weight / (60 + c.rank) as f64).sum();
            assert!((sum * chunk.path_prior - chunk.score).abs() < 1e-15);
        }
        assert_eq!(fused[0].id, ChunkId(2), "two channels agree on it");
    }

    #[test]
    fn equal_scores_are_ordered_by_chunk() {
        let rankings = [(Channel::Dense, 1.0, hits(&[7])), (Channel::Lexical, 1.0, hits(&[4]))];
        let order: Vec<u32> = fuse(&rankings, 60, |_| 1.0).iter().map(|f| f.id.0).collect();
        assert_eq!(order, [4, 7]);
    }
}
