//! Which versions of an index are published, and is each of them whole?

pub(in crate::index) mod file;
mod manifest;
mod version;

pub use manifest::{CATALOG, FORMAT, IndexVersion, Manifest, ModelRecord, Part, now};
pub use version::{DataFolder, Staging, WriteLock};
