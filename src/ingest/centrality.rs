//! Centrality of files: PageRank over the graph of their references.

use crate::index::catalog::FileEdge;

/// The probability of following a reference rather than going on at any file.
const DAMPING: f64 = 0.85;
const ITERATIONS_MAX: usize = 30;
/// The iteration ends when the values change by less than this in sum.
const CHANGE_MIN: f64 = 1e-6;

/// The weight of references at which a file passes on everything that it has. With less, the rest
/// is spread over all files: otherwise a file that everything uses would make the two or three
/// files that it uses as central as itself.
const WEIGHT_FULL: f64 = 20.0;

/// PageRank (Page, Brin, Motwani and Winograd 1998) of `n` files: `[n]`, which sums to 1.
///
/// edges: from and to are below `n`; several between the same files add up.
pub fn page_rank(n: usize, edges: &[FileEdge]) -> Vec<f64> {
    let mut outgoing = vec![0.0; n];
    for edge in edges {
        outgoing[edge.from as usize] += edge.weight;
    }
    let uniform = 1.0 / n as f64;
    let mut ranks = vec![uniform; n];
    for _ in 0..ITERATIONS_MAX {
        let kept = |weight: f64| 1.0 - (weight / WEIGHT_FULL).min(1.0);
        let dangling: f64 = ranks.iter().zip(&outgoing).map(|(rank, w)| rank * kept(*w)).sum();
        let mut next = vec![(1.0 - DAMPING + DAMPING * dangling) * uniform; n];
        for edge in edges {
            let from = edge.from as usize;
            next[edge.to as usize] +=
                DAMPING * ranks[from] * edge.weight / outgoing[from].max(WEIGHT_FULL);
        }
        let change: f64 = ranks.iter().zip(&next).map(|(old, new)| (old - new).abs()).sum();
        ranks = next;
        if change < CHANGE_MIN {
            break;
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edge(from: u32, to: u32, weight: f64) -> FileEdge {
        FileEdge { from, to, weight }
    }

    #[test]
    fn no_files_have_no_ranks_and_files_without_edges_equal_ones() {
        assert!(page_rank(0, &[]).is_empty());
        assert_eq!(page_rank(4, &[]), [0.25; 4]);
    }

    #[test]
    fn a_small_graph_has_the_ranks_of_its_equations() {
        // 0 and 1 refer to 2, and 2 to 0. Solved by hand: a = .05 + .85 c, b = .05,
        // c = .05 + .85 (a + b).
        let ranks = page_rank(3, &[edge(0, 2, 20.0), edge(1, 2, 50.0), edge(2, 0, 30.0)]);
        let c = (0.05 + 0.85 * (0.05 + 0.05)) / (1.0 - 0.85 * 0.85);
        for (rank, expected) in ranks.iter().zip([0.05 + 0.85 * c, 0.05, c]) {
            assert!((rank - expected).abs() < 0.01, "{ranks:?}");
        }
    }

    #[test]
    fn a_heavier_edge_gives_more() {
        let ranks = page_rank(3, &[edge(0, 1, 30.0), edge(0, 2, 10.0)]);
        assert!(ranks[1] > ranks[2] && ranks[2] > ranks[0], "{ranks:?}");
        assert!(((ranks[1] - ranks[0]) / (ranks[2] - ranks[0]) - 3.0).abs() < 1e-9, "{ranks:?}");
    }

    #[test]
    fn a_file_with_few_references_passes_on_little() {
        let ranks = page_rank(3, &[edge(0, 1, 1.0), edge(2, 1, 0.0)]);
        let full = page_rank(3, &[edge(0, 1, 20.0)]);
        assert!(ranks[1] > ranks[0] && ranks[1] < full[1], "{ranks:?} {full:?}");
    }

    proptest! {
        #[test]
        fn ranks_are_positive_and_sum_to_one(
            n in 1_usize..20,
            edges in proptest::collection::vec((0_u32..20, 0_u32..20, 0.01_f64..5.0), 0..60)
        ) {
            let inside = |&(from, to, _): &(u32, u32, f64)| from.max(to) < n as u32;
            let edges = edges.into_iter().filter(inside);
            let edges: Vec<FileEdge> = edges.map(|(from, to, weight)| edge(from, to, weight)).collect();
            let ranks = page_rank(n, &edges);
            prop_assert!((ranks.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(ranks.iter().all(|rank| *rank > 0.0));
        }
    }
}
