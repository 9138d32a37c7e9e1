//! A scan on a GPU against comparing every row on the CPU, in the same order.
//!
//! `make cuda-test` runs these tests on an emulated driver.

use super::*;
use crate::base::hit::{ChunkId, Hit};
use crate::device::cpu::ops::Numbers;
use crate::device::cuda::tests::Pair;

const ROWS: [usize; 6] = [0, 1, 2047, 2048, 2049, 20_000];
const DIMENSIONS: [usize; 3] = [4, 32, 384];

/// The result of a scan or of the CPU: hits, followed by `None`.
type Hits = Vec<Option<Hit>>;

/// Values of rows and of queries.
struct Case {
    rows: Vec<f32>,
    queries: Vec<f32>,
    d: usize,
}

impl Case {
    /// Every combination of `ROWS` and `DIMENSIONS`. `value` maps random numbers of -1..1 to values.
    fn each(value: fn(f32) -> f32, mut check: impl FnMut(&Self, usize)) {
        for (seed, n) in ROWS.into_iter().enumerate() {
            for d in DIMENSIONS {
                let numbers = &mut Numbers::new((seed * 1000 + d) as u64);
                let mut some = |n: usize| (0..n * d).map(|_| value(numbers.one())).collect();
                let case = Self { rows: some(n), queries: some(QUERIES_MAX), d };
                check(&case, n);
            }
        }
    }

    /// The best `k` of the first `n` rows for query `q`.
    fn on_cpu(&self, n: usize, q: usize, k: usize) -> Hits {
        let query = &self.queries[q * self.d..][..self.d];
        let score = |row: &[f32]| row.iter().zip(query).map(|(x, y)| x * y).sum();
        let rows = self.rows.chunks_exact(self.d).take(n).zip(0..);
        let mut hits: Vec<Hit> =
            rows.map(|(row, id)| Hit { id: ChunkId(id), score: score(row) }).collect();
        hits.sort_by(Hit::best_first);
        hits.into_iter().map(Some).chain(std::iter::repeat(None)).take(k).collect()
    }
}

/// The rows and queries of a case on the device.
struct Scan<'a> {
    pair: &'a mut Pair,
    rows: DeviceRows<f32>,
    queries: DeviceRows<f32>,
}

impl<'a> Scan<'a> {
    fn new(pair: &'a mut Pair, case: &Case) -> Self {
        pair.arena.reset();
        let mut place = |values: &[f32]| {
            let buffer = pair.staging.place(&pair.cuda, &mut pair.arena, values).unwrap();
            DeviceRows::new(buffer, case.d)
        };
        let (rows, queries) = (place(&case.rows), place(&case.queries));
        Self { pair, rows, queries }
    }

    /// What a scan of the first `n` rows finds for each query of the range.
    fn run(
        &mut self,
        n: usize,
        range: Range<usize>,
        k: usize,
        kept: &mut Kept,
    ) -> Result<Vec<Hits>> {
        let (cuda, d) = (&self.pair.cuda, self.rows.d());
        self.rows.resize(n, d);
        let Kept { keys, neighbors } = kept;
        scan(cuda, &self.rows, &self.queries, range.clone(), k, keys, neighbors)?;
        assert_eq!((neighbors.scores.n(), neighbors.scores.d()), (range.len(), k));
        assert_eq!((neighbors.ids.n(), neighbors.ids.d()), (range.len(), k));
        let (Some(scores), Some(ids)) = (neighbors.scores.buffer(), neighbors.ids.buffer()) else {
            return Ok(Vec::new());
        };
        let scores = self.pair.staging.download(cuda, &scores)?;
        let ids = self.pair.staging.download(cuda, &ids)?;
        let hit = |(&id, &score): (&i64, &f32)| {
            (id != -1).then(|| Hit { id: ChunkId(u32::try_from(id).unwrap()), score })
        };
        let of_query = |(ids, scores): (&[i64], &[f32])| ids.iter().zip(scores).map(hit).collect();
        Ok(ids.chunks_exact(k).zip(scores.chunks_exact(k)).map(of_query).collect())
    }
}

/// Buffers that scans reuse.
#[derive(Default)]
struct Kept {
    keys: [DeviceRows<u64>; 2],
    neighbors: Neighbors,
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn a_scan_finds_exactly_the_best_rows_and_the_lower_among_equals() {
    let mut pair = Pair::open();
    let mut kept = Kept::default();
    // Small whole numbers: every sum is exact, and many are equal.
    Case::each(
        |x| (x * 2.0).round(),
        |case, n| {
            let mut scan = Scan::new(&mut pair, case);
            for (k, range) in [(1, 0..4), (10, 2..3), (216, 1..3), (256, 0..3)] {
                let got = scan.run(n, range.clone(), k, &mut kept).unwrap();
                let want: Vec<Hits> = range.map(|q| case.on_cpu(n, q, k)).collect();
                assert!(got == want, "{n} rows of {}, k = {k}: {got:?}, not {want:?}", case.d);
            }
        },
    );
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn scores_of_a_scan_are_those_of_the_cpu() {
    let mut pair = Pair::open();
    let mut kept = Kept::default();
    Case::each(
        |x| x / 8.0,
        |case, n| {
            let got = Scan::new(&mut pair, case).run(n, 1..3, 216, &mut kept).unwrap();
            for (q, got) in (1..3).zip(got) {
                let all = case.on_cpu(n, q, n);
                let want = case.on_cpu(n, q, 216);
                let score = |id| all.iter().flatten().find(|hit| hit.id == id).unwrap().score;
                // Another order of summation may swap neighbours, so each id is checked by its
                // score.
                for (got, want) in got.iter().zip(&want) {
                    assert_eq!(got.is_some(), want.is_some(), "{n} rows");
                    let (Some(got), Some(want)) = (got, want) else { continue };
                    assert!((got.score - want.score).abs() < 1e-5, "{got:?}, not {want:?}");
                    assert!(
                        (got.score - score(got.id)).abs() < 1e-5,
                        "{got:?} has the score of another row"
                    );
                }
            }
        },
    );
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn a_scan_of_fewer_rows_than_there_are_sees_no_others() {
    let mut pair = Pair::open();
    let case = Case {
        rows: (0..3000u16).flat_map(|i| [f32::from(i); 4]).collect(),
        queries: vec![1.0; 8],
        d: 4,
    };
    let mut scan = Scan::new(&mut pair, &case);
    for n in [0, 7, 2050] {
        let got = scan.run(n, 1..2, 10, &mut Kept::default()).unwrap();
        assert_eq!(got, [case.on_cpu(n, 1, 10)]);
    }
    assert!(scan.run(7, 1..1, 10, &mut Kept::default()).unwrap().is_empty());
}

#[test]
fn what_a_scan_takes_is_said_and_nothing_else_is_scanned() {
    for (queries, k, d) in [(0, 1, 4), (1, 256, 384), (4, 10, 8)] {
        assert!(takes(queries, k, d));
    }
    for (queries, k, d) in [(5, 1, 4), (1, 0, 4), (1, 257, 4), (1, 1, 6)] {
        assert!(!takes(queries, k, d));
    }
}
