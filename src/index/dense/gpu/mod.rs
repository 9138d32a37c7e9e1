//! Which vectors of an index lie in the memory of a GPU?

mod resident;

pub use resident::Resident;
