//! The tool index_status: what the index holds, and how fresh it is.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wire::StatusAnswer;
use super::{App, ToolAnswer, ToolSpec};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;

pub const SPEC: ToolSpec = ToolSpec {
    name: "index_status",
    title: "Status of the index",
    description: "Show what is indexed: roots, version and its time, model, files, chunks and languages. \
                  Call it when results look stale or incomplete.",
    label: Tool::IndexStatus,
    ..ToolSpec::READS_INDEX
};

/// index_status has no arguments.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoInput {}

impl ToolAnswer for StatusAnswer {
    fn text(&self) -> String {
        let StatusAnswer { version, indexed_at, model, files, chunks, symbols, .. } = self;
        let roots = self.roots.join(", ");
        let languages: Vec<String> =
            self.languages.iter().map(|l| format!("{} {}", l.name, l.files)).collect();
        let sparse = match &self.sparse_model {
            None => String::new(),
            Some(model) => format!(", sparse {model}"),
        };
        let changes = match self.dirty_files {
            None => "unknown".to_owned(),
            Some(files) => files.to_string(),
        };
        format!(
            "version {version} of {indexed_at}\nroots: {roots}\nmodel: {model}{sparse}\n{files} files, \
             {chunks} chunks, {symbols} definitions\nfiles changed since then: {changes}\nfiles by language: {}\n",
            languages.join(", ")
        )
    }
}

pub(super) fn run(app: &App, _: NoInput, _: &RunContext) -> Result<StatusAnswer, Arc<Error>> {
    let searcher = app.searcher()?;
    let changed = app.changed_files(&searcher);
    let (version, catalog) = (searcher.version(), searcher.catalog());
    let status = StatusAnswer::new(app.data().path(), version, catalog)?;
    Ok(StatusAnswer { dirty_files: changed.wait(), ..status })
}
