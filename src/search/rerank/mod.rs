//! Which of the best chunks are best, when each is compared with the query more closely?
//!
//! A method gives each of the first chunks a score of its own. These are scaled to the range that the
//! scores of these chunks had, so that none falls behind a chunk that was not looked at, and mixed
//! with them by the weight of the method. The change is the factor `rerank` of the explanation. To add
//! a method: its word in `base/config/value.rs`, its file here with a [`Scorer`], and its line in
//! [`Reranker::score`].

mod cross_encoder;
mod engines;
mod exact;
mod listwise;
mod maxsim;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channels::DenseChannel;
use super::fuse::{Fused, Fusion, Ranking};
use super::rank::{best_first, multiply};
use crate::base::config::{RerankMethod, SearchSettings, Settings};
use crate::base::error::{Error, Result, Warning};
use crate::base::hit::ChunkId;
use crate::base::telemetry::{RunContext, StageSpan, attrs};
use crate::embedding::engine::Task;
use crate::index::catalog::{Catalog, ShownChunk};

pub use engines::RerankEngines;

/// What a query wants to be ranked once more; what is absent is as the settings say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RerankChoice {
    pub method: Option<RerankMethod>,
    /// From 1.
    pub top_k: Option<usize>,
}

/// What was ranked once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reranked {
    pub method: RerankMethod,
    /// The chunks that the method was to see, in the order before it.
    pub candidates: Vec<ChunkId>,
    /// How many of them, from the first on, it saw within its budget.
    pub scored: usize,
}

/// Scores texts for the query that it was made for.
trait Scorer {
    /// Texts to score at a time.
    const BATCH: usize;
    /// The weight of its order against the order before.
    const WEIGHT: f64;

    /// A score for each text, greater for a better one. texts: `[n]`, best first so far.
    fn scores(&self, texts: &[&str], cx: &RunContext) -> Result<Vec<f64>>;
}

/// The methods, on one version.
pub struct Reranker {
    engines: Arc<RerankEngines>,
    /// The embedding model of the version.
    model: String,
    settings: SearchSettings,
}

/// What the methods compare.
pub struct Sources<'a> {
    /// The text of the query.
    pub query: &'a str,
    pub catalog: &'a Catalog,
    pub dense: &'a DenseChannel,
    /// What the channels found.
    pub rankings: &'a [Ranking],
    pub fusion: Fusion,
}

impl Reranker {
    /// model: the embedding model of the version.
    pub fn new(engines: Arc<RerankEngines>, model: String, settings: &Settings) -> Self {
        Self { engines, model, settings: settings.search.clone() }
    }

    /// The method for a query.
    pub fn method(&self, choice: RerankChoice) -> RerankMethod {
        choice.method.unwrap_or(self.settings.rerank)
    }

    /// Starts what `choice` needs, so that a search does not wait for it. What cannot be started is
    /// named by the search that needs it.
    pub fn prepare(&self, choice: RerankChoice) {
        let started = match self.method(choice) {
            RerankMethod::MaxSim => self.engines.get(Task::TokenVectors, &self.model),
            RerankMethod::CrossEncoder => self.cross_encoder(),
            RerankMethod::Off | RerankMethod::Exact | RerankMethod::Listwise => return,
        };
        if let Err(error) = started {
            tracing::warn!(%error, "what reranks could not be started");
        }
    }

    fn cross_encoder(&self) -> Result<crate::embedding::engine::Engine> {
        let model = &self.settings.rerank_model;
        if model.is_empty() {
            let remedy = "set search.rerank_model to a cross-encoder".to_owned();
            return Err(Error::Unavailable { what: "cross_encoder".to_owned(), remedy });
        }
        self.engines.get(Task::Score, model)
    }

    /// Ranks the first of `ranked`, best first, once more. If the budget ends before the last of them
    /// is seen, the rest keep their order, and the warning says so.
    pub fn rerank(
        &self,
        choice: RerankChoice,
        ranked: &mut [Fused],
        sources: &Sources<'_>,
        span: &mut StageSpan,
    ) -> Result<(Reranked, Option<Warning>)> {
        let method = self.method(choice);
        let n = choice.top_k.unwrap_or(self.settings.rerank_top_k).min(ranked.len());
        let budget_ms = self.settings.rerank_budget_ms;
        span.set(attrs::RERANK_METHOD, method.as_str());
        span.set(attrs::RERANK_CANDIDATES, n);
        span.set(attrs::RERANK_BUDGET_MS, budget_ms);
        let candidates: Vec<ChunkId> = ranked[..n].iter().map(|chunk| chunk.id).collect();
        let scored = self.score(method, ranked, &candidates, sources, &span.cx())?;
        ranked.sort_by(best_first);
        span.set(attrs::RERANK_SCORED, scored);
        let warning = (scored < n).then(|| {
            let message = format!(
                "reranking by {method} saw {scored} of {n} chunks in its {budget_ms} ms \
                 (search.rerank_budget_ms); the others keep their order"
            );
            Warning::new("rerank-over-budget", message)
        });
        Ok((Reranked { method, candidates, scored }, warning))
    }

    /// Changes the scores of `ids`, the first of `ranked`, and returns how many it got to.
    fn score(
        &self,
        method: RerankMethod,
        ranked: &mut [Fused],
        ids: &[ChunkId],
        sources: &Sources<'_>,
        cx: &RunContext,
    ) -> Result<usize> {
        let query = sources.query;
        // What has to be started is not part of the budget.
        match method {
            RerankMethod::Off => Ok(ids.len()),
            RerankMethod::Exact => {
                exact::rescore(&mut ranked[..ids.len()], sources, &self.within(cx))
            }
            RerankMethod::MaxSim => {
                let engine = self.engines.get(Task::TokenVectors, &self.model)?;
                let cx = self.within(cx);
                let scorer = maxsim::MaxSim::new(&engine, query, &cx)?;
                self.apply(&scorer, ranked, ids, sources.catalog, &cx)
            }
            RerankMethod::CrossEncoder => {
                let engine = self.cross_encoder()?;
                let scorer = cross_encoder::CrossEncoder { engine: &engine, query };
                self.apply(&scorer, ranked, ids, sources.catalog, &self.within(cx))
            }
            RerankMethod::Listwise => {
                let scorer = listwise::Listwise { chat: self.engines.chat()?, query };
                self.apply(&scorer, ranked, ids, sources.catalog, &self.within(cx))
            }
        }
    }

    fn within(&self, cx: &RunContext) -> RunContext {
        cx.at_most(Duration::from_millis(self.settings.rerank_budget_ms))
    }

    /// Scores the texts of `ids` with `scorer`, and returns how many it got to in time.
    fn apply<S: Scorer>(
        &self,
        scorer: &S,
        ranked: &mut [Fused],
        ids: &[ChunkId],
        catalog: &Catalog,
        cx: &RunContext,
    ) -> Result<usize> {
        let texts: Vec<String> = catalog.rows(ids)?.rows.iter().map(text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let scores = in_time(scorer, &texts, cx)?;
        let set = self.settings.rerank_weight;
        blend(ranked, &scores, if set > 0.0 { set } else { S::WEIGHT });
        Ok(scores.len())
    }
}

/// The text of a chunk under the lines that say where it comes from, as it was embedded.
fn text(row: &ShownChunk) -> String {
    let names = row.enclosing.join(" > ");
    let lines = [&row.path, &names, row.signature.as_deref().unwrap_or_default(), &row.text];
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// The scores of the first texts, as many as `scorer` gets to before the deadline.
fn in_time<S: Scorer>(scorer: &S, texts: &[&str], cx: &RunContext) -> Result<Vec<f64>> {
    let mut scores = Vec::with_capacity(texts.len());
    let mut longest = Duration::ZERO;
    for batch in texts.chunks(S::BATCH) {
        let began = Instant::now();
        // A batch that takes as long as those before must end in time.
        if cx.deadline().is_some_and(|deadline| began + longest >= deadline) {
            break;
        }
        match scorer.scores(batch, cx) {
            Ok(more) => scores.extend(more),
            Err(Error::DeadlineExceeded { .. }) => break,
            Err(error) => return Err(error),
        }
        longest = longest.max(began.elapsed());
    }
    if let Some(text) = scores.iter().position(|score| !score.is_finite()) {
        return Err(Error::Input { index: text, source: Error::OutputNotFinite.into() });
    }
    Ok(scores)
}

/// How far the worst chunk of a method stays before those that it did not see, as a share of the range.
const AHEAD: f64 = 0.01;

/// Mixes `scores` of the first chunks of `ranked`, which is best first, with those that they have.
///
/// weight: 0 to 1; at 1 `scores` alone order these chunks.
fn blend(ranked: &mut [Fused], scores: &[f64], weight: f64) {
    let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (top, rest) = match ranked.first() {
        Some(first) => (first.score, ranked.get(scores.len()).map_or(0.0, |next| next.score)),
        None => return,
    };
    for (chunk, score) in ranked.iter_mut().zip(scores) {
        let share = if greatest > least { (score - least) / (greatest - least) } else { 1.0 };
        let share = AHEAD + (1.0 - AHEAD) * share;
        let mixed = (1.0 - weight) * chunk.score + weight * (rest + share * (top - rest));
        // A score of 0 is 0 times any factor.
        multiply(chunk, "rerank", if chunk.score > 0.0 { mixed / chunk.score } else { 1.0 });
    }
}

#[cfg(test)]
mod tests;
