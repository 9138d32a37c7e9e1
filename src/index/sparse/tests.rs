//! Searches against brute force, files on disk, and the rounding of weights.

use fastrand::Rng;

use super::search::score;
use super::{Impacts, SparseIndex};
use crate::base::error::Error;
use crate::base::hit::{ChunkId, ChunkSet, Hit, TopK};
use crate::base::vector::SparseVec;

/// Rows over few words with few distinct impacts, so that many scores are equal; some are empty.
fn random_rows(rng: &mut Rng, n: usize, words: u32) -> Vec<Impacts> {
    let row = |rng: &mut Rng| {
        let density = rng.f32() * 0.4;
        let words = (0..words).filter(|_| rng.f32() < density).collect::<Vec<_>>();
        Impacts(words.into_iter().map(|word| (word, rng.u8(1..=4) * 60)).collect())
    };
    (0..n).map(|_| row(rng)).collect()
}

fn brute_force(rows: &[Impacts], query: &Impacts, k: usize, scope: Option<&ChunkSet>) -> Vec<Hit> {
    let mut best = TopK::new(k);
    for (id, row) in (0..).map(ChunkId).zip(rows) {
        let product: u64 = query
            .0
            .iter()
            .filter_map(|(word, q)| {
                let (_, impact) = row.0.iter().find(|(other, _)| other == word)?;
                Some(u64::from(*q) * u64::from(*impact))
            })
            .sum();
        if product > 0 && scope.is_none_or(|scope| scope.contains(id)) {
            best.push(Hit { id, score: score(product) });
        }
    }
    best.into_sorted()
}

#[test]
fn a_search_finds_what_brute_force_finds_in_and_across_the_parts() {
    let mut rng = Rng::with_seed(7);
    for n in [0, 1, 255, 256, 257, 2_000] {
        let rows = random_rows(&mut rng, n, 40);
        let split = n - n / 5;
        let mut index = SparseIndex::build(&rows[..split]).unwrap();
        index.append(rows[split..].to_vec()).unwrap();
        assert_eq!(index.n(), n);
        for _ in 0..20 {
            let query = random_rows(&mut rng, 1, 50).remove(0);
            let mut scope = ChunkSet::none(n);
            (0..n as u32).filter(|_| rng.bool()).for_each(|id| scope.insert(ChunkId(id)));
            for k in [0, 1, 10, n + 5] {
                for scope in [None, Some(&scope), Some(&ChunkSet::none(n))] {
                    let expected = brute_force(&rows, &query, k, scope);
                    assert_eq!(index.search(&query, k, scope), expected, "{n} rows, k {k}");
                }
            }
        }
    }
}

#[test]
fn a_saved_index_has_the_same_rows_after_any_number_of_appends() {
    let mut rng = Rng::with_seed(8);
    let rows = random_rows(&mut rng, 900, 300);
    let folder = tempfile::tempdir().unwrap();
    SparseIndex::build(&rows[..600]).unwrap().save(folder.path()).unwrap();
    for end in [600, 601, 900] {
        let mut index = SparseIndex::open(folder.path()).unwrap();
        let first = index.n();
        index.append(rows[first..end].to_vec()).unwrap();
        index.save_delta(folder.path()).unwrap();
    }
    let index = SparseIndex::open(folder.path()).unwrap();
    let ids: Vec<ChunkId> = (0..900).rev().map(ChunkId).collect();
    let expected: Vec<Impacts> = rows.iter().rev().cloned().collect();
    assert_eq!(index.rows(&ids), expected);
    assert_eq!(index.rows(&[ChunkId(900)]), [Impacts::default()]);
    assert_eq!(index.impacts(), rows.iter().map(|row| row.0.len()).sum::<usize>());
    let query = &rows[3];
    assert_eq!(index.search(query, 20, None), brute_force(&rows, query, 20, None));
}

#[test]
fn a_damaged_file_is_refused_whatever_byte_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let rows = random_rows(&mut Rng::with_seed(9), 300, 20);
    SparseIndex::build(&rows).unwrap().save(folder.path()).unwrap();
    let path = folder.path().join("sparse.base");
    let whole = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        matches!(SparseIndex::open(folder.path()), Err(Error::IndexCorrupt { .. }))
    };
    for at in (0..whole.len()).step_by(whole.len() / 97).chain(0..100) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert!(refused(&bytes), "byte {at}");
        assert!(refused(&whole[..at]), "{at} bytes");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(SparseIndex::open(folder.path()), Err(Error::IndexCorrupt { .. })));
}

#[test]
fn weights_become_impacts_and_what_is_not_a_number_is_refused() {
    let vector = |weights: &[f32]| SparseVec {
        ids: (0..weights.len() as u32).collect(),
        weights: weights.to_vec(),
    };
    let impacts = Impacts::new(&vector(&[0.0, 0.009, 0.011, 1.0, 99.0])).unwrap();
    assert_eq!(impacts, Impacts(vec![(2, 1), (3, 50), (4, 255)]));
    for weight in [f32::NAN, f32::INFINITY] {
        assert!(matches!(Impacts::new(&vector(&[weight])), Err(Error::NotFinite { .. })));
    }
    let index = SparseIndex::build(std::slice::from_ref(&impacts)).unwrap();
    let found = index.search(&impacts, 5, None)[0];
    assert!((found.score - (1.0 + 5.1 * 5.1 + 0.02 * 0.02)).abs() < 1e-4, "{}", found.score);
}
