//! The tool references_at: where a symbol is used.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::identifier::{Identifier, IdentifierInput, column_of};
use super::{App, FileLink, ToolAnswer, ToolSpec, empty, file_uri};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::base::text::prefix;

pub const SPEC: ToolSpec = ToolSpec {
    name: "references_at",
    title: "Find references",
    description: "Find where a symbol is used: of the symbol at a position in a file, or of a name. Use it \
                  before changing a function, to see its callers. One line is returned for each piece of \
                  code that uses the name.",
    label: Tool::ReferencesAt,
    ..ToolSpec::READS_INDEX
};

/// Bytes of a line in an answer.
const LINE_BYTES_MAX: usize = 200;

/// The answer of references_at.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReferencesAnswer {
    pub name: String,
    /// Sorted by path and line.
    pub references: Vec<ReferenceItem>,
    /// Whether there are more than the limit.
    pub truncated: bool,
    pub notes: Vec<String>,
    pub next_steps: Vec<String>,
}

/// One use of the name.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReferenceItem {
    pub path: String,
    pub line: u32,
    /// In characters, from 1.
    pub column: usize,
    /// The line, without white space around it.
    pub preview: String,
    /// The definitions that contain it, outermost first.
    pub within: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

impl ToolAnswer for ReferencesAnswer {
    fn text(&self) -> String {
        let more = if self.truncated { ", and more" } else { "" };
        let mut text = format!("{} references to {}{more}\n", self.references.len(), self.name);
        for ReferenceItem { path, line, column, preview, .. } in &self.references {
            text += &format!("{path}:{line}:{column}  {preview}\n");
        }
        self.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
        self.next_steps.iter().for_each(|step| text += &format!("next: {step}\n"));
        text
    }

    fn links(&self) -> Vec<FileLink> {
        let link = |item: &ReferenceItem| {
            Some(FileLink { uri: item.uri.clone()?, path: item.path.clone() })
        };
        self.references.iter().filter_map(link).collect()
    }
}

pub(super) fn run(
    app: &App,
    input: IdentifierInput,
    _: &RunContext,
) -> Result<ReferencesAnswer, Arc<Error>> {
    let limit = super::within("limit", input.limit, 1..=1000)?;
    let searcher = app.searcher()?;
    let wanted = Identifier::find(input, &searcher)?;
    let name = wanted.name.rsplit(['.', ':', '#', '/']).next().unwrap_or_default().to_owned();
    let catalog = searcher.catalog();
    let mut found = catalog.references(&name, limit + 1)?;
    let truncated = found.len() > limit;
    found.truncate(limit);
    let ids: Vec<_> = found.iter().map(|reference| reference.chunk).collect();
    let chunks = catalog.rows(&ids)?.rows;
    let items = found.into_iter().zip(chunks).map(|(reference, chunk)| {
        let nth = reference.line.saturating_sub(chunk.start_line) as usize;
        let text = chunk.text.lines().nth(nth).unwrap_or_default();
        let file = searcher.roots().find(&chunk.path);
        ReferenceItem {
            uri: file.and_then(|file| file_uri(&file, Some((reference.line, reference.line)))),
            column: column_of(text, &name).unwrap_or(1),
            preview: prefix(text.trim(), LINE_BYTES_MAX).to_owned(),
            line: reference.line,
            path: chunk.path,
            within: chunk.enclosing,
        }
    });
    let mut references: Vec<ReferenceItem> = items.collect();
    references.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    let mut notes = wanted.notes;
    let mut next_steps = Vec::new();
    if references.is_empty() {
        let all = catalog.file_spans()?.len();
        notes.push(format!("no use of {name:?} in {}", super::counted(all, "indexed file")));
        match catalog.symbols_named(&name)?.first() {
            Some(row) => notes.push(format!("it is defined in {}:{}", row.path, row.start_line)),
            None => notes.extend(empty::similar_names(catalog, &name)?),
        }
        next_steps.push("search_text finds the name in any text, such as a comment".to_owned());
    }
    Ok(ReferencesAnswer { name, references, truncated, notes, next_steps })
}
