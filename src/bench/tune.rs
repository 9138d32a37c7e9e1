//! The fastest setting of an approximate vector index whose recall is within [`RECALL_LOSS_MAX`] of the
//! best.
//!
//! Queries are vectors of the index itself, each without its own row in the answer. A vector of the
//! index has nearer neighbours than a question in words, so that its recall is somewhat higher.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkId, ChunkSet, Hit};
use crate::base::telemetry::RunContext;
use crate::index::dense::DenseKind;
use crate::index::{DenseIndex, DenseParams};

/// Neighbours that are compared.
const K: usize = 10;
/// Recall that a faster setting may lose.
const RECALL_LOSS_MAX: f64 = 0.005;
/// Times that each setting is measured; the fastest counts.
const PASSES: usize = 3;
/// Highest number of lists visited and of candidates kept that are tried.
const EFFORT_MAX: usize = 4096;
const K_FACTORS: [usize; 4] = [4, 16, 32, 64];

/// One setting with its figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TunedSetting {
    /// Names and values of the settings, such as `search.nprobe`.
    pub settings: Vec<(&'static str, usize)>,
    /// Share of the 10 nearest neighbours that are found.
    pub recall_10: f64,
    /// Mean duration of one search on one thread.
    pub ms_per_query: f64,
}

/// The figures of every setting tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tuning {
    pub kind: &'static str,
    pub factory: String,
    pub queries: usize,
    pub tried: Vec<TunedSetting>,
    /// Position of the setting to use.
    pub chosen: usize,
}

/// Measures `index` with up to `queries` of its live vectors.
///
/// live: the chunks that are not deleted; `None` for all. Returns `None` for an exact index, which has no
/// such setting, and an error if the run is cancelled.
pub fn tune(
    index: &DenseIndex,
    live: Option<&ChunkSet>,
    queries: usize,
    cx: &RunContext,
) -> Result<Option<Tuning>> {
    let tried = settings(index);
    if tried.is_empty() {
        return Ok(None);
    }
    let queries = sample(index, live, queries)?;
    if queries.is_empty() {
        let what = "vectors to tune with".to_owned();
        let remedy = "the index has none; index some files first".to_owned();
        return Err(Error::Unavailable { what, remedy });
    }
    let truth = queries
        .iter()
        .map(|(id, vector)| {
            cx.check_wanted("tuning")?;
            Ok(without(*id, index.exact(vector, K + 1, live)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let tried = tried
        .into_iter()
        .map(|settings| measure(index, live, &queries, &truth, settings, cx))
        .collect::<Result<Vec<_>>>()?;
    let chosen = fastest(&tried);
    let (kind, factory) = (index.kind_name(), index.factory().to_owned());
    Ok(Some(Tuning { kind, factory, queries: queries.len(), tried, chosen }))
}

/// Up to `n` live vectors that are not zero, evenly over the index.
fn sample(
    index: &DenseIndex,
    live: Option<&ChunkSet>,
    n: usize,
) -> Result<Vec<(ChunkId, Vec<f32>)>> {
    let all = ChunkSet::all(index.n());
    let live = live.unwrap_or(&all);
    let step = live.count().div_ceil(n.max(1)).max(1);
    let vectors = live.iter().step_by(step).map(|id| Ok((id, index.vector(id)?)));
    let vectors = vectors.collect::<Result<Vec<_>>>()?;
    let is_zero = |vector: &[f32]| vector.iter().all(|value| *value == 0.0);
    Ok(vectors.into_iter().filter(|(_, vector)| !is_zero(vector)).collect())
}

/// The settings to try, least effort first.
fn settings(index: &DenseIndex) -> Vec<Vec<(&'static str, usize)>> {
    let doubled = |from: usize, to: usize| {
        let to = to.min(EFFORT_MAX);
        let doubled = (0..).map(move |i| from << i).take_while(move |value| *value < to);
        doubled.chain([to])
    };
    let nprobes = || doubled(1, index.lists().unwrap_or(1));
    match index.kind() {
        DenseKind::IvfFlat => nprobes().map(|n| vec![("search.nprobe", n)]).collect(),
        DenseKind::IvfPq => K_FACTORS
            .iter()
            .flat_map(|&k| {
                nprobes().map(move |n| vec![("search.nprobe", n), ("search.k_factor", k)])
            })
            .collect(),
        DenseKind::Hnsw => {
            doubled(32, index.n().max(32)).map(|n| vec![("search.ef_search", n)]).collect()
        }
        DenseKind::Flat | DenseKind::Auto => Vec::new(),
    }
}

fn measure(
    index: &DenseIndex,
    live: Option<&ChunkSet>,
    queries: &[(ChunkId, Vec<f32>)],
    truth: &[Vec<ChunkId>],
    settings: Vec<(&'static str, usize)>,
    cx: &RunContext,
) -> Result<TunedSetting> {
    let value = |name: &str, other| {
        settings.iter().find(|(setting, _)| *setting == name).map_or(other, |(_, value)| *value)
    };
    let default = DenseParams::default();
    let params = DenseParams {
        nprobe: value("search.nprobe", default.nprobe),
        ef_search: value("search.ef_search", default.ef_search),
        k_factor: value("search.k_factor", default.k_factor),
        filter: live,
    };
    let mut best = Duration::MAX;
    let (mut found, mut wanted) = (0, 0);
    for pass in 0..PASSES {
        let mut took = Duration::ZERO;
        for ((id, vector), truth) in queries.iter().zip(truth) {
            cx.check_wanted("tuning")?;
            let began = Instant::now();
            let hits = index.search(vector, K + 1, &params)?;
            took += began.elapsed();
            if pass == 0 {
                let hits = without(*id, hits);
                found += truth.iter().filter(|id| hits.contains(id)).count();
                wanted += truth.len();
            }
        }
        best = best.min(took);
    }
    let recall_10 = if wanted == 0 { 1.0 } else { found as f64 / wanted as f64 };
    let ms_per_query = best.as_secs_f64() * 1e3 / queries.len() as f64;
    Ok(TunedSetting { settings, recall_10, ms_per_query })
}

/// The ids of at most [`K`] hits without `id`.
fn without(id: ChunkId, hits: Vec<Hit>) -> Vec<ChunkId> {
    hits.into_iter().map(|hit| hit.id).filter(|other| *other != id).take(K).collect()
}

/// The position of the fastest setting whose recall is near enough to the best.
fn fastest(tried: &[TunedSetting]) -> usize {
    let best = tried.iter().map(|setting| setting.recall_10).fold(0.0, f64::max);
    let near = |(_, setting): &(usize, &TunedSetting)| setting.recall_10 >= best - RECALL_LOSS_MAX;
    let near = tried.iter().enumerate().filter(near);
    near.min_by(|a, b| a.1.ms_per_query.total_cmp(&b.1.ms_per_query)).map_or(0, |(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::telemetry::Telemetry;
    use crate::base::telemetry::labels::Tool;
    use crate::base::vector::Matrix;

    #[test]
    fn the_fastest_within_the_loss_is_chosen_and_not_the_fastest_of_all() {
        let setting = |recall_10, ms_per_query| TunedSetting {
            settings: Vec::new(),
            recall_10,
            ms_per_query,
        };
        let tried = [(0.9, 0.1), (0.9951, 0.4), (0.9949, 0.2), (1.0, 0.9), (0.999, 0.5)];
        assert_eq!(fastest(&tried.map(|(recall, ms)| setting(recall, ms))), 1);
        assert_eq!(fastest(&[setting(0.2, 1.0)]), 0);
    }

    #[test]
    fn more_effort_finds_more_until_all_lists_are_visited_and_deleted_rows_do_not_count() {
        // With fewer live rows, a search with deleted rows scans them all.
        let (n, d) = (6_000, 16);
        let mut rng = fastrand::Rng::with_seed(3);
        let mut values: Vec<f32> = (0..n * d).map(|_| rng.f32() - 0.5).collect();
        for row in values.chunks_exact_mut(d) {
            let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter_mut().for_each(|value| *value /= length);
        }
        let vectors = Matrix::new(values, d).unwrap();
        let cx = RunContext::new(&Telemetry::detached(), Tool::Bench, &[]);
        let mut live = ChunkSet::all(n);
        (0..n as u32).step_by(7).for_each(|id| live.remove(ChunkId(id)));
        for kind in [DenseKind::IvfFlat, DenseKind::Hnsw] {
            let index = DenseIndex::build(&vectors, kind, 1).unwrap();
            let tuning = tune(&index, Some(&live), 100, &cx).unwrap().unwrap();
            let recalls: Vec<f64> = tuning.tried.iter().map(|setting| setting.recall_10).collect();
            let (first, last) = (recalls[0], recalls[recalls.len() - 1]);
            assert!(recalls.len() > 3 && first <= last && last > 0.99, "{kind}: {recalls:?}");
            assert!(kind == DenseKind::Hnsw || first < 0.9, "{kind}: {recalls:?}");
            assert!(tuning.tried[tuning.chosen].recall_10 >= last - RECALL_LOSS_MAX);
            assert!((86..=100).contains(&tuning.queries), "{}", tuning.queries);
        }
        let flat = DenseIndex::build(&vectors, DenseKind::Flat, 1).unwrap();
        assert_eq!(tune(&flat, None, 100, &cx).unwrap(), None);
    }
}
