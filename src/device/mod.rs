//! Where do numbers live, and what computes?

mod backend;
pub mod candle;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
#[expect(clippy::module_inception)]
mod device;
mod device_index;
mod mapped;
mod rows;
mod select;

pub use backend::Backend;
pub use candle::Candle;
pub use cpu::{Cpu, CpuBatch, Dtype, InstructionSet, process_cpu_time};
pub use device::Device;
pub use device_index::DeviceIndex;
#[cfg(feature = "cuda")]
pub use device_index::Neighbors;
pub use mapped::map_safetensors;
pub use rows::Rows;
pub use select::Selection;
