//! Weighted reciprocal rank fusion of the channels' rankings.
//!
//! The score of a chunk is the sum over the channels of `weight / (rrf_k + rank)`, rank from 1
//! (Cormack, Clarke, Büttcher 2009), times the product of its factors. Every summand and every
//! factor is kept, so that the explanation adds up to the score.

use std::collections::HashMap;
use std::fmt;

use super::channels::ChannelName;
use super::rank::Factor;
use crate::base::hit::{ChunkId, Hit};

/// The hits of one channel and their weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    pub channel: ChannelName,
    pub weight: f64,
    /// Best first.
    pub hits: Vec<Hit>,
}

/// The contribution of one channel to the score of a chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    pub channel: ChannelName,
    /// From 1.
    pub rank: usize,
    /// The score on the channel's own scale.
    pub raw_score: f32,
    pub weight: f64,
    /// `weight / (rrf_k + rank)`.
    pub score: f64,
}

/// The explanation of a score: the sum of the contributions times the product of the factors.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    pub contributions: Vec<Contribution>,
    pub rrf_k: usize,
    pub factors: Vec<Factor>,
}

impl Explanation {
    /// Computes the score from its parts.
    pub fn score(&self) -> f64 {
        let sum: f64 = self.contributions.iter().map(|c| c.score).sum();
        let product: f64 = self.factors.iter().map(|factor| factor.value).product();
        sum * product
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, c) in self.contributions.iter().enumerate() {
            let plus = if i == 0 { "" } else { " + " };
            let name = c.channel.as_str();
            write!(f, "{plus}{name} #{} ({:.2}) {:.4}", c.rank, c.raw_score, c.score)?;
        }
        for Factor { name, value } in self.factors.iter().filter(|factor| factor.value != 1.0) {
            write!(f, ", {name} x{}", (value * 1e3).round() / 1e3)?;
        }
        Ok(())
    }
}

/// A chunk with its fused score.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    pub id: ChunkId,
    pub score: f64,
    pub why: Explanation,
}

/// Fuses `rankings`; best first, equal scores by id.
pub fn fuse(
    rankings: &[Ranking],
    rrf_k: usize,
    factors: impl Fn(ChunkId) -> Vec<Factor>,
) -> Vec<Fused> {
    let mut chunks: HashMap<ChunkId, Vec<Contribution>> = HashMap::new();
    for Ranking { channel, weight, hits } in rankings {
        for (rank, hit) in (1..).zip(hits) {
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
            let why = Explanation { contributions, rrf_k, factors: factors(id) };
            Fused { id, score: why.score(), why }
        })
        .collect();
    fused.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(channel: ChannelName, weight: f64, ids: &[u32]) -> Ranking {
        let hit = |&id: &u32| Hit { id: ChunkId(id), score: 1.0 / (id + 1) as f32 };
        Ranking { channel, weight, hits: ids.iter().map(hit).collect() }
    }

    fn factors(values: &[f64]) -> Vec<Factor> {
        values.iter().map(|&value| Factor { name: "path", value }).collect()
    }

    #[test]
    fn a_score_is_the_sum_of_its_contributions_times_the_product_of_its_factors() {
        let rankings = [
            ranking(ChannelName::Dense, 1.0, &[3, 1, 2]),
            ranking(ChannelName::Lexical, 0.7, &[2, 9]),
            ranking(ChannelName::Symbol, 1.5, &[9]),
        ];
        let factors_of = |id: ChunkId| match id.0 {
            9 => factors(&[0.5, 0.8]),
            3 => factors(&[]),
            _ => factors(&[1.0]),
        };
        let fused = fuse(&rankings, 60, factors_of);
        assert_eq!(fused.len(), 4);
        for chunk in &fused {
            let contributions = chunk.why.contributions.iter();
            let sum: f64 = contributions.map(|c| c.weight / (60 + c.rank) as f64).sum();
            let product = if chunk.id.0 == 9 { 0.4 } else { 1.0 };
            assert!((sum * product - chunk.score).abs() < 1e-15);
            assert_eq!(chunk.why.score(), chunk.score);
        }
        assert_eq!(fused[0].id, ChunkId(2), "two channels agree on it");
    }

    #[test]
    fn an_explanation_prints_the_factors_that_change_the_score() {
        let rankings = [ranking(ChannelName::Dense, 1.0, &[0, 1])];
        let fused = fuse(&rankings, 60, |id| factors(&[[1.0, 0.7][id.row()]]));
        let lines: Vec<String> = fused.iter().map(|f| f.why.to_string()).collect();
        assert_eq!(lines, ["dense #1 (1.00) 0.0164", "dense #2 (0.50) 0.0161, path x0.7"]);
    }

    #[test]
    fn equal_scores_are_ordered_by_chunk() {
        let rankings =
            [ranking(ChannelName::Dense, 1.0, &[7]), ranking(ChannelName::Lexical, 1.0, &[4])];
        let fused = fuse(&rankings, 60, |_| Vec::new());
        let order: Vec<u32> = fused.iter().map(|f| f.id.0).collect();
        assert_eq!(order, [4, 7]);
    }
}
