//! Which vectors of an index are in the memory of a GPU, and how are they searched there?

#[cfg(not(feature = "cuda"))]
mod absent;
#[cfg(feature = "cuda")]
mod faiss;
#[cfg(feature = "cuda")]
mod flat;
#[cfg(feature = "cuda")]
mod nearest;
mod resident;

#[cfg(not(feature = "cuda"))]
use absent::FlatIndex;
#[cfg(feature = "cuda")]
use flat::FlatIndex;

pub use resident::Resident;
