//! Search: the nearest rows within a scope, in exact order.

use crate::base::error::{Error, Result};
use crate::base::hit::{ChunkId, ChunkSet, Hit, TopK};
use crate::base::vector::Matrix;

use super::ffi::{Allowed, Effort, Faiss};
use super::kind::DenseKind;
use super::{DenseIndex, rows};

/// Scopes of up to this many rows, or up to 1 % of an index, are scanned. That is exact, and faster than
/// an approximate search that discards nearly everything it finds.
const SCAN_ROWS: usize = 4096;
/// Candidates beyond `k`, so that rounding does not change which rows are the best `k`.
pub(super) const MARGIN: usize = 16;
/// The least number of candidates of a quantised index: at small `k`, four times `k` is too few.
const REFINE_MIN: usize = 128;
/// The most that two orders of summation of one inner product of unit vectors may differ by.
const ROUNDING: f32 = 1e-5;

/// Parameters of one search.
#[derive(Clone, Copy)]
pub struct DenseParams<'a> {
    /// Inverted lists visited by an ivf index.
    pub nprobe: usize,
    /// Candidates that a search of an hnsw index keeps.
    pub ef_search: usize,
    /// Candidates for each hit of a quantised index; they are scored again in full precision.
    pub k_factor: usize,
    /// The chunks that may be returned; `None` for all. Its universe is all rows of the index.
    pub filter: Option<&'a ChunkSet>,
}

impl Default for DenseParams<'_> {
    fn default() -> Self {
        Self { nprobe: 32, ef_search: 96, k_factor: 4, filter: None }
    }
}

/// The scope of one search, split at the border of the two parts.
struct Scope<'a> {
    filter: Option<&'a ChunkSet>,
    /// Allowed rows of the secondary part, counted from its first row.
    secondary: Option<Vec<u64>>,
    count: usize,
}

/// The candidates of the two parts for one query: `[want]` scores and ids each.
struct Found<'a> {
    parts: [(&'a [f32], &'a [i64]); 2],
}

impl DenseIndex {
    /// The nearest `k` chunks, best first; fewer only if the scope contains fewer.
    ///
    /// query: `[d]`, L2-normalised, f32.
    pub fn search(&self, query: &[f32], k: usize, params: &DenseParams<'_>) -> Result<Vec<Hit>> {
        let mut hits = self.search_rows(query, k, params)?;
        Ok(hits.pop().unwrap_or_default())
    }

    /// The nearest `k` chunks of `filter` by a scan of all rows, whatever the kind of the index.
    ///
    /// query: `[d]`, L2-normalised, f32.
    pub fn exact(&self, query: &[f32], k: usize, filter: Option<&ChunkSet>) -> Result<Vec<Hit>> {
        self.scan(query, k, &self.scope(filter)?)
    }

    /// The inner product of `query` `[d]` with each row of `ids`, in full precision.
    pub fn scores(&self, query: &[f32], ids: &[ChunkId]) -> Result<Vec<f32>> {
        ids.iter().map(|id| Ok(self.score(query, id.row())?.score)).collect()
    }

    /// Searches for each row of `queries` `[nq, d]`. Each result equals that of a single search.
    pub fn search_batch(
        &self,
        queries: &Matrix,
        k: usize,
        params: &DenseParams<'_>,
    ) -> Result<Vec<Vec<Hit>>> {
        if queries.n() == 0 {
            return Ok(Vec::new());
        }
        self.search_rows(queries.as_slice(), k, params)
    }

    /// queries: `[nq, d]`, row-major, f32.
    fn search_rows(
        &self,
        queries: &[f32],
        k: usize,
        params: &DenseParams<'_>,
    ) -> Result<Vec<Vec<Hit>>> {
        let d = self.d();
        if queries.is_empty() || !queries.len().is_multiple_of(d) {
            return Err(Error::Dimension { what: "query", expected: d, found: queries.len() });
        }
        if let Some(at) = queries.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite { what: "query", row: at / d });
        }
        let scope = self.scope(params.filter)?;
        let k = k.min(scope.count);
        if k == 0 {
            return Ok(vec![Vec::new(); queries.len() / d]);
        }
        if self.scan_is_better(&scope) {
            return queries.chunks_exact(d).map(|query| self.scan(query, k, &scope)).collect();
        }
        let want = self.candidates_for(k, params.k_factor);
        self.search_parts(queries, k, want, params, &scope)
    }

    /// Asks both parts for `want` candidates. Where these do not determine the best `k`, because scores
    /// at the cut are equal, more are requested, and finally all rows are scanned.
    ///
    /// queries: `[nq, d]`, row-major, f32.
    fn search_parts(
        &self,
        queries: &[f32],
        k: usize,
        want: usize,
        params: &DenseParams<'_>,
        scope: &Scope<'_>,
    ) -> Result<Vec<Vec<Hit>>> {
        let allowed = scope.filter.map(|set| Allowed(set.words()));
        let primary = ask(&self.primary, queries, want, self.effort(params, want), allowed)?;
        let secondary = match &self.secondary {
            Some(index) => {
                let allowed = scope.secondary.as_deref().map(Allowed);
                ask(index, queries, want, Effort::Flat, allowed)?
            }
            None => Candidates::default(),
        };
        let wider = 8 * k + 256;
        let finish = |(i, query): (usize, &[f32])| {
            let found = Found { parts: [primary.row(i), secondary.row(i)] };
            match self.best_of(query, k, &found)? {
                Some(hits) => Ok(hits),
                None if want < wider => {
                    let mut hits = self.search_parts(query, k, wider, params, scope)?;
                    Ok(hits.pop().unwrap_or_default())
                }
                None => self.scan(query, k, scope),
            }
        };
        queries.chunks_exact(self.d()).enumerate().map(finish).collect()
    }

    /// Scores the candidates exactly; `None` if they do not determine the best `k`.
    ///
    /// query: `[d]`.
    fn best_of(&self, query: &[f32], k: usize, found: &Found<'_>) -> Result<Option<Vec<Hit>>> {
        let mut top = TopK::new(k);
        for (part, (_, ids)) in found.parts.iter().enumerate() {
            let first = if part == 0 { 0 } else { self.primary.n() };
            for id in ids.iter().filter(|id| **id >= 0) {
                top.push(self.score(query, first + *id as usize)?);
            }
        }
        let hits = top.into_sorted();
        let Some(last) = hits.get(k - 1) else { return Ok(None) };
        let cut_is_clear = |(part, (scores, ids)): (usize, &(&[f32], &[i64]))| {
            let quantised = part == 0 && self.kind == DenseKind::IvfPq;
            let cut = ids.last().is_some_and(|id| *id >= 0);
            let all = scores.len() == if part == 0 { self.primary.n() } else { self.n_secondary() };
            quantised || !cut || all || scores.last().is_none_or(|s| s + ROUNDING < last.score)
        };
        Ok(found.parts.iter().enumerate().all(cut_is_clear).then_some(hits))
    }

    /// Scores every allowed row.
    ///
    /// query: `[d]`.
    fn scan(&self, query: &[f32], k: usize, scope: &Scope<'_>) -> Result<Vec<Hit>> {
        let mut top = TopK::new(k);
        match scope.filter {
            Some(set) => {
                set.iter().try_for_each(|id| self.score(query, id.row()).map(|h| top.push(h)))?;
            }
            None => {
                (0..self.n()).try_for_each(|row| self.score(query, row).map(|h| top.push(h)))?;
            }
        }
        Ok(top.into_sorted())
    }

    /// query: `[d]`.
    fn score(&self, query: &[f32], row: usize) -> Result<Hit> {
        let bytes = self.row(row).ok_or_else(|| Error::Internal {
            what: "vector index",
            detail: format!("row {row} of {} was found", self.n()),
        })?;
        let score = rows::dot(query, bytes);
        if !score.is_finite() {
            return Err(Error::NotFinite { what: "indexed vectors", row });
        }
        Ok(Hit { id: ChunkId(row as u32), score })
    }

    fn scope<'a>(&self, filter: Option<&'a ChunkSet>) -> Result<Scope<'a>> {
        let Some(set) = filter else {
            return Ok(Scope { filter: None, secondary: None, count: self.n() });
        };
        if set.universe() != self.n() {
            let found = set.universe();
            return Err(Error::Dimension { what: "scope bitmap", expected: self.n(), found });
        }
        let secondary = self.secondary.as_ref().map(|_| shifted(set.words(), self.primary.n()));
        Ok(Scope { filter, secondary, count: set.count() })
    }

    fn scan_is_better(&self, scope: &Scope<'_>) -> bool {
        let small = SCAN_ROWS.max(self.n() / 100);
        scope.filter.is_some() && self.kind != DenseKind::Flat && scope.count <= small
    }

    fn candidates_for(&self, k: usize, k_factor: usize) -> usize {
        match self.kind {
            DenseKind::IvfPq => (k_factor * k).max(REFINE_MIN),
            _ => k + MARGIN,
        }
    }

    fn effort(&self, params: &DenseParams<'_>, want: usize) -> Effort {
        match self.kind {
            DenseKind::IvfFlat | DenseKind::IvfPq => Effort::Ivf { nprobe: params.nprobe.max(1) },
            DenseKind::Hnsw => Effort::Hnsw { ef_search: params.ef_search.max(want) },
            DenseKind::Flat | DenseKind::Auto => Effort::Flat,
        }
    }
}

/// The candidates of one part for all queries: `[nq, want]` scores and ids.
#[derive(Default)]
struct Candidates {
    scores: Vec<f32>,
    ids: Vec<i64>,
    want: usize,
}

impl Candidates {
    fn row(&self, i: usize) -> (&[f32], &[i64]) {
        let range = i * self.want..(i + 1) * self.want;
        (&self.scores[range.clone()], &self.ids[range])
    }
}

/// queries: `[nq, d]`, row-major, f32.
fn ask(
    index: &Faiss,
    queries: &[f32],
    want: usize,
    effort: Effort,
    allowed: Option<Allowed<'_>>,
) -> Result<Candidates> {
    let want = want.min(index.n());
    if want == 0 {
        return Ok(Candidates::default());
    }
    let (scores, ids) = index.search(queries, want, effort, allowed)?;
    Ok(Candidates { scores, ids, want })
}

/// The bitmap from bit `first` on.
///
/// words: `[any]`; returns `[words - first / 64]`.
fn shifted(words: &[u64], first: usize) -> Vec<u64> {
    let (skip, bit) = (first / 64, first % 64);
    let tail = words.get(skip..).unwrap_or_default();
    let next = tail.iter().skip(1).copied().chain([0]);
    tail.iter()
        .zip(next)
        .map(|(low, high)| if bit == 0 { *low } else { low >> bit | high << (64 - bit) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_bitmap_counts_from_its_new_first_bit() {
        let mut set = ChunkSet::none(300);
        let members = [0, 63, 64, 70, 127, 128, 191, 250, 299];
        members.iter().for_each(|id| set.insert(ChunkId(*id)));
        for first in [0usize, 1, 63, 64, 65, 128, 200, 299] {
            let words = shifted(set.words(), first);
            let moved = ChunkSet::from_words(words.clone(), words.len() * 64).unwrap();
            let found: Vec<u32> = moved.iter().map(|id| id.0 + first as u32).collect();
            let expected: Vec<u32> =
                members.iter().copied().filter(|id| *id as usize >= first).collect();
            assert_eq!(found, expected, "from {first}");
        }
    }
}
