//! What happened in a run, and why did it stop?
//!
//! A [`Stage`] writes one record; the span, the measurement and the run report are views of it.
//! OpenTelemetry types stay inside this folder. Every pipeline takes a [`RunContext`] and runs its
//! steps in [`RunContext::stage`].

pub mod attrs;
mod batch_facts;
mod batch_span;
mod caller;
pub mod catalogue;
mod config;
mod console;
mod context;
mod deadline;
mod export;
mod finished_span;
mod http_span;
mod instruments;
pub mod labels;
pub mod log;
mod mcp_span;
mod process;
mod recorder;
mod report;
mod resource;
mod run_log;
mod stage;
mod stage_span;
#[allow(clippy::module_inception)] // The file is named after its main type.
mod telemetry;

pub use batch_facts::{BatchFacts, MemoryInfo};
pub use batch_span::BatchSpan;
pub use caller::Caller;
pub use config::TelemetryConfig;
pub use context::{RunContext, RunProgress};
pub use deadline::{TIMEOUT_HEADER, TIMEOUT_MS_MAX};
pub use finished_span::FinishedSpan;
pub use http_span::HttpSpan;
pub use instruments::Instruments;
pub use mcp_span::{McpCall, McpSpan};
pub use report::{Hint, RunError, RunReport, Savings, StepRecord, StepStatus};
pub use stage::Stage;
pub use stage_span::StageSpan;
pub use telemetry::Telemetry;
