//! The figures of an evaluation, for each system and category, and the comparison of two.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::metrics::{Interval, Scores, calibration_error, interval};
use super::question::Question;
use super::systems::System;
use crate::index::versions::VersionManifest;
use crate::search::Evidence;

/// The category of the means over all questions.
const ALL: &str = "all";

/// One run of `codeintel eval run`; serialised it is its JSON.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    pub version: String,
    pub model: String,
    pub chunks: usize,
    pub questions: usize,
    /// The means of each system, in the order of [`System::ALL`].
    pub systems: Vec<SystemFigures>,
    /// The mean milliseconds of a search for 50 results, by the systems that are the whole pipeline.
    pub search_ms: BTreeMap<&'static str, f64>,
    /// Of the confidence of the whole pipeline in its first results; from 0 to 1.
    pub calibration_error: Option<f64>,
    /// Of each question.
    pub scores: Vec<QuestionScores>,
}

/// The means of one system by category, `all` first.
#[derive(Debug, Serialize)]
pub struct SystemFigures {
    pub system: &'static str,
    pub categories: Vec<CategoryFigures>,
}

#[derive(Debug, Serialize)]
pub struct CategoryFigures {
    pub category: String,
    pub questions: usize,
    #[serde(flatten)]
    pub mean: Scores,
    /// Of the mean of nDCG@10, with 95 %.
    pub ndcg_10_interval: Interval,
}

/// The scores of one question.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QuestionScores {
    pub query: String,
    pub category: String,
    /// nDCG@10 by the name of the system.
    pub ndcg_10: BTreeMap<String, f64>,
    /// The answer of the whole pipeline; `None` without a result.
    #[serde(default)]
    pub first: Option<FirstResult>,
    #[serde(skip)]
    scores: Vec<Scores>,
}

/// The first result of the whole pipeline, from which `scripts/learn-confidence` learns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FirstResult {
    pub class: String,
    pub evidence: Evidence,
    pub confidence: f64,
    pub is_right: bool,
}

impl QuestionScores {
    pub(super) fn new(
        question: &Question,
        systems: &[System],
        scores: &[Scores],
        first: Option<FirstResult>,
    ) -> Self {
        let named = systems.iter().zip(scores);
        Self {
            query: question.query.clone(),
            category: question.category.clone(),
            ndcg_10: named.map(|(s, scores)| (s.as_str().to_owned(), scores.ndcg_10)).collect(),
            first,
            scores: scores.to_vec(),
        }
    }
}

impl Evaluation {
    /// systems: `[n]`, those that `scores` are of, in their order.
    pub(super) fn new(
        manifest: &VersionManifest,
        systems: &[System],
        search_ms: BTreeMap<&'static str, f64>,
        scores: Vec<QuestionScores>,
    ) -> Self {
        let mut categories: Vec<&str> = scores.iter().map(|q| q.category.as_str()).collect();
        categories.sort_unstable();
        categories.dedup();
        categories.retain(|category| *category != ALL);
        categories.insert(0, ALL);
        let firsts = scores.iter().filter_map(|question| question.first.as_ref());
        let stated: Vec<_> = firsts.map(|first| (first.confidence, first.is_right)).collect();
        let figures = |(place, system): (usize, &System)| SystemFigures {
            system: system.as_str(),
            categories: categories
                .iter()
                .map(|c| CategoryFigures::new(c, place, &scores))
                .collect(),
        };
        Self {
            version: manifest.version.clone(),
            model: manifest.model.name.clone(),
            chunks: manifest.live_chunks,
            questions: scores.len(),
            systems: systems.iter().enumerate().map(figures).collect(),
            search_ms,
            calibration_error: calibration_error(&stated),
            scores,
        }
    }
}

impl CategoryFigures {
    fn new(category: &str, system: usize, scores: &[QuestionScores]) -> Self {
        let of = scores.iter().filter(|q| category == ALL || q.category == category);
        let of: Vec<Scores> = of.map(|question| question.scores[system]).collect();
        let ndcg: Vec<f64> = of.iter().map(|scores| scores.ndcg_10).collect();
        Self {
            category: category.to_owned(),
            questions: of.len(),
            mean: Scores::mean(&of),
            ndcg_10_interval: interval(&ndcg),
        }
    }
}

/// The difference of one system between two evaluations of the same questions.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub system: String,
    /// Questions that both have.
    pub questions: usize,
    /// The mean nDCG@10 before and after.
    pub before: f64,
    pub after: f64,
    /// Of the mean difference, with 95 %; it does not contain 0 if the difference is no chance.
    pub difference_interval: Interval,
    /// Questions that became better, and worse.
    pub better: usize,
    pub worse: usize,
}

/// Compares each system of two evaluations, question by question.
pub fn compare(before: &[QuestionScores], after: &[QuestionScores]) -> Vec<Comparison> {
    let old: HashMap<_, _> = numbered(before).collect();
    let pairs: Vec<_> = numbered(after).filter_map(|(key, q)| Some((*old.get(&key)?, q))).collect();
    let compared = System::ALL.iter().filter_map(|system| {
        let name = system.as_str();
        let scores = |(a, b): &(&QuestionScores, &QuestionScores)| {
            Some((*a.ndcg_10.get(name)?, *b.ndcg_10.get(name)?))
        };
        let scores: Vec<(f64, f64)> = pairs.iter().filter_map(scores).collect();
        let n = scores.len();
        let mean = |of: fn(&(f64, f64)) -> f64| scores.iter().map(of).sum::<f64>() / n as f64;
        let differences: Vec<f64> = scores.iter().map(|(a, b)| b - a).collect();
        (n > 0).then(|| Comparison {
            system: name.to_owned(),
            questions: n,
            before: mean(|(a, _)| *a),
            after: mean(|(_, b)| *b),
            better: differences.iter().filter(|d| **d > 0.0).count(),
            worse: differences.iter().filter(|d| **d < 0.0).count(),
            difference_interval: interval(&differences),
        })
    });
    compared.collect()
}

/// The questions, each with its query, its category and how many of these came before it.
fn numbered(
    scores: &[QuestionScores],
) -> impl Iterator<Item = ((&str, &str, usize), &QuestionScores)> {
    let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
    scores.iter().map(move |question| {
        let (query, category) = (question.query.as_str(), question.category.as_str());
        let count = seen.entry((query, category)).or_default();
        *count += 1;
        ((query, category, *count), question)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(query: &str, full: f64) -> QuestionScores {
        let ndcg_10 = [("full".to_owned(), full)].into();
        let category = "x".to_owned();
        QuestionScores {
            query: query.to_owned(),
            category,
            ndcg_10,
            first: None,
            scores: Vec::new(),
        }
    }

    #[test]
    fn two_evaluations_are_compared_on_the_questions_that_both_have() {
        let before = [scores("a", 0.5), scores("b", 1.0), scores("gone", 1.0), scores("a", 0.0)];
        let after = [scores("a", 1.0), scores("b", 0.9), scores("new", 0.0), scores("a", 0.0)];
        let compared = compare(&before, &after);
        assert_eq!(compared.len(), 1);
        let full = &compared[0];
        assert_eq!(
            (full.system.as_str(), full.questions, full.better, full.worse),
            ("full", 3, 1, 1)
        );
        assert!((full.before - 0.5).abs() < 1e-12 && (full.after - 1.9 / 3.0).abs() < 1e-12);
        let Interval { low, high } = full.difference_interval;
        assert!(low < 0.1 && high > 0.2, "{low} {high}");
        assert!(compare(&before, &[]).is_empty());
    }
}
