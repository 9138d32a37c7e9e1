//! The tool reindex: brings the index up to date with the files.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, ToolAnswer, ToolSpec};
use crate::base::error::{Error, Result};
use crate::base::telemetry::labels::Tool;
use crate::base::telemetry::{RunContext, RunProgress};
use crate::ingest::{Ingest, IngestOutcome, Phase};

pub const SPEC: ToolSpec = ToolSpec {
    name: "reindex",
    title: "Update the index",
    description: "Bring the index up to date with the files on disk. Only changed files are read and \
                  embedded, so it usually takes a second. Call it when index_status or a search says that \
                  files have changed.",
    label: Tool::Reindex,
    planned: &Ingest::PLANNED,
    deadline_ms: |_| None,
    is_read_only: false,
    ..ToolSpec::READS_INDEX
};

/// The arguments of reindex.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReindexInput {
    /// Read every file again, even if it has not changed.
    pub full: bool,
}

/// The answer of reindex.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReindexAnswer {
    /// `built`, `updated` or `unchanged`.
    pub outcome: &'static str,
    /// The version that is searched from now on.
    pub version: String,
    pub files: usize,
    pub files_changed: usize,
    pub files_removed: usize,
    pub chunks: usize,
    pub chunks_embedded: usize,
    pub elapsed_ms: f64,
    pub warnings: Vec<String>,
}

impl ToolAnswer for ReindexAnswer {
    fn text(&self) -> String {
        let ReindexAnswer {
            outcome, version, files_changed, files_removed, chunks_embedded, ..
        } = self;
        let mut text = format!(
            "{outcome}: {files_changed} files read, {files_removed} removed, {chunks_embedded} chunks \
             embedded; version {version}\n"
        );
        self.warnings.iter().for_each(|warning| text += &format!("warning: {warning}\n"));
        text
    }
}

pub(super) fn run(
    app: &App,
    input: ReindexInput,
    cx: &RunContext,
) -> Result<ReindexAnswer, Arc<Error>> {
    let roots: Vec<PathBuf> =
        app.data().current()?.manifest.roots.iter().map(PathBuf::from).collect();
    let ingest = app.ingest();
    let counters = app.progress();
    cx.set_progress(move || {
        let (done, total) = counters.files();
        let phase = counters.phase();
        // Comparing comes before the number of files is known, and other phases after the last file.
        let total = if phase == Phase::Waiting { 0 } else { total };
        let message = match phase {
            Phase::Waiting => "waiting".to_owned(),
            phase => format!("{}: {done} of {total} files", phase.as_str()),
        };
        RunProgress { done, total, message }
    });
    let report = ingest.run(&roots, input.full, cx)?;
    app.refresh();
    Ok(ReindexAnswer {
        outcome: match report.outcome {
            IngestOutcome::Built => "built",
            IngestOutcome::Updated => "updated",
            IngestOutcome::Unchanged => "unchanged",
        },
        version: report.version,
        files: report.files,
        files_changed: report.files_changed,
        files_removed: report.files_removed,
        chunks: report.chunks,
        chunks_embedded: report.chunks_embedded,
        elapsed_ms: report.elapsed.as_secs_f64() * 1e3,
        warnings: cx.report().warnings.iter().map(|warning| warning.message.clone()).collect(),
    })
}
