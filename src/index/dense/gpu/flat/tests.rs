//! An index on a GPU against comparing every row on the CPU, on random shapes.
//!
//! `make cuda-test` runs these tests on an emulated driver.

use super::*;
use crate::device::cpu::ops::Numbers;
use crate::device::cuda::{Arena, Staging};

/// Enough for the rows and queries of one case.
const ARENA_BYTES: usize = 64 << 20;

/// A GPU, and the memory through which data reaches it.
struct Place {
    cuda: Arc<Cuda>,
    staging: Staging,
    arena: Arena,
}

impl Place {
    fn open() -> Self {
        let cuda = Arc::new(Cuda::open(0, 0.9).unwrap());
        let staging = Staging::new(&cuda, 1 << 20).unwrap();
        let arena = Arena::new(&cuda, ARENA_BYTES).unwrap();
        Self { cuda, staging, arena }
    }

    fn rows(&mut self, values: &[f32], d: usize) -> DeviceRows<f32> {
        DeviceRows::new(self.staging.place(&self.cuda, &mut self.arena, values).unwrap(), d)
    }

    /// Asserts that `found` has the best `k` of `rows` for each of `queries`, best first.
    fn check(&mut self, found: &Neighbors, rows: &[f32], queries: &[f32], d: usize, k: usize) {
        let (nq, n) = (queries.len() / d, rows.len() / d);
        assert_eq!((found.scores.n(), found.scores.d()), (nq, k));
        assert_eq!((found.ids.n(), found.ids.d()), (nq, k));
        let (Some(scores), Some(ids)) = (found.scores.buffer(), found.ids.buffer()) else {
            return assert_eq!(nq, 0, "only no queries have no buffer");
        };
        let scores = self.staging.download(&self.cuda, &scores).unwrap();
        let ids = self.staging.download(&self.cuda, &ids).unwrap();
        for (q, query) in queries.chunks_exact(d).enumerate() {
            let score = |row: &[f32]| row.iter().zip(query).map(|(x, y)| x * y).sum::<f32>();
            let all: Vec<f32> = rows.chunks_exact(d).map(score).collect();
            let mut best = all.clone();
            best.sort_by(|a, b| b.total_cmp(a));
            let (scores, ids) = (&scores[q * k..][..k], &ids[q * k..][..k]);
            // Another order of summation may swap neighbours, so each id is checked by its score.
            let near = |a: f32, b: f32| (a - b).abs() < 1e-5 * d as f32;
            for i in 0..k.min(n) {
                assert!(near(scores[i], best[i]), "{i}: {} is not {}", scores[i], best[i]);
                assert!(near(scores[i], all[ids[i] as usize]), "row {} has another score", ids[i]);
            }
            let mut distinct: Vec<i64> = ids[..k.min(n)].to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), k.min(n), "a row twice in {ids:?}");
            assert!(ids[k.min(n)..].iter().all(|id| *id == -1), "{n} rows, {ids:?}");
        }
    }
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn flat_search_finds_what_comparing_every_row_finds() {
    let mut place = Place::open();
    let mut found = Neighbors::default();
    for seed in 0..8 {
        let numbers = &mut Numbers::new(seed);
        let whole = |numbers: &mut Numbers, most: usize| {
            ((numbers.one() + 1.0) * 0.4999 * most as f32) as usize
        };
        let d = 1 + whole(numbers, 400);
        let pieces: Vec<Vec<f32>> = (0..4)
            .map(|_| {
                let n = whole(numbers, 300);
                numbers.some(n * d, 1.0)
            })
            .collect();
        let rows = pieces.concat();
        let mut index = FlatIndex::new(&place.cuda, d, rows.len() / d).unwrap();
        pieces.iter().for_each(|piece| index.add(piece).unwrap());
        assert_eq!((index.n(), index.d()), (rows.len() / d, d));
        let nq = 1 + whole(numbers, 40);
        let queries = numbers.some(nq * d, 1.0);
        let device_queries = place.rows(&queries, d);
        // More than there are rows, too.
        for k in [1, 1 + whole(numbers, 100), FlatIndex::K_MAX] {
            let first = whole(numbers, nq);
            let part = first..first + whole(numbers, nq + 1 - first);
            index.search(&device_queries, part.clone(), k, &mut found).unwrap();
            place.check(&found, &rows, &queries[part.start * d..part.end * d], d, k);
        }
        drop((index, device_queries));
        place.arena.reset();
    }
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn more_queries_than_the_memory_is_enough_for_go_in_parts() {
    let mut place = Place::open();
    let (n, nq, d, k) = (50_000, 1_500, 4, 3);
    let numbers = &mut Numbers::new(1);
    let (rows, queries) = (numbers.some(n * d, 1.0), numbers.some(nq * d, 1.0));
    let mut index = FlatIndex::new(&place.cuda, d, n).unwrap();
    index.add(&rows).unwrap();
    let (device_queries, mut found) = (place.rows(&queries, d), Neighbors::default());
    index.search(&device_queries, 0..nq, k, &mut found).unwrap();
    place.check(&found, &rows, &queries, d, k);
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn an_index_without_rows_finds_none() {
    let mut place = Place::open();
    let (index, mut found) = (FlatIndex::new(&place.cuda, 8, 0).unwrap(), Neighbors::default());
    let queries = place.rows(&[1.0; 24], 8);
    index.search(&queries, 1..3, 5, &mut found).unwrap();
    place.check(&found, &[], &[1.0; 16], 8, 5);
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn what_does_not_fit_is_refused_and_named() {
    let mut place = Place::open();
    let (mut index, mut found) = (FlatIndex::new(&place.cuda, 8, 3).unwrap(), Neighbors::default());
    index.add(&[1.0; 16]).unwrap();
    let (right, wrong) = (place.rows(&[1.0; 16], 8), place.rows(&[1.0; 16], 4));
    for (error, words) in [
        (index.search(&right, 0..2, FlatIndex::K_MAX + 1, &mut found), "k = 2049"),
        (index.search(&right, 0..2, 0, &mut found), "k = 0"),
        (index.search(&wrong, 0..2, 1, &mut found), "expected 8 values, found 4"),
        (index.add(&[1.0; 9]), "expected 16 values, found 9"),
        (index.add(&[1.0; 16]), "at most 1 more"),
    ] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    // The refused calls have not changed the index.
    index.search(&right, 0..2, 3, &mut found).unwrap();
    place.check(&found, &[1.0; 16], &[1.0; 16], 8, 3);
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn memory_is_taken_from_the_budget_and_given_back() {
    let place = Place::open();
    let cuda = &place.cuda;
    let held = cuda.budget.held();
    let index = FlatIndex::new(cuda, 8, 1000).unwrap();
    let memory = cuda.memory().unwrap();
    let temp_bytes = TEMP_BYTES_MAX.min(memory.total_bytes as usize / TEMP_SHARE);
    // Memory is allocated in steps of 1024 rows.
    assert_eq!(cuda.budget.held() - held, 1024 * 8 * 4 + temp_bytes + WORKSPACE_BYTES);
    drop(index);
    assert_eq!(cuda.budget.held(), held);
    // More than the budget, more than the device, and more than fits a number.
    let total = memory.total_bytes as usize;
    let left = cuda.budget.bytes_max() - held - temp_bytes - WORKSPACE_BYTES;
    for rows_max in [left / 32 + 1, total / 32, usize::MAX] {
        let error = FlatIndex::new(cuda, 8, rows_max).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("engine.gpu_memory_utilization"), "{error}");
        assert_eq!(cuda.budget.held(), held);
    }
}
