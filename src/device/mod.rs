//! Where do numbers live, and who computes on them?

mod cpu;
mod isa;

pub use cpu::{Device, MemoryInfo};
pub use isa::InstructionSet;
