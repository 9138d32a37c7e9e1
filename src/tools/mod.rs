//! Which operations does every interface offer?
//!
//! [`App`] is the shared state. A tool is one file: its input, a `run` from input to answer, and
//! its [`ToolSpec`]. The types of the answers are in [`wire`]. HTTP and the command line parse an
//! input, call `run` and print the answer; they hold no logic of their own.

mod app;
pub mod embed;
mod fields;
mod runs;
pub mod search;
pub mod wire;

pub use app::App;
pub use fields::{Fields, FromFields};
pub use runs::{KeptRuns, RunFolder, find_run};

use std::time::Duration;

use crate::base::config::Settings;
use crate::base::telemetry::labels::Tool;
use crate::base::telemetry::{Caller, RunContext, Stage};

/// The properties of a tool that an interface needs in addition to its input and its answer.
pub struct ToolSpec {
    pub name: &'static str,
    /// Its label in telemetry and in run reports.
    pub label: Tool,
    /// The stages that a complete run has.
    pub planned: &'static [Stage],
    /// The time limit of a run in the settings, if there is one.
    pub deadline_ms: fn(&Settings) -> Option<u64>,
}

impl ToolSpec {
    /// Begins a run for `caller`. timeout_ms: the caller's own limit on its time, which can only
    /// shorten that of the settings.
    pub fn begin(&self, app: &App, caller: Caller, timeout_ms: Option<u64>) -> RunContext {
        let run = RunContext::of(app.telemetry(), self.label, self.planned, caller);
        let limits = [(self.deadline_ms)(app.settings()), timeout_ms];
        match limits.into_iter().flatten().min() {
            Some(ms) => run.with_deadline(Duration::from_millis(ms)),
            None => run,
        }
    }
}
