//! The candidates of a question with all that the ranking knows about them, from which
//! `scripts/learn-ranking` learns its constants.

use std::collections::BTreeMap;

use serde::Serialize;

use super::metrics::{Found, is_in};
use super::question::Question;
use crate::search::{Candidate, Plan};

/// One line of the file.
#[derive(Debug, Serialize)]
pub struct QuestionCandidates<'a> {
    query: &'a str,
    category: &'a str,
    class: &'static str,
    is_question: bool,
    /// Whether all words of the query are in the index.
    is_known: bool,
    /// See [`crate::search::Searcher::lexical_support`].
    lexical_support: f64,
    /// How many targets the question has.
    targets: usize,
    candidates: Vec<RatedCandidate<'a>>,
}

#[derive(Debug, Serialize)]
struct RatedCandidate<'a> {
    id: u32,
    /// The score on the scale of each channel that found it.
    raw: BTreeMap<&'static str, f32>,
    #[serde(flatten)]
    known: &'a Candidate,
    /// The targets that it is, by number.
    relevant: Vec<usize>,
}

impl<'a> QuestionCandidates<'a> {
    /// place: where the chunk of a candidate is.
    pub(super) fn new(
        question: &'a Question,
        plan: &Plan,
        lexical_support: f64,
        candidates: &'a [Candidate],
        place: impl Fn(&Candidate) -> Option<Found<'a>>,
    ) -> Self {
        let rated = |known: &'a Candidate| {
            let found = place(known)?;
            let targets = question.relevant.iter().enumerate();
            let contributions = known.fused.why.contributions.iter();
            Some(RatedCandidate {
                id: known.fused.id.0,
                raw: contributions.map(|c| (c.channel.as_str(), c.raw_score)).collect(),
                known,
                relevant: targets
                    .filter(|(_, target)| is_in(&found, target))
                    .map(|(i, _)| i)
                    .collect(),
            })
        };
        Self {
            query: &question.query,
            category: &question.category,
            class: plan.profile.class.as_str(),
            is_question: plan.profile.is_question,
            is_known: plan.profile.oov_ratio == 0.0,
            lexical_support,
            targets: question.relevant.len(),
            candidates: candidates.iter().filter_map(rated).collect(),
        }
    }
}
