//! Searching a lexical index: the best chunks of a scope for the words of a query.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use ordered_float::OrderedFloat;
use tantivy::query::{Bm25StatisticsProvider, Bm25Weight, BooleanQuery, BoostQuery, EnableScoring};
use tantivy::query::{Occur, Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, SegmentReader, Term};

use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkId, ChunkSet, Hit, TopK};
use crate::index::QueryText;

use super::LexicalIndex;
use super::stop::is_stop_word;
use super::writer::with_analyzer;

/// Distinct terms of a query that are searched; of more, the rarest are kept.
const QUERY_TERMS_MAX: usize = 64;
/// Distinct terms of a query that are looked up at all.
const QUERY_TERMS_SEEN_MAX: usize = 4096;
/// The most by which two summation orders of one score differ, relative to it.
const ROUNDING: f32 = 1e-5;

/// A term of a query with what its score needs.
pub(super) struct Scored {
    pub term: Term,
    weight: Bm25Weight,
    /// What the weight was multiplied by.
    boost: f32,
    /// Whether a chunk must have it, because it stands in a quoted text.
    required: bool,
}

impl Scored {
    pub fn boost_by(&mut self, boost: f32) {
        self.weight = self.weight.boost_by(boost);
        self.boost *= boost;
    }
}

/// A document that may be among the best.
#[derive(Clone, Copy)]
struct Candidate {
    segment: usize,
    doc: DocId,
    chunk: ChunkId,
    score: f32,
}

impl LexicalIndex {
    /// The best `k` chunks of `scope` (`None`: of all) that contain at least one word of `query`, best
    /// first.
    pub fn search(
        &self,
        query: &QueryText,
        k: usize,
        scope: Option<&ChunkSet>,
    ) -> Result<Vec<Hit>> {
        let terms =
            self.query_terms(query).map_err(Error::library("tantivy", "search an index"))?;
        self.find(terms, k, scope)
    }

    /// The best `k` chunks of `scope` that contain at least one of `terms`, and all that are required if
    /// any chunk does.
    pub(super) fn find(
        &self,
        mut terms: Vec<Scored>,
        k: usize,
        scope: Option<&ChunkSet>,
    ) -> Result<Vec<Hit>> {
        if k == 0 || terms.is_empty() {
            return Ok(Vec::new());
        }
        let failed = || Error::library("tantivy", "search an index");
        let mut candidates = self.candidates(&terms, k, scope).map_err(failed())?;
        if candidates.is_empty() && terms.iter().any(|scored| scored.required) {
            terms.iter_mut().for_each(|scored| scored.required = false);
            candidates = self.candidates(&terms, k, scope).map_err(failed())?;
        }
        self.rescore(&terms, candidates, k).map_err(failed())
    }

    /// The terms of a query that the index knows, in the order of their text.
    pub(super) fn query_terms(&self, query: &QueryText) -> tantivy::Result<Vec<Scored>> {
        let mut seen = BTreeSet::new();
        with_analyzer(|analyzer| {
            for word in &query.words {
                analyzer.each_of_word(word, |term| {
                    if seen.len() < QUERY_TERMS_SEEN_MAX && !seen.contains(term) {
                        seen.insert(term.to_owned());
                    }
                });
            }
        });
        if seen.iter().any(|term| !is_stop_word(term)) {
            seen.retain(|term| !is_stop_word(term));
        }
        let mut required = BTreeSet::new();
        with_analyzer(|analyzer| {
            for text in &query.quoted {
                analyzer.each(text, |term| {
                    required.insert(term.to_owned());
                });
            }
        });
        let mut known = Vec::new();
        for text in seen {
            let term = self.term(&text);
            let freq = self.searcher.doc_freq(&term)?;
            if freq > 0 {
                known.push((freq, text, term));
            }
        }
        if known.len() > QUERY_TERMS_MAX {
            known.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
            known.truncate(QUERY_TERMS_MAX);
            known.sort_by(|a, b| a.1.cmp(&b.1));
        }
        let scored = |(freq, text, term)| {
            Ok(Scored { required: required.contains(&text), ..self.scored(freq, term)? })
        };
        known.into_iter().map(scored).collect()
    }

    /// A term that `freq` documents have, with the weight of BM25.
    pub(super) fn scored(&self, freq: u64, term: Term) -> tantivy::Result<Scored> {
        let docs = self.searcher.total_num_docs()?;
        let length_mean = self.searcher.total_num_tokens(self.text)? as f32 / docs.max(1) as f32;
        let weight = Bm25Weight::for_one_term_without_explain(freq, docs, length_mean);
        Ok(Scored { term, weight, boost: 1.0, required: false })
    }

    /// Every document whose score may be among the best `k`, by block-max WAND (Ding and Suel
    /// 2011). A document outside the scope is skipped before it can raise the threshold.
    fn candidates(
        &self,
        terms: &[Scored],
        k: usize,
        scope: Option<&ChunkSet>,
    ) -> tantivy::Result<Vec<Candidate>> {
        let clause = |scored: &Scored| -> (Occur, Box<dyn Query>) {
            let query = TermQuery::new(scored.term.clone(), IndexRecordOption::WithFreqs);
            let query = BoostQuery::new(Box::new(query), scored.boost);
            let occur = if scored.required { Occur::Must } else { Occur::Should };
            (occur, Box::new(query))
        };
        let query = BooleanQuery::new(terms.iter().map(clause).collect());
        let weight = query.weight(EnableScoring::enabled_from_searcher(&self.searcher))?;
        let mut best = Best::new(k);
        for (segment, reader) in self.searcher.segment_readers().iter().enumerate() {
            let alive = reader.alive_bitset();
            let chunks = &self.chunks[segment];
            weight.for_each_pruning(best.threshold(), reader, &mut |doc, score| {
                if alive.is_none_or(|alive| alive.is_alive(doc)) {
                    let chunk = ChunkId(chunks.get_val(doc) as u32);
                    if scope.is_none_or(|scope| scope.contains(chunk)) {
                        best.push(Candidate { segment, doc, chunk, score });
                    }
                }
                best.threshold()
            })?;
        }
        Ok(best.into_candidates())
    }

    /// Scores the candidates again, summing in the order of the terms: pruning sums in the order of
    /// its cursors, which depends on the segments.
    fn rescore(
        &self,
        terms: &[Scored],
        mut candidates: Vec<Candidate>,
        k: usize,
    ) -> tantivy::Result<Vec<Hit>> {
        candidates.sort_unstable_by_key(|c| (c.segment, c.doc));
        let mut top = TopK::new(k);
        for run in candidates.chunk_by(|a, b| a.segment == b.segment) {
            let reader = self.searcher.segment_reader(run[0].segment as u32);
            for (candidate, score) in run.iter().zip(self.sums(terms, reader, run)?) {
                top.push(Hit { id: candidate.chunk, score: score as f32 });
            }
        }
        Ok(top.into_sorted())
    }

    /// run: `[n]` candidates of one segment, by document; returns `[n]` scores.
    fn sums(
        &self,
        terms: &[Scored],
        reader: &SegmentReader,
        run: &[Candidate],
    ) -> tantivy::Result<Vec<f64>> {
        let mut sums = vec![0f64; run.len()];
        let norms = reader.get_fieldnorms_reader(self.text)?;
        let inverted = reader.inverted_index(self.text)?;
        for Scored { term, weight, .. } in terms {
            let read = inverted.read_postings(term, IndexRecordOption::WithFreqs)?;
            let Some(mut postings) = read else { continue };
            for (sum, candidate) in sums.iter_mut().zip(run) {
                if postings.doc() < candidate.doc {
                    postings.seek(candidate.doc);
                }
                if postings.doc() == candidate.doc {
                    let freq = tantivy::postings::Postings::term_freq(&postings);
                    *sum += f64::from(weight.score(norms.fieldnorm_id(candidate.doc), freq));
                }
            }
        }
        Ok(sums)
    }
}

/// The best `k` scores so far, and every candidate that rounding may still move among them.
struct Best {
    k: usize,
    /// The worst on top.
    scores: BinaryHeap<Reverse<OrderedFloat<f32>>>,
    kept: Vec<Candidate>,
    kept_max: usize,
}

impl Best {
    fn new(k: usize) -> Self {
        Self { k, scores: BinaryHeap::new(), kept: Vec::new(), kept_max: 4 * k + 1024 }
    }

    /// A score must exceed this to be a candidate.
    fn threshold(&self) -> f32 {
        match self.scores.peek() {
            Some(Reverse(worst)) if self.scores.len() == self.k => worst.0 * (1.0 - ROUNDING),
            _ => 0.0,
        }
    }

    fn push(&mut self, candidate: Candidate) {
        self.kept.push(candidate);
        self.scores.push(Reverse(OrderedFloat(candidate.score)));
        if self.scores.len() > self.k {
            self.scores.pop();
        }
        if self.kept.len() > self.kept_max {
            self.drop_hopeless();
            self.kept_max = self.kept_max.max(2 * self.kept.len());
        }
    }

    fn drop_hopeless(&mut self) {
        let threshold = self.threshold();
        self.kept.retain(|candidate| candidate.score > threshold);
    }

    fn into_candidates(mut self) -> Vec<Candidate> {
        self.drop_hopeless();
        self.kept
    }
}
