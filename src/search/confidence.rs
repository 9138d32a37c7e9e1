//! How likely is it that the first result is right?
//!
//! A logistic model of what the channels agree on. `scripts/learn-confidence` learns its weights from the
//! tuning sets; docs/evaluation.md has its expected calibration error.

use serde::{Deserialize, Serialize};

use super::channels::ChannelName;
use super::fuse::{Fused, Ranking};
use super::mix::lexical_support;
use super::plan::{Plan, QueryClass};

/// What the model knows about an answer; each value is between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// By which part of its score the first result is ahead of the best of another file.
    pub margin: f64,
    /// The share of the query's words that the best chunk of the lexical channel has.
    pub support: f64,
    /// The cosine of the first result and the query.
    pub cosine: f64,
    /// Whether the dense and the lexical channel have it among their first three: 0, 0.5 or 1.
    pub agreement: f64,
    /// How exactly it defines what the query names.
    pub symbol: f64,
    /// How exactly the query names its file.
    pub path: f64,
}

/// The intercept of a class of query, then the weights of the fields of [`Evidence`] in their order.
fn weights(class: QueryClass) -> (f64, [f64; 6]) {
    let intercept = match class {
        QueryClass::Identifier => -0.63,
        QueryClass::Path => -0.44,
        QueryClass::Literal | QueryClass::ErrorText => -1.82,
        QueryClass::NaturalLanguage | QueryClass::Mixed => -2.54,
    };
    (intercept, [2.83, 1.20, 0.64, 0.26, 0.23, 1.22])
}

impl Evidence {
    /// ranked: the candidates, best first. rankings: those of the channels before the fusion. file: that of
    /// a candidate. `None` without a candidate.
    pub fn of<F: PartialEq>(
        ranked: &[Fused],
        rankings: &[Ranking],
        plan: &Plan,
        file: impl Fn(&Fused) -> F,
    ) -> Option<Self> {
        let first = ranked.first()?;
        let place = file(first);
        let second = ranked.iter().find(|chunk| file(chunk) != place).map_or(0.0, |c| c.score);
        let of = |channel| first.why.contributions.iter().find(|c| c.channel == channel);
        let raw = |channel| of(channel).map_or(0.0, |c| f64::from(c.raw_score).clamp(0.0, 1.0));
        let is_high = |channel| f64::from(u8::from(of(channel).is_some_and(|c| c.rank <= 3)));
        Some(Self {
            margin: if first.score > 0.0 { 1.0 - second / first.score } else { 0.0 },
            support: lexical_support(rankings, plan).clamp(0.0, 1.0),
            cosine: raw(ChannelName::Dense),
            agreement: (is_high(ChannelName::Dense) + is_high(ChannelName::Lexical)) / 2.0,
            symbol: raw(ChannelName::Symbol),
            path: raw(ChannelName::Path),
        })
    }

    /// The probability that the first result is right.
    pub fn confidence(&self, class: QueryClass) -> f64 {
        let Self { margin, support, cosine, agreement, symbol, path } = *self;
        let (intercept, weights) = weights(class);
        let values = [margin, support, cosine, agreement, symbol, path];
        let sum: f64 = values.iter().zip(weights).map(|(value, weight)| value * weight).sum();
        1.0 / (1.0 + (-intercept - sum).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ahead_of_the_others_and_found_by_all_is_more_likely_right() {
        let weak = Evidence {
            margin: 0.02,
            support: 0.2,
            cosine: 0.2,
            agreement: 0.0,
            symbol: 0.0,
            path: 0.0,
        };
        let strong = Evidence { margin: 0.5, support: 0.9, cosine: 0.6, agreement: 1.0, ..weak };
        for class in QueryClass::ALL {
            let (weak, strong) = (weak.confidence(class), strong.confidence(class));
            assert!(0.0 < weak && weak < strong && strong < 1.0, "{class:?}: {weak} {strong}");
        }
    }
}
