//! Where do numbers live, and who computes on them?

mod backend;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device_index;
mod mapped;
mod open;
mod rows;

pub use backend::{Backend, HostBatch};
pub use cpu::{Device, Dtype, InstructionSet, process_cpu_time};
pub use device_index::DeviceIndex;
#[cfg(feature = "cuda")]
pub use device_index::Neighbors;
pub use mapped::map_safetensors;
pub use rows::Rows;
