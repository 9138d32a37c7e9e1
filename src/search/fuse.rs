//! Fusion: the rankings of the channels become one.
//!
//! Convex fusion (Bruch, Gai, Ingber 2023) adds the scores of the channels, each scaled to 0 to 1 and
//! times the channel's weight. Reciprocal rank fusion (Cormack, Clarke, Büttcher 2009) adds
//! `weight / (rrf_k + rank)`, rank from 1. Every summand is kept, so that the explanation adds up to
//! the score.

use std::collections::HashMap;
use std::fmt;

use super::channels::ChannelName;
use super::rank::Factor;
use crate::base::hit::{ChunkId, Hit, Score};
use crate::index::symbols::rung;

/// The hits of one channel and their weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    pub channel: ChannelName,
    pub weight: f64,
    /// Best first.
    pub hits: Vec<Hit>,
}

/// How rankings are fused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fusion {
    /// By score. near_misses: whether a definition of another name than that of the query may be what
    /// it means, because the index does not have the name at all.
    Convex { near_misses: bool },
    /// By rank alone; `k` damps the difference between ranks.
    ReciprocalRank { k: usize },
}

impl Fusion {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Convex { .. } => "convex",
            Self::ReciprocalRank { .. } => "weighted_rrf",
        }
    }

    /// What a chunk of `rank`, from 1, and `raw_score` in `ranking` contributes.
    pub(super) fn contribution(
        self,
        ranking: &Ranking,
        rank: usize,
        raw_score: Score,
    ) -> Contribution {
        let Ranking { channel, weight, ref hits } = *ranking;
        let score = match self {
            // Scores beyond the ranking are those of chunks that an approximate search missed.
            Self::Convex { .. } => weight * Scale::of(channel, hits, self).apply(raw_score),
            Self::ReciprocalRank { k } => weight / (k + rank) as f64,
        };
        Contribution { channel, rank, raw_score, weight, score }
    }

    /// The constant of reciprocal rank fusion.
    pub fn rrf_k(self) -> Option<usize> {
        match self {
            Self::Convex { .. } => None,
            Self::ReciprocalRank { k } => Some(k),
        }
    }
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
    /// `weight` times the scaled score, or `weight / (rrf_k + rank)`.
    pub score: f64,
}

/// The explanation of a score: the sum of the contributions times the product of the factors.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    pub contributions: Vec<Contribution>,
    pub fusion: Fusion,
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

/// A chunk with its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    pub id: ChunkId,
    pub score: f64,
    pub why: Explanation,
}

/// Fuses `rankings`, without factors; in the order of the chunks.
pub fn fuse(rankings: &[Ranking], fusion: Fusion) -> Vec<Fused> {
    let mut chunks: HashMap<ChunkId, Vec<Contribution>> = HashMap::new();
    for ranking in rankings {
        for (rank, hit) in (1..).zip(&ranking.hits) {
            let contribution = fusion.contribution(ranking, rank, hit.score);
            chunks.entry(hit.id).or_default().push(contribution);
        }
    }
    let fused = chunks.into_iter().map(|(id, contributions)| {
        let why = Explanation { contributions, fusion, factors: Vec::new() };
        Fused { id, score: why.score(), why }
    });
    let mut fused: Vec<Fused> = fused.collect();
    fused.sort_unstable_by_key(|chunk| chunk.id);
    fused
}

/// From the scale of a channel to 0 to 1.
enum Scale {
    /// Linear from the least to the greatest score of the ranking.
    MinMax { least: f64, greatest: f64 },
    /// The score is a likeness from 0 to 1 already, the same for every query.
    Likeness,
    /// The rungs of the symbol index.
    Rungs,
}

impl Scale {
    fn of(channel: ChannelName, hits: &[Hit], fusion: Fusion) -> Self {
        match channel {
            ChannelName::Symbol if fusion == (Fusion::Convex { near_misses: true }) => {
                Self::Likeness
            }
            ChannelName::Symbol => Self::Rungs,
            ChannelName::Path => Self::Likeness,
            ChannelName::Dense | ChannelName::Lexical | ChannelName::Sparse => {
                let score = |hit: Option<&Hit>| hit.map_or(0.0, |hit| f64::from(hit.score));
                Self::MinMax { least: score(hits.last()), greatest: score(hits.first()) }
            }
        }
    }

    fn apply(&self, score: Score) -> f64 {
        match *self {
            Self::MinMax { least, greatest } if greatest > least => {
                (f64::from(score) - least) / (greatest - least)
            }
            Self::MinMax { .. } => 1.0,
            Self::Likeness => f64::from(score),
            Self::Rungs => named(score),
        }
    }
}

/// How sure it is that a definition on a rung is what the query names: a near miss is worth little,
/// and does not outvote the words of the query.
fn named(score: Score) -> f64 {
    /// More than the penalty of any kind of definition.
    const SLACK: Score = 0.01;
    const WORTH: [(Score, f64); 7] = [
        (rung::QUALIFIED, 1.0),
        (rung::CASE, 0.7),
        (rung::STYLE, 0.6),
        (rung::JOINED, 0.5),
        (rung::LAST_SEGMENT, 0.02),
        (rung::SUBWORD, 0.015),
        (0.0, 0.01),
    ];
    let row = WORTH.iter().find(|(rung, _)| score >= rung - SLACK);
    // The score itself orders the definitions of one rung.
    row.map_or(0.0, |(_, worth)| worth * (0.99 + 0.01 * f64::from(score)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(channel: ChannelName, weight: f64, ids: &[u32]) -> Ranking {
        let hit = |&id: &u32| Hit { id: ChunkId(id), score: 1.0 / (id + 1) as f32 };
        Ranking { channel, weight, hits: ids.iter().map(hit).collect() }
    }

    fn scores(fused: &[Fused]) -> Vec<(u32, f64)> {
        fused.iter().map(|chunk| (chunk.id.0, chunk.score)).collect()
    }

    #[test]
    fn a_score_is_the_sum_of_its_contributions() {
        let rankings = [
            ranking(ChannelName::Dense, 1.0, &[1, 2, 3]),
            ranking(ChannelName::Lexical, 0.7, &[2, 9]),
            ranking(ChannelName::Path, 1.5, &[9]),
        ];
        for fusion in [Fusion::Convex { near_misses: false }, Fusion::ReciprocalRank { k: 60 }] {
            let fused = fuse(&rankings, fusion);
            assert_eq!(fused.len(), 4);
            for chunk in &fused {
                let sum: f64 = chunk.why.contributions.iter().map(|c| c.score).sum();
                assert_eq!(sum, chunk.score);
                assert_eq!(chunk.why.score(), chunk.score);
            }
        }
        let fused = fuse(&rankings, Fusion::ReciprocalRank { k: 60 });
        assert_eq!(fused[1].score, 1.0 / 62.0 + 0.7 / 61.0);
    }

    #[test]
    fn convex_fusion_scales_each_ranking_from_its_least_to_its_greatest_score() {
        let hits = |scores: &[(u32, f32)]| {
            scores.iter().map(|&(id, score)| Hit { id: ChunkId(id), score }).collect::<Vec<_>>()
        };
        let rankings = [
            Ranking {
                channel: ChannelName::Dense,
                weight: 0.5,
                hits: hits(&[(1, 0.75), (2, 0.5), (3, 0.25)]),
            },
            Ranking {
                channel: ChannelName::Lexical,
                weight: 2.0,
                hits: hits(&[(3, 8.0), (2, 4.0)]),
            },
        ];
        let fused = fuse(&rankings, Fusion::Convex { near_misses: false });
        assert_eq!(scores(&fused), [(1, 0.5), (2, 0.25), (3, 2.0)]);
        let equal = ranking(ChannelName::Dense, 1.0, &[7]);
        assert_eq!(scores(&fuse(&[equal], Fusion::Convex { near_misses: false })), [(7, 1.0)]);
    }

    #[test]
    fn a_near_miss_of_a_name_is_worth_little_and_an_exact_name_all() {
        let worth = [rung::EXACT, rung::CASE, rung::JOINED, rung::PREFIX - 0.05, rung::EDIT];
        let worth: Vec<f64> = worth.iter().map(|score| named(*score)).collect();
        assert!(worth.is_sorted_by(|a, b| a > b), "{worth:?}");
        assert!(
            worth[0] == 1.0 && worth[1] < 0.75 && worth[2] > 0.45 && worth[3] < 0.05,
            "{worth:?}"
        );
        assert!(named(rung::EXACT - 0.002) > named(rung::STYLE));
    }
}
