//! The systems that are compared on one index.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::baselines::WordIndex;
use super::candidates::QuestionCandidates;
use super::evaluation::{Evaluation, FirstResult, QuestionScores};
use super::metrics::{Found, RECALL_AT, Scores};
use super::question::Question;
use crate::base::config::SearchSettings;
use crate::base::error::Result;
use crate::base::hit::{ChunkId, Hit};
use crate::base::telemetry::RunContext;
use crate::index::catalog::ChunkRow;
use crate::search::{Answer, Candidate, ChannelName, Query, Ranking, RerankChoice, Searcher};

/// Results of each system: as many as the deepest figure needs, and no more than the channels look deep
/// for a short answer, so that the figures are those of a short answer.
const LIMIT: usize = RECALL_AT[2];
/// The constant of plain reciprocal rank fusion (Cormack, Clarke, Büttcher 2009).
const RRF_K: usize = 60;

/// A way to rank the chunks of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// The chunks with most of the query's words, as a search of each word with ripgrep.
    WordsFound,
    /// BM25 over the words of the chunks as they are.
    Bm25,
    Dense,
    Lexical,
    Symbol,
    /// Only of an index with a sparse model.
    Sparse,
    /// Reciprocal rank fusion of dense and lexical with equal weights.
    Rrf,
    /// The mean of the dense and the lexical score, each scaled to 0 to 1 by its least and greatest.
    Convex,
    /// The whole pipeline.
    Full,
    /// The whole pipeline, whose best chunks are ranked once more; only if it is asked for.
    Reranked,
    /// The best of the dense, the lexical and the symbol channel, chosen for each question by its nDCG.
    Oracle,
}

impl System {
    pub const ALL: [Self; 11] = [
        Self::WordsFound,
        Self::Bm25,
        Self::Dense,
        Self::Lexical,
        Self::Symbol,
        Self::Sparse,
        Self::Rrf,
        Self::Convex,
        Self::Full,
        Self::Reranked,
        Self::Oracle,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::WordsFound => "words_found",
            Self::Bm25 => "bm25",
            Self::Dense => "dense",
            Self::Lexical => "lexical",
            Self::Symbol => "symbol",
            Self::Sparse => "sparse",
            Self::Rrf => "rrf",
            Self::Convex => "convex",
            Self::Full => "full",
            Self::Reranked => "reranked",
            Self::Oracle => "oracle",
        }
    }
}

/// Takes the candidates of one question.
pub type TakeCandidates<'a> = &'a mut dyn FnMut(&QuestionCandidates<'_>) -> Result<()>;

/// Asks every question of every system. rerank: how the system `reranked` does it. asked: called after each question with their number.
/// take_candidates: called with what the ranking knows about each.
///
/// Returns the error of the first question that cannot be answered.
pub fn evaluate(
    searcher: &Searcher,
    questions: &[Question],
    settings: &SearchSettings,
    rerank: Option<RerankChoice>,
    cx: &RunContext,
    asked: impl Fn(usize),
    mut take_candidates: Option<TakeCandidates<'_>>,
) -> Result<Evaluation> {
    let catalog = searcher.catalog();
    let chunks = catalog.rows_in(0..u32::try_from(catalog.universe()).unwrap_or(u32::MAX))?;
    let words = WordIndex::new(chunks.iter().map(|chunk| (chunk.id, chunk.text.as_str())));
    let places: HashMap<ChunkId, &ChunkRow> =
        chunks.iter().map(|chunk| (chunk.id, chunk)).collect();
    let place = |id: ChunkId| {
        let ChunkRow { path, start_line, end_line, .. } = places.get(&id)?;
        Some(Found { path, start_line: *start_line, end_line: *end_line })
    };
    let has_sparse = searcher.has(ChannelName::Sparse);
    let systems = System::ALL.into_iter().filter(|system| match system {
        System::Sparse => has_sparse,
        System::Reranked => rerank.is_some(),
        _ => true,
    });
    let systems: Vec<System> = systems.collect();
    let found =
        |hits: &[Hit]| -> Vec<Found<'_>> { hits.iter().filter_map(|hit| place(hit.id)).collect() };
    let mut took = Took::default();
    let mut all = Vec::with_capacity(questions.len());
    for (i, question) in questions.iter().enumerate() {
        let query = Query::new(&question.query, LIMIT, settings)?;
        let (plan, rankings) = searcher.rankings(&query, cx)?;
        let of = |channel| {
            let ranking = rankings.iter().find(|ranking: &&Ranking| ranking.channel == channel);
            ranking.map_or(&[][..], |ranking| ranking.hits.as_slice())
        };
        let (dense, lexical) = (of(ChannelName::Dense), of(ChannelName::Lexical));
        let scores = |hits: &[Hit]| Scores::of(&found(hits), &question.relevant);
        let channels = [dense, lexical, of(ChannelName::Symbol)].map(scores);
        let pipeline = |query: &Query, took: &mut Duration| -> Result<(Scores, Answer)> {
            let began = Instant::now();
            let answer = searcher.search(query, cx)?;
            *took += began.elapsed();
            Ok((Scores::of(&findings(&answer), &question.relevant), answer))
        };
        let (full, answer) = pipeline(&query, &mut took.full)?;
        let reranked = match rerank {
            Some(choice) => pipeline(&query.clone().with_rerank(choice)?, &mut took.reranked)?.0,
            None => Scores::default(),
        };
        if let Some(take) = &mut take_candidates {
            let candidates = searcher.candidates(&query, &plan, &rankings)?;
            let support = searcher.lexical_support(&plan, &rankings);
            let place = |candidate: &Candidate| place(candidate.fused.id);
            take(&QuestionCandidates::new(question, &plan, support, &candidates, place))?;
        }
        let best = channels.iter().copied().max_by(|a, b| a.ndcg_10.total_cmp(&b.ndcg_10));
        let score = |system: &System| match system {
            System::WordsFound => scores(&words.words_found(&query.text, LIMIT)),
            System::Bm25 => scores(&words.bm25(&query.text, LIMIT)),
            System::Dense => channels[0],
            System::Lexical => channels[1],
            System::Symbol => channels[2],
            System::Sparse => scores(of(ChannelName::Sparse)),
            System::Rrf => scores(&reciprocal_ranks(&[dense, lexical])),
            System::Convex => scores(&scaled(&[dense, lexical])),
            System::Full => full,
            System::Reranked => reranked,
            System::Oracle => best.unwrap_or_default(),
        };
        let scores: Vec<Scores> = systems.iter().map(score).collect();
        let first = answer.evidence.map(|evidence| FirstResult {
            class: answer.query_kind.as_str().to_owned(),
            evidence,
            confidence: evidence.confidence(answer.query_kind),
            is_right: full.mrr_10 == 1.0,
        });
        all.push(QuestionScores::new(question, &systems, &scores, first));
        asked(i + 1);
    }
    let mean_ms = |sum: Duration| sum.as_secs_f64() * 1e3 / questions.len().max(1) as f64;
    let mut search_ms = BTreeMap::from([(System::Full.as_str(), mean_ms(took.full))]);
    if rerank.is_some() {
        search_ms.insert(System::Reranked.as_str(), mean_ms(took.reranked));
    }
    Ok(Evaluation::new(&searcher.version().manifest, &systems, search_ms, all))
}

/// The time of all searches of the pipeline.
#[derive(Default)]
struct Took {
    full: Duration,
    reranked: Duration,
}

fn findings(answer: &Answer) -> Vec<Found<'_>> {
    let found = answer.findings.iter().map(|finding| {
        let row = &finding.row;
        Found { path: &row.path, start_line: row.start_line, end_line: row.end_line }
    });
    found.collect()
}

fn reciprocal_ranks(rankings: &[&[Hit]]) -> Vec<Hit> {
    let score = |rank: usize, _: &Hit, _: &[Hit]| 1.0 / (RRF_K + rank) as f32;
    summed(rankings, score)
}

fn scaled(rankings: &[&[Hit]]) -> Vec<Hit> {
    let score = |_: usize, hit: &Hit, hits: &[Hit]| {
        let (high, low) = (hits[0].score, hits[hits.len() - 1].score);
        if high > low { (hit.score - low) / (high - low) } else { 1.0 }
    };
    summed(rankings, score)
}

/// The sum of the scores of each chunk, best first. score: of rank (from 1), hit and ranking.
fn summed(rankings: &[&[Hit]], score: impl Fn(usize, &Hit, &[Hit]) -> f32) -> Vec<Hit> {
    let mut sums: HashMap<ChunkId, f32> = HashMap::new();
    for hits in rankings {
        for (rank, hit) in (1..).zip(*hits) {
            *sums.entry(hit.id).or_default() += score(rank, hit, hits);
        }
    }
    let mut hits: Vec<Hit> = sums.into_iter().map(|(id, score)| Hit { id, score }).collect();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fusions_of_two_rankings_add_their_scores() {
        let hits = |scores: &[(u32, f32)]| {
            scores.iter().map(|&(id, score)| Hit { id: ChunkId(id), score }).collect::<Vec<_>>()
        };
        let (dense, lexical) = (hits(&[(1, 0.9), (2, 0.8), (3, 0.1)]), hits(&[(3, 9.0), (2, 5.0)]));
        let order = |hits: Vec<Hit>| hits.iter().map(|hit| hit.id.0).collect::<Vec<_>>();
        assert_eq!(order(reciprocal_ranks(&[&dense, &lexical])), [3, 2, 1]);
        let convex = scaled(&[&dense, &lexical]);
        assert_eq!(order(convex.clone()), [1, 3, 2]);
        assert_eq!(convex[0].score, 1.0);
        assert!(summed(&[&[], &[]], |_, _, _| 1.0).is_empty());
    }
}
