//! What does each device compute, when, and who gets the result?
//!
//! [`Workers`] is the queue of a model with one thread for each device that takes batches from it.
//! Each worker owns the state of its device: speed, memory limit and the batches in flight.
//! `batcher` makes the decisions without threads or a clock, `worker` is the thread around it, and
//! `compute` is its interface to a device.

mod batcher;
pub(super) mod compute;
mod cost;
mod in_flight;
mod limits;
mod stats;
#[allow(clippy::module_inception)] // The file is named after its type.
mod worker;
mod workers;

pub use compute::Search;
pub(super) use limits::WorkerLimits;
pub use limits::batch_max;
pub use stats::EngineStats;
pub(super) use workers::{DeviceCompute, Workers, stopped};

#[cfg(test)]
mod simulation;
