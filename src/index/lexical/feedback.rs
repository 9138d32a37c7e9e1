//! RM3, pseudo-relevance feedback (Abdul-Jaleel et al. 2004): the words that tell the best documents of
//! a query apart from all others join the query.

use std::collections::{BTreeMap, HashMap};

use super::LexicalIndex;
use super::stop::is_stop_word;
use super::writer::with_analyzer;
use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkSet, Hit};
use crate::index::QueryText;

/// Documents that are taken to be relevant.
pub const FEEDBACK_DOCS: usize = 10;
/// Terms that join the query.
const TERMS: usize = 10;
/// The weight of the query as it was; that of the terms is the rest.
const QUERY_WEIGHT: f32 = 0.5;
/// Terms of a larger share of all documents tell nothing.
const SHARE_MAX: f64 = 0.1;

/// Terms with their weights, which add up to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback(Vec<(String, f32)>);

impl Feedback {
    pub fn terms(&self) -> usize {
        self.0.len()
    }
}

impl LexicalIndex {
    /// The terms of `docs`, texts with their scores, by how likely a relevant document has them.
    pub fn feedback<'a>(&self, docs: impl Iterator<Item = (&'a str, f32)>) -> Result<Feedback> {
        let mut likely: BTreeMap<String, f32> = BTreeMap::new();
        for (text, score) in docs {
            let mut counts: HashMap<String, f32> = HashMap::new();
            with_analyzer(|analyzer| {
                analyzer.each(text, |term| *counts.entry(term.to_owned()).or_default() += 1.0);
            });
            let length: f32 = counts.values().sum();
            for (term, count) in counts {
                *likely.entry(term).or_default() += score * count / length;
            }
        }
        let docs_max = SHARE_MAX * self.n() as f64;
        let mut terms = Vec::new();
        for (text, weight) in likely {
            let freq = self.searcher.doc_freq(&self.term(&text));
            let freq = freq.map_err(Error::library("tantivy", "read a term"))?;
            let is_word = text.chars().nth(1).is_some() && !is_stop_word(&text);
            if is_word && freq > 0 && freq as f64 <= docs_max {
                terms.push((text, weight));
            }
        }
        // Equal weights are in the order of the texts.
        terms.sort_by(|a, b| b.1.total_cmp(&a.1));
        terms.truncate(TERMS);
        let sum: f32 = terms.iter().map(|(_, weight)| weight).sum();
        terms.iter_mut().for_each(|(_, weight)| *weight /= sum);
        Ok(Feedback(terms))
    }

    /// As [`LexicalIndex::search`], for the query and `feedback` together.
    pub fn search_with(
        &self,
        query: &QueryText,
        feedback: &Feedback,
        k: usize,
        scope: Option<&ChunkSet>,
    ) -> Result<Vec<Hit>> {
        let failed = || Error::library("tantivy", "search an index");
        let mut terms = self.query_terms(query).map_err(failed())?;
        // All weights together are as many as the terms of the query.
        let n = terms.len() as f32;
        terms.iter_mut().for_each(|scored| scored.boost_by(QUERY_WEIGHT));
        for (text, weight) in &feedback.0 {
            let boost = (1.0 - QUERY_WEIGHT) * weight * n;
            let term = self.term(text);
            match terms.iter_mut().find(|scored| scored.term == term) {
                Some(known) => known.boost_by(1.0 + boost / QUERY_WEIGHT),
                None => {
                    let freq = self.searcher.doc_freq(&term).map_err(failed())?;
                    let mut scored = self.scored(freq, term).map_err(failed())?;
                    scored.boost_by(boost);
                    terms.push(scored);
                }
            }
        }
        self.find(terms, k, scope)
    }
}
