//! What happened, and why did it stop?
//!
//! A [`Stage`] guard writes one record; the span and the run report are views of it. OpenTelemetry
//! types stay inside this folder. Every journey takes a [`RunContext`] and runs its steps in
//! [`RunContext::stage`].

pub mod attrs;
mod context;
mod report;
mod setup;
mod stage;

pub use context::{RunContext, StageSpan};
pub use report::{RunReport, StepRecord, StepStatus};
pub use setup::Telemetry;
pub use stage::Stage;
