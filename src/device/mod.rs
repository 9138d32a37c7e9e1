//! Where do numbers live, and who computes on them?

#[macro_use]
mod isa;
mod backend;
mod clock;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod dtype;
mod flat;
mod mapped;
mod open;
pub mod ops;
mod rows;

pub use backend::{Backend, HostBatch};
pub use clock::process_cpu_time;
pub use cpu::Device;
pub use dtype::Dtype;
pub use flat::FlatIndex;
pub use isa::InstructionSet;
pub use mapped::map_safetensors;
pub use rows::Rows;
