//! Which operations does every interface offer?
//!
//! [`App`] is the shared state. A tool is one file: its input, a `run` from input to answer, and
//! its [`ToolSpec`]. The types of the answers are in [`wire`]. HTTP and the command line parse an
//! input, call `run` and print the answer; they hold no logic of their own.

mod app;
pub mod embed;
mod runs;
pub mod search;
pub mod wire;

pub use app::App;
pub use runs::{KeptRuns, RunFolder, find_run};

use crate::base::telemetry::labels::Tool;
use crate::base::telemetry::{Caller, RunContext, Stage};

/// The properties of a tool that an interface needs in addition to its input and its answer.
pub struct ToolSpec {
    pub name: &'static str,
    /// Its label in telemetry and in run reports.
    pub label: Tool,
    /// The stages that a complete run has.
    pub planned: &'static [Stage],
}

impl ToolSpec {
    /// Begins a run for `caller`.
    pub fn begin(&self, app: &App, caller: Caller) -> RunContext {
        RunContext::of(app.telemetry(), self.label, self.planned, caller)
    }
}
