//! How do the operations run on a GPU?
//!
//! One [`Cuda`] is one device and one stream: launches run in the order of the calls, and the host
//! waits only for results, by the event of their batch. Small batches are replayed as graphs. The
//! operations have the names and the meaning of their CPU twins in [`crate::device::cpu::ops`], in
//! bf16 or f16 with sums in f32; their kernels are the files of `kernels/`. The driver and cuBLASLt
//! are loaded when a device is opened, so that the same binary starts without them.

mod attention;
mod backend;
mod batch;
mod blas;
mod budget;
mod capture;
mod context;
mod element;
mod error;
mod gpu;
mod graph;
mod kernels;
mod launch;
mod matmul;
mod memory;
mod peak;
mod pinned;
mod rows;
mod slot;
mod staging;
mod weights;

pub use attention::attention;
pub use backend::OnCuda;
pub use batch::{BatchLayout, CudaBatch, DeviceTokens, Sequences};
pub(crate) use blas::WORKSPACE_BYTES;
pub use budget::Reservation;
pub(crate) use capture::between_records;
pub use context::Cuda;
pub use element::{Element, Plain, Vector};
pub use gpu::Gpu;
pub use graph::Graphs;
pub(crate) use kernels::Kernel;
pub(crate) use launch::{Launch, arguments};
pub use matmul::{gated_linear, linear};
pub use memory::{Arena, Buffer, DeviceRows};
pub(crate) use rows::as_int;
pub use rows::{add_norm, embed, glu, norm, norm_heads, residual, residual_norm, rotary, tail};
pub use slot::{FinishedSlot, NeighborsReadback, Readback, SlotGuard, Slots};
pub use staging::Staging;
pub use weights::{DeviceBias, DeviceCosSin, DeviceEmbedding, DeviceLinear, DeviceNorm};

#[cfg(test)]
pub(crate) mod tests;
