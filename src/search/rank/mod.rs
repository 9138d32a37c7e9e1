//! Which factors change the score of a chunk after the fusion?
//!
//! [`rank`] is one pure function of the candidates: fused chunks with what the index knows about them and
//! what the query speaks of. Each factor is in the explanation, and the score is the fused score
//! times their product. To add one: its file here, and its line in [`rank`]. Ranking is applied at
//! query time, so that a change to it does not need a new index.

mod definition;
mod file_name;
mod file_support;
pub(super) mod kind;
pub(super) mod learnt;
pub(super) mod path;
mod recency;
mod repetition;
mod subject;

use std::collections::HashMap;

use serde::Serialize;

use super::fuse::Fused;
use crate::base::hit::ChunkId;
use crate::index::SymbolIndex;
use crate::index::catalog::FileSpan;

use definition::Definition;
use file_name::FileName;
pub(super) use recency::Recency;
pub(super) use subject::Subject;

pub use path::is_test;

/// A factor of the score of a chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factor {
    pub name: &'static str,
    pub value: f64,
}

/// How far the factors count for a class of query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// The power of the factors of names, files and kinds; at 0 only the fusion orders the chunks.
    pub strength: f64,
    /// The further power of the factor of definitions.
    pub definition: f64,
    /// The factor of the second chunk of a file, of the third its square, and so on.
    pub repetition: f64,
}

/// What the index knows about chunks and files.
pub(super) struct Facts<'a> {
    /// In the order of their chunks.
    pub files: &'a [FileSpan],
    pub rules: &'a path::FileRules,
    pub symbols: &'a SymbolIndex,
}

/// A fused chunk, and what is known about it and the query.
#[derive(Debug, Clone, Serialize)]
pub struct Candidate {
    #[serde(skip)]
    pub fused: Fused,
    /// The number of its file.
    pub file: usize,
    pub definition: Definition,
    pub file_name: FileName,
    /// The weight of its file's kind, above 0 and at most 1.
    pub kind: f64,
    #[serde(skip)]
    commit_time_s: Option<i64>,
}

/// Looks up what the factors need.
pub(super) fn candidates(
    fused: Vec<Fused>,
    subject: &Subject,
    facts: &Facts<'_>,
) -> Vec<Candidate> {
    let mut known: HashMap<usize, (FileName, f64)> = HashMap::new();
    let candidate = |fused: Fused| {
        let place = file_of(fused.id, facts.files)?;
        let FileSpan { path, commit_time_s, .. } = &facts.files[place];
        let (file_name, kind) = *known.entry(place).or_insert_with(|| {
            (
                FileName::of(subject, path),
                facts.rules.weight(place, &facts.files[place], &subject.words),
            )
        });
        let definition = Definition::of(subject, facts.symbols.defined_in(fused.id));
        let commit_time_s = *commit_time_s;
        Some(Candidate { fused, file: place, definition, file_name, kind, commit_time_s })
    };
    fused.into_iter().filter_map(candidate).collect()
}

/// Multiplies the scores of the candidates by their factors; best first, equal scores by id.
///
/// policy: how far factors and repetitions count. recency: `None` if the age of a file does not matter.
pub(super) fn rank(
    candidates: Vec<Candidate>,
    policy: Policy,
    recency: Option<Recency>,
) -> Vec<Fused> {
    let files: Vec<usize> = candidates.iter().map(|candidate| candidate.file).collect();
    let with_factors = |candidate: Candidate| {
        let Candidate { mut fused, definition, file_name, kind, commit_time_s, .. } = candidate;
        multiply(
            &mut fused,
            "definition",
            definition.factor().powf(policy.strength * policy.definition),
        );
        multiply(&mut fused, "file_name", file_name.factor().powf(policy.strength));
        multiply(&mut fused, "path", kind.powf(policy.strength));
        if let Some(recency) = &recency {
            multiply(&mut fused, "recency", recency.factor(commit_time_s));
        }
        fused
    };
    let mut ranked: Vec<Fused> = candidates.into_iter().map(with_factors).collect();
    let support = file_support::factors(&ranked, &files);
    for (chunk, support) in ranked.iter_mut().zip(support) {
        multiply(chunk, "file", support.powf(policy.strength));
    }
    let mut order: Vec<(Fused, usize)> = ranked.into_iter().zip(files).collect();
    order.sort_by(|(a, _), (b, _)| best_first(a, b));
    let mut seen = repetition::Seen::new(policy.repetition);
    for (chunk, file) in &mut order {
        multiply(chunk, "repetition", seen.factor(*file));
    }
    let mut ranked: Vec<Fused> = order.into_iter().map(|(chunk, _)| chunk).collect();
    ranked.sort_by(best_first);
    ranked
}

/// Adds a factor to a chunk.
pub(super) fn multiply(chunk: &mut Fused, name: &'static str, value: f64) {
    chunk.why.factors.push(Factor { name, value });
    chunk.score = chunk.why.score();
}

/// The order of an answer: best first, equal scores by id.
pub(super) fn best_first(a: &Fused, b: &Fused) -> std::cmp::Ordering {
    b.score.total_cmp(&a.score).then(a.id.cmp(&b.id))
}

/// The number of the file that holds a chunk.
pub(super) fn file_of(id: ChunkId, files: &[FileSpan]) -> Option<usize> {
    files.partition_point(|span| span.first_chunk <= id).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::fuse::{Explanation, Fusion};

    const POLICY: Policy = Policy { strength: 1.0, definition: 1.0, repetition: 0.5 };

    fn candidate(id: u32, file: usize, score: f64, kind: f64) -> Candidate {
        let contribution = crate::search::fuse::Contribution {
            channel: crate::search::ChannelName::Dense,
            rank: 1,
            raw_score: score as f32,
            weight: 1.0,
            score,
        };
        let why = Explanation {
            contributions: vec![contribution],
            fusion: Fusion::Convex { near_misses: false },
            factors: Vec::new(),
        };
        Candidate {
            fused: Fused { id: ChunkId(id), score, why },
            file,
            definition: Definition { named: id == 3, covered: 0.5 },
            file_name: FileName { stem: 1.0, folders: 0.0, covered: 0.5 },
            kind,
            commit_time_s: None,
        }
    }

    #[test]
    fn a_score_is_the_sum_of_its_contributions_times_the_product_of_its_factors() {
        let candidates =
            vec![candidate(3, 0, 0.9, 1.0), candidate(5, 0, 0.8, 1.0), candidate(9, 1, 0.7, 0.5)];
        let ranked = rank(candidates, POLICY, None);
        for chunk in &ranked {
            let product: f64 = chunk.why.factors.iter().map(|factor| factor.value).product();
            assert_eq!(chunk.why.contributions[0].score * product, chunk.score);
            let names: Vec<&str> = chunk.why.factors.iter().map(|factor| factor.name).collect();
            assert_eq!(names, ["definition", "file_name", "path", "file", "repetition"]);
        }
        let factor = |i: usize, name: &str| {
            ranked[i].why.factors.iter().find(|factor| factor.name == name).unwrap().value
        };
        assert_eq!((ranked[0].id, factor(0, "repetition")), (ChunkId(3), 1.0));
        assert_eq!((ranked[1].id, factor(1, "repetition")), (ChunkId(5), 0.5));
        assert_eq!(factor(2, "path"), 0.5);
        assert!(factor(0, "file") > factor(2, "file"), "two chunks support the first file");
        assert!(factor(0, "definition") > factor(1, "definition"));
    }

    #[test]
    fn without_strength_only_the_fusion_orders_the_chunks() {
        let policy = Policy { strength: 0.0, definition: 1.0, repetition: 1.0 };
        let candidates = vec![candidate(3, 0, 0.7, 0.1), candidate(5, 1, 0.8, 1.0)];
        let scores: Vec<f64> = rank(candidates, policy, None).iter().map(|c| c.score).collect();
        assert_eq!(scores, [0.8, 0.7]);
    }

    #[test]
    fn equal_scores_are_ordered_by_chunk() {
        let candidates = vec![candidate(7, 1, 0.5, 1.0), candidate(4, 0, 0.5, 1.0)];
        let order: Vec<u32> = rank(candidates, POLICY, None).iter().map(|c| c.id.0).collect();
        assert_eq!(order, [4, 7]);
    }
}
