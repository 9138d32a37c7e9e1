//! The measures of a ranking, and intervals of their means.
//!
//! A target has the rank of the first result in its file that overlaps its lines. Gains are 0 or 1;
//! nDCG@10 (Järvelin, Kekäläinen 2002) divides the discounted gain of the ten first results by that
//! of a ranking with every target first.

use serde::Serialize;

use super::question::Target;

/// The results that recall looks at, in this order.
pub const RECALL_AT: [usize; 3] = [1, 10, 50];
/// The results that nDCG and the reciprocal rank look at.
const FIRST: usize = 10;
/// Samples of a bootstrap.
const SAMPLES: usize = 1000;

/// One result: the path and the lines of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    pub path: &'a str,
    pub start_line: u32,
    pub end_line: u32,
}

/// The measures of one ranking, or their means; each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Scores {
    pub ndcg_10: f64,
    pub mrr_10: f64,
    pub recall_1: f64,
    pub recall_10: f64,
    pub recall_50: f64,
}

/// The range that contains a mean with 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Scores {
    /// Measures a ranking, best first. targets: not empty.
    pub fn of(ranking: &[Found<'_>], targets: &[Target]) -> Self {
        let rank = |target: &Target| ranking.iter().position(|found| is_in(found, target));
        let mut ranks: Vec<usize> = targets.iter().filter_map(rank).map(|i| i + 1).collect();
        ranks.sort_unstable();
        let gain = |rank: usize| 1.0 / ((rank + 1) as f64).log2();
        let found = ranks.iter().filter(|rank| **rank <= FIRST).map(|rank| gain(*rank));
        let ideal: f64 = (1..=targets.len().min(FIRST)).map(gain).sum();
        let recall = |first: usize| {
            ranks.iter().filter(|rank| **rank <= first).count() as f64 / targets.len() as f64
        };
        let first = ranks.first().filter(|rank| **rank <= FIRST);
        let [recall_1, recall_10, recall_50] = RECALL_AT.map(recall);
        Self {
            // Two targets in one result have the same rank.
            ndcg_10: (found.sum::<f64>() / ideal).min(1.0),
            mrr_10: first.map_or(0.0, |rank| 1.0 / *rank as f64),
            recall_1,
            recall_10,
            recall_50,
        }
    }

    /// The mean of each measure; zeros of none.
    pub fn mean(all: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| all.iter().map(of).sum::<f64>() / all.len().max(1) as f64;
        Self {
            ndcg_10: mean(|s| s.ndcg_10),
            mrr_10: mean(|s| s.mrr_10),
            recall_1: mean(|s| s.recall_1),
            recall_10: mean(|s| s.recall_10),
            recall_50: mean(|s| s.recall_50),
        }
    }
}

pub(super) fn is_in(found: &Found<'_>, target: &Target) -> bool {
    found.path == target.path
        && target
            .lines
            .is_none_or(|(start, end)| found.start_line <= end && start <= found.end_line)
}

/// The interval of the mean of `values` by a bootstrap of 1,000 samples (Efron 1979), the same for the
/// same values; of no values it is empty at 0.
pub fn interval(values: &[f64]) -> Interval {
    if values.is_empty() {
        return Interval { low: 0.0, high: 0.0 };
    }
    let mut random = SplitMix(0x9e37_79b9_7f4a_7c15);
    let n = values.len();
    let mut means: Vec<f64> = (0..SAMPLES)
        .map(|_| (0..n).map(|_| values[random.below(n)]).sum::<f64>() / n as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    Interval { low: means[SAMPLES * 25 / 1000], high: means[SAMPLES * 975 / 1000 - 1] }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// The mean distance of stated probabilities and what came true, over ten equal ranges of probability, each
/// counted by its answers (expected calibration error; Guo, Pleiss, Sun, Weinberger 2017). `None` without
/// an answer.
pub fn calibration_error(stated: &[(f64, bool)]) -> Option<f64> {
    let mut bins = [(0.0, 0.0); 10];
    for (probability, is_right) in stated {
        let (sum, right) = &mut bins[((probability * 10.0) as usize).min(9)];
        *sum += probability;
        *right += f64::from(u8::from(*is_right));
    }
    let distance: f64 = bins.iter().map(|(sum, right)| (sum - right).abs()).sum();
    (!stated.is_empty()).then(|| distance / stated.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, start_line: u32, end_line: u32) -> Found<'_> {
        Found { path, start_line, end_line }
    }

    fn target(path: &str, lines: Option<(u32, u32)>) -> Target {
        Target { path: path.to_owned(), lines }
    }

    #[test]
    fn the_calibration_error_is_the_distance_of_what_was_stated_and_what_came_true() {
        assert_eq!(calibration_error(&[]), None);
        let right = [(0.95, true); 9];
        let all = [&right[..], &[(0.95, false)], &[(0.25, true)]].concat();
        let expected = (10.0 * 0.05 + 0.75) / 11.0;
        assert!((calibration_error(&all).unwrap() - expected).abs() < 1e-12);
        assert!(calibration_error(&[(1.0, true), (0.0, false)]).unwrap() < 1e-12);
    }

    #[test]
    fn a_ranking_is_measured_by_the_first_result_of_each_target() {
        let ranking = [found("a", 1, 9), found("b", 1, 9), found("b", 10, 19), found("c", 1, 9)];
        let scores = Scores::of(&ranking, &[target("b", None)]);
        assert!((scores.ndcg_10 - 1.0 / 3f64.log2()).abs() < 1e-12);
        assert_eq!((scores.mrr_10, scores.recall_1, scores.recall_10), (0.5, 0.0, 1.0));
        let lines = Scores::of(&ranking, &[target("b", Some((12, 12)))]);
        assert_eq!(lines.mrr_10, 1.0 / 3.0);
        let two = Scores::of(&ranking, &[target("a", None), target("z", None)]);
        assert_eq!((two.mrr_10, two.recall_1, two.recall_50), (1.0, 0.5, 0.5));
        assert_eq!(Scores::of(&[], &[target("a", None)]), Scores::default());
        let both = [target("a", Some((1, 2))), target("a", Some((5, 6)))];
        assert_eq!(Scores::of(&ranking, &both).ndcg_10, 1.0);
    }

    #[test]
    fn an_interval_contains_the_mean_and_is_narrower_for_more_values() {
        let values = |n: usize| (0..n).map(|i| (i % 2) as f64).collect::<Vec<_>>();
        let (few, many) = (interval(&values(20)), interval(&values(2000)));
        assert!(few.low < 0.5 && few.high > 0.5, "{few:?}");
        assert!(many.high - many.low < (few.high - few.low) / 5.0, "{many:?}");
        assert_eq!(interval(&[1.0; 5]), Interval { low: 1.0, high: 1.0 });
        assert_eq!(interval(&[]), Interval { low: 0.0, high: 0.0 });
    }
}
