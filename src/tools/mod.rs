//! Which operations does every interface offer?
//!
//! [`App`] is the shared state. A tool is one file: its input, a `run` from input to answer, and
//! its [`ToolSpec`]; the table of those that agents call is [`ToolSet`]. The types of the answers are
//! in the tool's file, or in [`wire`] if several use them. HTTP, MCP and the command line parse an
//! input, call the tool and print the answer; they hold no logic of their own.

mod app;
mod blame_range;
mod callers;
mod changed_definitions;
mod changes;
mod cursor;
mod deep_search;
mod definition_at;
mod definition_rank;
pub mod embed;
mod empty;
mod fetch;
mod fields;
mod file_history;
mod find_related;
mod identifier;
mod impact;
mod index_status;
mod latest_run;
mod list_paths;
mod loading;
mod object_id;
mod open_file;
mod outline;
mod references_at;
mod reindex;
mod repo_facts;
mod repo_map;
pub mod resources;
mod runs;
mod scip_lookup;
mod scope;
pub mod search;
mod search_text;
pub mod semantic_search;
mod session_scopes;
mod symbol_search;
mod tool;
mod tool_set;
pub mod wire;

pub use app::App;
pub use changes::changed_note;
pub use fields::{Fields, FromFields};
pub use runs::{KeptRuns, RunFolder, find_run};
pub use tool::{CalledTool, FileLink, JsonObject, Tool, ToolAnswer};
pub use tool_set::ToolSet;

use resources::file_uri;

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::base::config::Settings;
use crate::base::error::{Error, Result};
use crate::base::telemetry::labels;
use crate::base::telemetry::{Caller, RunContext, Stage};
use crate::search::Searcher;

/// The properties of a tool that an interface needs in addition to its input and its answer.
pub struct ToolSpec {
    /// The name by which it is called.
    pub name: &'static str,
    /// The name that people read.
    pub title: &'static str,
    /// When to use it, for a model.
    pub description: &'static str,
    /// Its label in telemetry and in run reports.
    pub label: labels::Tool,
    /// The stages that a complete run has.
    pub planned: &'static [Stage],
    /// The time limit of a run in the settings, if there is one.
    pub deadline_ms: fn(&Settings) -> Option<u64>,
    /// Whether it changes nothing on disk.
    pub is_read_only: bool,
    /// Whether it needs an open index.
    pub needs_index: bool,
    /// Whether it embeds a text.
    pub needs_engine: bool,
}

impl ToolSpec {
    /// A tool that reads the open index.
    const READS_INDEX: Self = Self {
        name: "",
        title: "",
        description: "",
        label: labels::Tool::Search,
        planned: &[],
        deadline_ms: |settings| Some(settings.search.deadline_ms),
        is_read_only: true,
        needs_index: true,
        needs_engine: false,
    };

    /// A tool that runs the read pipeline.
    const SEARCHES: Self =
        Self { planned: &Searcher::PLANNED, needs_engine: true, ..Self::READS_INDEX };

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

/// Bytes of source code that count as one token of a model, whose tokenizer is not known.
const BYTES_PER_TOKEN: usize = 4;

/// Tokens that `text` costs a model.
fn estimated_tokens(text: &str) -> usize {
    text.len().div_ceil(BYTES_PER_TOKEN)
}

/// `3 files`, `1 file`.
fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Returns `value` if it is within the bounds of the argument `name`.
fn within(name: &'static str, value: usize, bounds: RangeInclusive<usize>) -> Result<usize> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    let expected = format!("{} to {}", bounds.start(), bounds.end());
    Err(Error::Argument { name, value: value.to_string(), expected })
}
