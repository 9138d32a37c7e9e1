//! The tool report.latest_run: what a past call did, stage by stage.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::wire::RunRecord;
use super::{App, ToolAnswer, ToolSpec, find_run};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;

pub const SPEC: ToolSpec = ToolSpec {
    name: "report.latest_run",
    title: "Report of a run",
    description: "Show how an earlier call went: its stages with their times, what was decided, warnings, \
                  and why it stopped. Without arguments, the last call.",
    label: Tool::LatestRun,
    needs_index: false,
    ..ToolSpec::READS_INDEX
};

/// The arguments of report.latest_run.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatestRunInput {
    /// Only runs of this session.
    pub session_id: Option<String>,
    /// The run_id of an answer.
    pub run_id: Option<String>,
}

impl ToolAnswer for RunRecord {
    fn text(&self) -> String {
        self.markdown()
    }
}

pub(super) fn run(
    app: &App,
    input: LatestRunInput,
    _: &RunContext,
) -> Result<RunRecord, Arc<Error>> {
    let found = match (&input.run_id, &input.session_id) {
        (None, Some(session)) => {
            app.telemetry().run_of_session(session).map(|r| RunRecord::new(&r))
        }
        (run_id, _) => find_run(app, run_id.as_deref().unwrap_or("latest"))?,
    };
    let missing = || {
        let (name, value) = match (&input.run_id, &input.session_id) {
            (Some(run), _) => ("run_id", run.clone()),
            (None, Some(session)) => ("session_id", session.clone()),
            (None, None) => ("run_id", "latest".to_owned()),
        };
        let expected =
            "a run of this process, or a failed run of an earlier one; the last 256 runs \
                        are kept in memory"
                .to_owned();
        Arc::new(Error::Argument { name, value, expected })
    };
    found.ok_or_else(missing)
}
