//! Which rows have the largest inner product with this vector?
//!
//! A large primary index (flat, ivf_flat, ivf_pq or hnsw) over rows `0..n` never changes once it is
//! built; a small flat secondary index over rows `n..m` grows. They are searched together. FAISS finds
//! candidates, and [`rows`] scores each of them exactly, so that the score of a hit does not depend on
//! the index that found it.

mod ffi;
pub mod gpu;
mod kind;
mod rows;
mod search;
mod store;

use rayon::prelude::*;

use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;
use crate::base::telemetry::labels::IndexKind;
use crate::base::vector::Matrix;

pub use gpu::Resident;
pub use kind::{DenseKind, resolve};
pub use search::DenseParams;

use ffi::Faiss;

/// The vector index of one version.
pub struct DenseIndex {
    primary: Faiss,
    secondary: Option<Faiss>,
    rows: Rows,
    kind: DenseKind,
    factory: String,
}

impl DenseIndex {
    /// Builds an index over `vectors` `[n, d]`, L2-normalised; `seed` draws the training sample.
    ///
    /// An index that is not flat keeps a copy of the rows.
    pub fn build(vectors: &Matrix, kind: DenseKind, seed: u64) -> Result<Self> {
        vectors.check_finite("vectors")?;
        let (n, d) = (vectors.n(), vectors.d());
        let (kind, factory) = (resolve(kind, n), Self::factory_for(kind, n, d));
        let mut primary = Faiss::new(&factory, d)?;
        if matches!(kind, DenseKind::IvfFlat | DenseKind::IvfPq) {
            primary.train(&training_sample(vectors, seed))?;
        }
        primary.add(vectors.as_slice())?;
        let rows = match kind {
            DenseKind::Flat => Rows::InIndex,
            _ => Rows::Kept(vectors.clone()),
        };
        Ok(Self { primary, secondary: None, rows, kind, factory })
    }

    /// The FAISS factory string of a primary index of `kind` over `n` rows of `d` values.
    pub fn factory_for(kind: DenseKind, n: usize, d: usize) -> String {
        kind::factory(kind, n, d)
    }

    /// Appends rows `[any, d]` to the secondary index.
    pub fn append(&mut self, vectors: &Matrix) -> Result<()> {
        if vectors.d() != self.d() {
            let found = vectors.d();
            return Err(Error::Dimension { what: "appended vectors", expected: self.d(), found });
        }
        vectors.check_finite("appended vectors")?;
        if vectors.n() == 0 {
            return Ok(());
        }
        if self.secondary.is_none() {
            self.secondary = Some(Faiss::new("Flat", self.d())?);
        }
        self.secondary.as_mut().map_or(Ok(()), |index| index.add(vectors.as_slice()))
    }

    /// Rows of both parts.
    pub fn n(&self) -> usize {
        self.primary.n() + self.n_secondary()
    }

    /// Rows of the secondary part.
    pub fn n_secondary(&self) -> usize {
        self.secondary.as_ref().map_or(0, Faiss::n)
    }

    /// Values per row.
    pub fn d(&self) -> usize {
        self.primary.d()
    }

    /// The kind of the primary index; never `Auto`.
    pub fn kind(&self) -> DenseKind {
        self.kind
    }

    /// Flat, IVFFlat, IVF-PQ or HNSW, with `+sec` if there is a secondary part.
    pub fn kind_label(&self) -> IndexKind {
        kind::label(self.kind, self.secondary.is_some())
    }

    /// [`DenseIndex::kind_label`] as a word.
    pub fn kind_name(&self) -> &'static str {
        self.kind_label().as_str()
    }

    /// The FAISS factory string of an index of `kind` that is built over `[n, d]` rows.
    pub fn factory_of(kind: DenseKind, n: usize, d: usize) -> String {
        kind::factory(kind, n, d)
    }

    /// The FAISS factory string of the primary index.
    pub fn factory(&self) -> &str {
        &self.factory
    }

    /// Inverted lists of the primary index; `None` if it has none.
    pub fn lists(&self) -> Option<usize> {
        self.factory.strip_prefix("IVF")?.split(',').next()?.parse().ok()
    }

    /// Row `id` in full precision: `[d]`.
    pub fn vector(&self, id: ChunkId) -> Result<Vec<f32>> {
        self.row(id.row()).map(|row| rows::numbers(row).collect()).ok_or_else(|| Error::Argument {
            name: "chunk id",
            value: id.0.to_string(),
            expected: format!("less than {}", self.n()),
        })
    }

    /// Row `row` of both parts: `[d, 4]` bytes.
    fn row(&self, row: usize) -> Option<&[u8]> {
        let bytes = 4 * self.d();
        match row.checked_sub(self.primary.n()) {
            None => self.rows.bytes(&self.primary).get(row * bytes..(row + 1) * bytes),
            Some(row) => self.secondary.as_ref()?.flat_rows()?.get(row * bytes..(row + 1) * bytes),
        }
    }
}

/// The `dimensions` principal components of `vectors`, less their mean (PCA): `[n, dimensions]`.
/// vectors: `[n, d]`, finite, with n and d of at least `dimensions`.
pub fn principal_components(vectors: &Matrix, dimensions: usize) -> Result<Matrix> {
    let components = ffi::principal_components(vectors.as_slice(), vectors.d(), dimensions)?;
    Matrix::new(components, dimensions)
}

use rows::Rows;

/// The rows to train on, `[sample, d]`: all of them, or a seeded sample without repetition. Rows of
/// zeros, of chunks without a vector, are left out unless they are most of all.
fn training_sample(vectors: &Matrix, seed: u64) -> Vec<f32> {
    let points_max = (kind::nlist(vectors.n()) * kind::POINTS_PER_LIST_MAX).max(1 << 16);
    let has_vector = |row: &u32| vectors.row(*row as usize).iter().any(|value| *value != 0.0);
    let mut rows: Vec<u32> = (0..vectors.n() as u32).into_par_iter().filter(has_vector).collect();
    if rows.len() * 2 < vectors.n() {
        rows = (0..vectors.n() as u32).collect();
    }
    if rows.len() == vectors.n() && rows.len() <= points_max {
        return vectors.as_slice().to_vec();
    }
    let mut keyed: Vec<(u64, u32)> =
        rows.into_par_iter().map(|i| (mix(seed, u64::from(i)), i)).collect();
    if keyed.len() > points_max {
        keyed.select_nth_unstable(points_max);
        keyed.truncate(points_max);
    }
    keyed.sort_unstable_by_key(|(_, row)| *row);
    keyed.iter().flat_map(|(_, row)| vectors.row(*row as usize)).copied().collect()
}

/// The `i`th number of SplitMix64 (Steele, Lea and Flood 2014) with `seed`.
fn mix(seed: u64, i: u64) -> u64 {
    let mut z = seed.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
