//! Here is a chunk id: what is it?

pub mod live;
mod version;

pub use version::{
    DataFolder, FORMAT, IndexVersion, Manifest, ModelRecord, Part, Staging, WriteLock, now,
};
