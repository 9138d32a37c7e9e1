//! Every kind of index finds the nearest rows, in every scope and on every thread.

use std::collections::HashSet;

use super::*;
use crate::base::hit::{ChunkSet, Hit, TopK};

pub(super) fn params(filter: Option<&ChunkSet>) -> DenseParams<'_> {
    DenseParams { nprobe: 32, ef_search: 96, k_factor: 4, filter }
}

pub(super) fn ids(hits: &[Hit]) -> Vec<u32> {
    hits.iter().map(|hit| hit.id.0).collect()
}

fn unit(state: &mut u64) -> f32 {
    *state += 1;
    mix(0, *state) as f32 / u64::MAX as f32 - 0.5
}

/// Normalised rows `[n, d]` around 64 seeded centres that do not depend on `seed`, so that rows of
/// one seed can be queries for those of another.
pub(super) fn clustered(n: usize, d: usize, seed: u64) -> Matrix {
    let mut state = 1 << 40;
    let centres: Vec<f32> = (0..64 * d).map(|_| unit(&mut state)).collect();
    let mut state = seed << 32;
    let mut rows = Matrix::with_capacity(n, d);
    for _ in 0..n {
        state += 1;
        let centre = mix(1, state) as usize % 64;
        let row: Vec<f32> =
            (0..d).map(|j| centres[centre * d + j] + 1.5 * unit(&mut state)).collect();
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        rows.push_row(&row.iter().map(|v| v / norm).collect::<Vec<_>>());
    }
    rows
}

fn brute_force(rows: &Matrix, query: &[f32], k: usize, filter: Option<&ChunkSet>) -> Vec<Hit> {
    let mut top = TopK::new(k);
    for (i, row) in rows.rows().enumerate() {
        let id = ChunkId(i as u32);
        if filter.is_none_or(|set| set.contains(id)) {
            top.push(Hit { id, score: rows::dot(query, ffi::bytes_of(row)) });
        }
    }
    top.into_sorted()
}

fn recall(index: &DenseIndex, rows: &Matrix, params: &DenseParams<'_>) -> f64 {
    let queries = clustered(100, rows.d(), 77);
    let mut found = 0;
    for query in queries.rows() {
        let truth: HashSet<u32> =
            ids(&brute_force(rows, query, 10, params.filter)).into_iter().collect();
        let hits = index.search(query, 10, params).unwrap();
        found += ids(&hits).iter().filter(|id| truth.contains(id)).count();
    }
    found as f64 / 1000.0
}

#[test]
fn flat_is_brute_force_to_the_last_bit() {
    let rows = clustered(3000, 48, 1);
    let index = DenseIndex::build(&rows, DenseKind::Flat, 7).unwrap();
    for query in clustered(50, 48, 2).rows() {
        assert_eq!(
            index.search(query, 20, &params(None)).unwrap(),
            brute_force(&rows, query, 20, None)
        );
    }
}

#[test]
fn recall_of_the_approximate_kinds_has_a_floor() {
    let rows = clustered(12_000, 64, 1);
    for (kind, floor) in
        [(DenseKind::IvfFlat, 0.95), (DenseKind::Hnsw, 0.95), (DenseKind::IvfPq, 0.9)]
    {
        let index = DenseIndex::build(&rows, kind, 7).unwrap();
        let effort = DenseParams { nprobe: 32, ef_search: 96, k_factor: 4, filter: None };
        let found = recall(&index, &rows, &effort);
        assert!(found >= floor, "{}: recall@10 {found}", index.factory());
    }
}

#[test]
fn a_scope_is_complete_and_nothing_else_for_every_kind() {
    let rows = clustered(10_000, 32, 1);
    let delta = clustered(150, 32, 9);
    let mut all = rows.clone();
    delta.rows().for_each(|row| all.push_row(row));
    for kind in [DenseKind::Flat, DenseKind::IvfFlat, DenseKind::Hnsw, DenseKind::IvfPq] {
        let mut index = DenseIndex::build(&rows, kind, 7).unwrap();
        index.append(&delta).unwrap();
        assert!(index.kind_name().ends_with("+sec"));
        for (step, offset) in [(1, 0), (2, 1), (97, 5), (5_000, 3), (20_000, 10_140)] {
            let mut set = ChunkSet::none(10_150);
            (offset..10_150).step_by(step).for_each(|id| set.insert(ChunkId(id as u32)));
            for query in clustered(5, 32, 3).rows() {
                let hits = index.search(query, 60, &params(Some(&set))).unwrap();
                assert_eq!(hits.len(), 60.min(set.count()), "{kind} every {step}");
                assert!(hits.iter().all(|hit| set.contains(hit.id)), "{kind} every {step}");
                let exact = set.count() <= 4096 || kind == DenseKind::Flat;
                if exact {
                    assert_eq!(hits, brute_force(&all, query, 60, Some(&set)), "{kind} {step}");
                }
            }
        }
        let none = ChunkSet::none(10_150);
        assert_eq!(index.search(rows.row(0), 5, &params(Some(&none))).unwrap(), []);
    }
}

#[test]
fn more_hits_than_the_probed_lists_hold_are_still_found() {
    let rows = clustered(5000, 16, 1);
    let index = DenseIndex::build(&rows, DenseKind::IvfFlat, 7).unwrap();
    let narrow = DenseParams { nprobe: 1, ef_search: 1, k_factor: 4, filter: None };
    let hits = index.search(rows.row(3), 2000, &narrow).unwrap();
    assert_eq!(hits, brute_force(&rows, rows.row(3), 2000, None));
    assert_eq!(index.search(rows.row(3), 9000, &narrow).unwrap().len(), 5000);
}

#[test]
fn equal_scores_are_ordered_by_id_in_and_across_the_parts() {
    let d = 24;
    let mut rows = clustered(2000, d, 1);
    let twin = rows.row(1500).to_vec();
    (0..400).for_each(|_| rows.push_row(&twin));
    for kind in [DenseKind::Flat, DenseKind::IvfFlat, DenseKind::Hnsw] {
        let mut index = DenseIndex::build(&rows, kind, 7).unwrap();
        index.append(&Matrix::new(twin.repeat(30), d).unwrap()).unwrap();
        for k in [1, 10, 300, 425] {
            let hits = index.search(&twin, k, &params(None)).unwrap();
            let expected: Vec<u32> = [1500].into_iter().chain(2000..2430).take(k).collect();
            assert_eq!(ids(&hits), expected, "{kind} k {k}");
        }
    }
}

#[test]
fn a_batch_equals_singles_and_threads_change_nothing() {
    let rows = clustered(10_000, 32, 1);
    let queries = clustered(64, 32, 2);
    for kind in [DenseKind::Flat, DenseKind::IvfFlat, DenseKind::Hnsw, DenseKind::IvfPq] {
        let index = DenseIndex::build(&rows, kind, 7).unwrap();
        let singles: Vec<Vec<Hit>> =
            queries.rows().map(|q| index.search(q, 10, &params(None)).unwrap()).collect();
        assert_eq!(index.search_batch(&queries, 10, &params(None)).unwrap(), singles, "{kind}");
        std::thread::scope(|scope| {
            for t in 0..4 {
                let (index, queries, singles) = (&index, &queries, &singles);
                scope.spawn(move || {
                    for (i, query) in queries.rows().enumerate() {
                        // Searches with other values of ef_search in between must not have an effect.
                        let other = DenseParams { ef_search: 200 + t, ..params(None) };
                        index.search(query, 3, &other).unwrap();
                        let found = index.search(query, 10, &params(None)).unwrap();
                        assert_eq!(found, singles[i], "{kind}");
                    }
                });
            }
        });
    }
}

#[test]
fn what_is_not_a_number_or_not_of_this_length_is_refused() {
    let rows = clustered(100, 16, 1);
    let mut index = DenseIndex::build(&rows, DenseKind::Flat, 7).unwrap();
    let mut query = rows.row(0).to_vec();
    assert!(matches!(index.search(&query[..15], 3, &params(None)), Err(Error::Dimension { .. })));
    query[3] = f32::NAN;
    assert!(matches!(index.search(&query, 3, &params(None)), Err(Error::NotFinite { .. })));
    let bad = Matrix::new(query, 16).unwrap();
    assert!(matches!(index.append(&bad), Err(Error::NotFinite { .. })));
    assert!(matches!(DenseIndex::build(&bad, DenseKind::Flat, 7), Err(Error::NotFinite { .. })));
    assert!(index.append(&clustered(1, 8, 1)).is_err());
    let foreign = ChunkSet::all(99);
    assert!(index.search(rows.row(0), 3, &params(Some(&foreign))).is_err());
    assert!(index.vector(ChunkId(100)).is_err());
}

#[test]
fn an_empty_index_answers_nothing_and_can_grow() {
    let empty = Matrix::with_capacity(0, 16);
    let mut index = DenseIndex::build(&empty, DenseKind::Auto, 7).unwrap();
    let rows = clustered(5, 16, 1);
    assert_eq!(index.search(rows.row(0), 3, &params(None)).unwrap(), []);
    index.append(&rows).unwrap();
    assert_eq!(index.search(rows.row(4), 1, &params(None)).unwrap()[0].id, ChunkId(4));
    assert_eq!(index.search(rows.row(0), 0, &params(None)).unwrap(), []);
}

#[test]
fn training_is_the_same_for_the_same_seed() {
    let rows = clustered(3000, 16, 1);
    let answers = |seed| {
        let index = DenseIndex::build(&rows, DenseKind::IvfFlat, seed).unwrap();
        let narrow = DenseParams { nprobe: 1, ..params(None) };
        clustered(20, 16, 2)
            .rows()
            .map(|q| index.search(q, 5, &narrow).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(answers(7), answers(7));
}
