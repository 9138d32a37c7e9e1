//! The tool find_related: code that resembles the code at a line.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::open_file::unknown_path;
use super::scope::{self, ScopeInput};
use super::wire::{SnippetLocation, snippet};
use super::{App, FileLink, ToolAnswer, ToolSpec, estimated_tokens, file_uri};
use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::index::catalog::ShownChunk;
use crate::search::Searcher;

pub const SPEC: ToolSpec = ToolSpec {
    name: "find_related",
    title: "Find similar code",
    description: "Find code that resembles the code at a line of a file: other implementations, \
                  duplicates, its tests, its documentation. Use it before changing a pattern that occurs \
                  several times. For uses of a name call references_at.",
    label: Tool::FindRelated,
    ..ToolSpec::READS_INDEX
};

fn default_limit() -> usize {
    10
}

fn default_max_tokens() -> usize {
    4000
}

/// The arguments of find_related.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FindRelatedInput {
    /// A path of the index, such as `src/main.rs`.
    pub path: String,
    /// A line of the code, from 1.
    #[schemars(range(min = 1))]
    pub line: u32,
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: usize,
    /// Stop before the snippets exceed this many tokens; the first result is always returned.
    #[serde(default = "default_max_tokens")]
    #[schemars(range(min = 1))]
    pub max_tokens: usize,
    /// The part of the repository to search.
    pub scope: Option<ScopeInput>,
    /// A scope that set_scope returned.
    pub scope_id: Option<String>,
}

/// The answer of find_related.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RelatedAnswer {
    /// The code that the others were compared with.
    pub source: SnippetLocation,
    /// Most similar first.
    pub related: Vec<RelatedItem>,
    pub notes: Vec<String>,
}

/// A piece of code.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RelatedItem {
    pub location: SnippetLocation,
    pub title: String,
    pub language: String,
    /// Inner product of the unit vectors, at most 1.
    pub similarity: f32,
    pub snippet: String,
}

impl ToolAnswer for RelatedAnswer {
    fn text(&self) -> String {
        let place = |location: &SnippetLocation| {
            let SnippetLocation { path, start_line, end_line, .. } = location;
            format!("{path}:{start_line}-{end_line}")
        };
        let found = super::counted(self.related.len(), "piece");
        let mut text = format!("{found} of code like {}\n", place(&self.source));
        for RelatedItem { location, title, similarity, snippet, .. } in &self.related {
            text += &format!("\n{}  {title}  ({similarity:.2})\n", place(location));
            text += snippet.trim_end();
            text += "\n";
        }
        self.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
        text
    }

    fn links(&self) -> Vec<FileLink> {
        let link = |item: &RelatedItem| {
            let SnippetLocation { path, uri, .. } = &item.location;
            Some(FileLink { uri: uri.clone()?, path: path.clone() })
        };
        self.related.iter().filter_map(link).collect()
    }
}

pub(super) fn run(
    app: &App,
    input: FindRelatedInput,
    cx: &RunContext,
) -> Result<RelatedAnswer, Arc<Error>> {
    let limit = super::within("limit", input.limit, 1..=100)?;
    let max_tokens = super::within("max_tokens", input.max_tokens, 1..=usize::MAX)?;
    let searcher = app.searcher()?;
    let scope = scope::resolve(app, input.scope, input.scope_id.as_deref(), cx)?;
    let catalog = searcher.catalog();
    let source = chunk_at(&searcher, &input.path, input.line)?;
    let hits = searcher.related(source, limit, &scope, cx)?;
    let mut notes = Vec::new();
    let hits = hits.unwrap_or_else(|| {
        notes.push(
            "this code has no vector; semantic_search finds code by a description".to_owned(),
        );
        Vec::new()
    });
    let mut ids = vec![source];
    ids.extend(hits.iter().map(|hit| hit.id));
    let mut rows = catalog.rows(&ids)?.rows.into_iter();
    let source = rows.next().expect("one row for each id");
    let mut related = Vec::new();
    let (mut tokens, found) = (0, hits.len());
    for (hit, row) in hits.into_iter().zip(rows) {
        let item = RelatedItem::new(&searcher, row, hit.score);
        tokens += estimated_tokens(&item.snippet);
        if tokens > max_tokens && !related.is_empty() {
            break;
        }
        related.push(item);
    }
    if related.len() < found {
        let more = found - related.len();
        notes.push(format!("{more} more were left out to stay within {max_tokens} tokens"));
    }
    Ok(RelatedAnswer { source: location(&searcher, &source), related, notes })
}

/// The chunk that has line `line` of the file `path`.
fn chunk_at(searcher: &Searcher, path: &str, line: u32) -> Result<ChunkId> {
    let catalog = searcher.catalog();
    let asked = path.strip_prefix("./").unwrap_or(path);
    let Some(file) = catalog.file(asked)? else { return Err(unknown_path(catalog, path)?) };
    let first = file.first_chunk.0;
    catalog.chunk_at(first..first + file.chunk_count, line)?.ok_or_else(|| Error::Argument {
        name: "line",
        value: line.to_string(),
        expected: format!("1 to {}, because {} has so many lines", file.lines, file.path),
    })
}

fn location(searcher: &Searcher, row: &ShownChunk) -> SnippetLocation {
    let lines = (row.start_line, row.end_line);
    let file = searcher.roots().find(&row.path);
    SnippetLocation {
        uri: file.and_then(|file| file_uri(&file, Some(lines))),
        path: row.path.clone(),
        start_line: row.start_line,
        end_line: row.end_line,
    }
}

impl RelatedItem {
    fn new(searcher: &Searcher, row: ShownChunk, similarity: f32) -> Self {
        Self {
            location: location(searcher, &row),
            title: match row.signature {
                Some(signature) => signature,
                None => row.enclosing.join(" > "),
            },
            language: row.language,
            similarity,
            snippet: snippet(row.text),
        }
    }
}
