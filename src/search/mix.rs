//! How much does each channel count, given what it found?

use super::channels::ChannelName;
use super::fuse::Ranking;
use super::plan::{Plan, QueryClass};
use super::rank::learnt::{SUPPORT_FULL, SUPPORT_LEAST};

/// The share of the query's words, by how rare they are, that the best chunk of the lexical channel has:
/// its score, divided by about the greatest that a chunk could have. 0 if nothing was found.
pub fn lexical_support(rankings: &[Ranking], plan: &Plan) -> f64 {
    let lexical = rankings.iter().find(|ranking| ranking.channel == ChannelName::Lexical);
    let best = lexical.and_then(|ranking| ranking.hits.first());
    best.map_or(0.0, |hit| f64::from(hit.score) / plan.profile.lexical_score_max.max(1e-9))
}

/// Lowers the weight of the lexical channel for a question in prose of whose words it found few: its
/// best chunk would otherwise count as much as one that has them all.
pub fn weigh(rankings: &mut [Ranking], plan: &Plan) {
    if !matches!(plan.profile.class, QueryClass::NaturalLanguage | QueryClass::Mixed) {
        return;
    }
    let share = (lexical_support(rankings, plan) / SUPPORT_FULL).clamp(SUPPORT_LEAST, 1.0);
    for ranking in rankings.iter_mut().filter(|r| r.channel == ChannelName::Lexical) {
        ranking.weight *= share;
    }
}
