//! Which versions of an index are published, and is each of them whole?

mod data_folder;
pub(in crate::index) mod file;
mod manifest;
mod staging;
mod version;
mod version_folder;
mod write_lock;

#[cfg(test)]
mod tests;

pub use data_folder::DataFolder;
pub use manifest::{FORMAT, ModelParts, ModelRecord, Part, SparseRecord, VersionManifest, now};
pub use staging::Staging;
pub use version::IndexVersion;
pub use version_folder::{STAGING, VersionFolder};
pub use write_lock::WriteLock;
