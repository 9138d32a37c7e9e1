//! What happened, and why did it stop?
//!
//! A [`Stage`] writes one record; the span, the measurement and the run report are views of it.
//! OpenTelemetry types stay inside this folder. Every journey takes a [`RunContext`] and runs its
//! steps in [`RunContext::stage`].

pub mod attrs;
mod batch;
mod caller;
pub mod catalogue;
mod config;
mod console;
mod context;
mod export;
mod finished;
mod http;
mod instruments;
pub mod labels;
pub mod log;
mod observe;
mod recorder;
mod report;
mod resource;
mod setup;
mod span;
mod stage;

pub use batch::{BatchFacts, BatchSpan, MemoryInfo};
pub use caller::Caller;
pub use config::TelemetryConfig;
pub use context::RunContext;
pub use finished::FinishedSpan;
pub use http::HttpSpan;
pub use instruments::Instruments;
pub use report::{Hint, RunReport, StepRecord, StepStatus};
pub use setup::Telemetry;
pub use span::StageSpan;
pub use stage::Stage;
