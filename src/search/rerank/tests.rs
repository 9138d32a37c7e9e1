//! How far a method counts, and what it gets to before its deadline.

use super::*;
use crate::base::telemetry::Telemetry;
use crate::base::telemetry::labels::Tool;
use crate::search::channels::ChannelName;
use crate::search::fuse::{Contribution, Explanation};

fn chunk(id: u32, score: f64) -> Fused {
    let channel = ChannelName::Lexical;
    let part = Contribution { channel, rank: 1, raw_score: score as f32, weight: 1.0, score };
    let fusion = Fusion::Convex { near_misses: false };
    let why = Explanation { contributions: vec![part], fusion, factors: Vec::new() };
    Fused { id: ChunkId(id), score, why }
}

fn order(ranked: &[Fused]) -> Vec<u32> {
    let mut ranked = ranked.to_vec();
    ranked.sort_by(best_first);
    ranked.iter().map(|chunk| chunk.id.0).collect()
}

#[test]
fn the_weight_decides_how_far_the_new_order_counts_and_the_scores_still_multiply_out() {
    let before = [chunk(0, 1.0), chunk(1, 0.8), chunk(2, 0.6), chunk(3, 0.5), chunk(4, 0.0)];
    for (weight, expected) in
        [(1.0, [2, 1, 0, 3, 4]), (0.9, [2, 1, 0, 3, 4]), (0.01, [0, 1, 2, 3, 4])]
    {
        let mut ranked = before.to_vec();
        blend(&mut ranked, &[-2.0, 1.0, 3.0], weight);
        assert_eq!(order(&ranked), expected, "{weight}");
        for chunk in &ranked {
            assert!((chunk.why.score() - chunk.score).abs() < 1e-12);
        }
        assert!(ranked[..3].iter().all(|chunk| chunk.score > 0.5), "they stay before the rest");
        assert_eq!(ranked[2].why.factors[0].name, "rerank");
        assert!(ranked[3].why.factors.is_empty(), "it was not seen");
    }
    let mut equal = before.to_vec();
    blend(&mut equal, &[7.0; 5], 0.5);
    assert_eq!(order(&equal), [0, 1, 2, 3, 4]);
    blend(&mut [], &[], 0.5);
}

/// Scores two texts at a time by their length, and is late at the text `late`.
struct Lengths;

impl Scorer for Lengths {
    const BATCH: usize = 2;
    const WEIGHT: f64 = 1.0;

    fn scores(&self, texts: &[&str], cx: &RunContext) -> Result<Vec<f64>> {
        if texts.contains(&"late") {
            return Err(cx.late("the test"));
        }
        if texts.contains(&"fails") {
            return Err(Error::OutputNotFinite);
        }
        let score = |text: &&str| if *text == "nan" { f64::NAN } else { text.len() as f64 };
        Ok(texts.iter().map(score).collect())
    }
}

#[test]
fn what_was_scored_before_the_deadline_counts_and_a_failure_fails() {
    let cx = RunContext::new(&Telemetry::detached(), Tool::Search, &[]);
    assert_eq!(in_time(&Lengths, &["a", "bb", "ccc"], &cx).unwrap(), [1.0, 2.0, 3.0]);
    assert_eq!(in_time(&Lengths, &["a", "bb", "late", "ccc"], &cx).unwrap(), [1.0, 2.0]);
    let over = cx.at_most(Duration::ZERO);
    assert!(in_time(&Lengths, &["a", "bb"], &over).unwrap().is_empty());
    for text in ["fails", "nan"] {
        assert!(in_time(&Lengths, &["a", text], &cx).is_err(), "{text}");
    }
}
