//! The kind of FAISS index for a number of rows, and its factory string.

pub use crate::base::config::DenseKind;
use crate::base::telemetry::labels::IndexKind;

/// Below this many rows an exact scan answers in about a millisecond.
const FLAT_ROWS_MAX: usize = 20_000;
/// From this many rows on, full-precision lists no longer fit in memory beside everything else.
const IVF_FLAT_ROWS_MAX: usize = 2_000_000;
/// Points that k-means needs for each centroid; FAISS warns below it.
const POINTS_PER_LIST_MIN: usize = 39;
/// Points for each list in the training sample. More take time and change recall by less than noise.
pub(super) const POINTS_PER_LIST_MAX: usize = 64;
/// Product quantisation trains 256 centroids for each sub-vector.
const PQ_CENTROIDS: usize = 256;
/// Links of a node of the hnsw graph.
const HNSW_LINKS: usize = 32;

/// The kind to use for `n` rows: `Auto` is decided by size, and an index that is too small to train is
/// flat. Never returns `Auto`.
pub fn resolve(kind: DenseKind, n: usize) -> DenseKind {
    match kind {
        DenseKind::Auto if n < FLAT_ROWS_MAX => DenseKind::Flat,
        DenseKind::Auto if n < IVF_FLAT_ROWS_MAX => DenseKind::IvfFlat,
        DenseKind::Auto => DenseKind::IvfPq,
        DenseKind::IvfFlat if n < POINTS_PER_LIST_MIN => DenseKind::Flat,
        DenseKind::IvfPq if n < POINTS_PER_LIST_MIN * PQ_CENTROIDS => DenseKind::Flat,
        DenseKind::Hnsw if n == 0 => DenseKind::Flat,
        known => known,
    }
}

/// The factory string of `kind` over `[n, d]` rows.
pub fn factory(kind: DenseKind, n: usize, d: usize) -> String {
    match resolve(kind, n) {
        DenseKind::IvfFlat => format!("IVF{},Flat", nlist(n)),
        // `np`: no polysemous training, which takes most of the time and is not used in a search.
        DenseKind::IvfPq => format!("IVF{},PQ{}np", nlist(n), pq_parts(d)),
        DenseKind::Hnsw => format!("HNSW{HNSW_LINKS},Flat"),
        DenseKind::Flat | DenseKind::Auto => "Flat".to_owned(),
    }
}

/// Inverted lists for `n` rows: about `4 * sqrt(n)`, each with enough points to train on.
pub(super) fn nlist(n: usize) -> usize {
    let wanted = (4.0 * (n as f64).sqrt()).round() as usize;
    wanted.clamp(1, (n / POINTS_PER_LIST_MIN).max(1))
}

/// Sub-vectors of a vector of `d` values, one byte each: of four values where `d` allows it.
fn pq_parts(d: usize) -> usize {
    let values =
        [4, 3, 2, 5, 6, 7, 8].into_iter().find(|values| d.is_multiple_of(*values)).unwrap_or(1);
    d / values
}

/// The name on spans and in metrics.
pub(super) fn label(kind: DenseKind, has_secondary: bool) -> IndexKind {
    match (kind, has_secondary) {
        (DenseKind::Flat | DenseKind::Auto, false) => IndexKind::Flat,
        (DenseKind::Flat | DenseKind::Auto, true) => IndexKind::FlatSec,
        (DenseKind::IvfFlat, false) => IndexKind::IvfFlat,
        (DenseKind::IvfFlat, true) => IndexKind::IvfFlatSec,
        (DenseKind::IvfPq, false) => IndexKind::IvfPq,
        (DenseKind::IvfPq, true) => IndexKind::IvfPqSec,
        (DenseKind::Hnsw, false) => IndexKind::Hnsw,
        (DenseKind::Hnsw, true) => IndexKind::HnswSec,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_decides_and_the_factory_string_says_so() {
        for (kind, n, expected) in [
            (DenseKind::Auto, 0, "Flat"),
            (DenseKind::Auto, 19_999, "Flat"),
            (DenseKind::Auto, 20_000, "IVF512,Flat"),
            (DenseKind::Auto, 100_000, "IVF1265,Flat"),
            (DenseKind::Auto, 2_000_000, "IVF5657,PQ96np"),
            (DenseKind::IvfFlat, 10, "Flat"),
            (DenseKind::IvfPq, 9_983, "Flat"),
            (DenseKind::IvfPq, 9_984, "IVF256,PQ96np"),
            (DenseKind::Hnsw, 500, "HNSW32,Flat"),
        ] {
            assert_eq!(factory(kind, n, 384), expected, "{kind} over {n} rows");
        }
    }

    #[test]
    fn every_list_has_points_to_train_on() {
        for n in [39, 1_000, 20_000, 100_000, 5_000_000] {
            assert!(nlist(n) * POINTS_PER_LIST_MIN <= n, "{n}");
        }
    }

    #[test]
    fn the_parts_of_a_quantised_vector_divide_it() {
        for d in [1, 7, 11, 30, 64, 100, 384, 385, 768] {
            assert_eq!(d % pq_parts(d), 0, "{d}");
        }
    }
}
