//! Where do numbers live, and who computes on them?

mod backend;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod flat;
mod mapped;
mod open;
mod rows;

pub use backend::{Backend, HostBatch};
pub use cpu::{Device, Dtype, InstructionSet, process_cpu_time};
pub use flat::FlatIndex;
pub use mapped::map_safetensors;
pub use rows::Rows;
