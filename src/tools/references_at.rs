//! The tool references_at: where a symbol is used.

use std::collections::HashSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::identifier::{Identifier, IdentifierInput, column_of};
use super::{App, FileLink, ToolAnswer, ToolSpec, empty, file_uri, scip_lookup};
use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::base::text::prefix;
use crate::corpus::scip::SymbolName;
use crate::index::catalog::{Catalog, OccurrenceRow, RefRow, SymbolRow};

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

/// The most uses of a name that are looked at for those that `index.scip` does not describe.
const BY_NAME_MAX: usize = 10_000;

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
    let name = wanted.last_name().to_owned();
    let catalog = searcher.catalog();
    let symbols = match scip_lookup::symbols_at(&wanted, catalog)? {
        symbols if symbols.is_empty() && wanted.place.is_none() => symbols_named(&wanted, catalog)?,
        symbols => symbols,
    };
    let mut notes = wanted.notes;
    let mut found = if symbols.is_empty() {
        uses_of_name(catalog.references(&name, limit + 1)?)
    } else {
        let found = uses_of_symbols(&symbols, &name, limit + 1, catalog)?;
        let by_name = found.iter().filter(|found| found.column.is_none()).count();
        notes.push(scip_lookup::NOTE.to_owned());
        if by_name > 0 {
            notes.push(format!(
                "{by_name} of them by name, in code that index.scip does not describe"
            ));
        }
        found
    };
    let truncated = found.len() > limit;
    found.truncate(limit);
    let ids: Vec<_> = found.iter().map(|found| found.chunk).collect();
    let chunks = catalog.rows(&ids)?.rows;
    let items = found.into_iter().zip(chunks).map(|(found, chunk)| {
        let nth = found.line.saturating_sub(chunk.start_line) as usize;
        let text = chunk.text.lines().nth(nth).unwrap_or_default();
        let file = searcher.roots().find(&chunk.path);
        ReferenceItem {
            uri: file.and_then(|file| file_uri(&file, Some((found.line, found.line)))),
            column: found.column.or_else(|| column_of(text, &name)).unwrap_or(1),
            preview: prefix(text.trim(), LINE_BYTES_MAX).to_owned(),
            line: found.line,
            path: chunk.path,
            within: chunk.enclosing,
        }
    });
    let mut references: Vec<ReferenceItem> = items.collect();
    references.sort_by(|a, b| (&a.path, a.line, a.column).cmp(&(&b.path, b.line, b.column)));
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

/// Where a symbol is used.
struct Use {
    chunk: ChunkId,
    line: u32,
    /// In characters from 1; `None` if only the line is known.
    column: Option<usize>,
}

/// The symbols of `index.scip` that are defined under this name.
fn symbols_named(wanted: &Identifier, catalog: &Catalog) -> Result<Vec<String>> {
    let mut defined = catalog.scip_definitions(wanted.last_name())?;
    if wanted.name != wanted.last_name() {
        let mut rows = catalog.symbols_named(wanted.last_name())?;
        rows.retain(|row| row.qualified.ends_with(&wanted.name));
        let is_one = |found: &OccurrenceRow| {
            let lines = |row: &SymbolRow| (row.start_line..=row.end_line).contains(&found.line);
            rows.iter().any(|row| row.chunk == found.chunk && lines(row))
        };
        if !rows.is_empty() {
            defined.retain(is_one);
        }
    }
    let mut symbols: Vec<String> = defined.into_iter().map(|found| found.symbol).collect();
    symbols.sort_unstable();
    symbols.dedup();
    Ok(symbols)
}

fn uses_of_name(found: Vec<RefRow>) -> Vec<Use> {
    let found = found.into_iter();
    found.map(|found| Use { chunk: found.chunk, line: found.line, column: None }).collect()
}

/// The uses that `index.scip` has, and then those of the name in code of the same languages that it
/// does not describe.
fn uses_of_symbols(
    symbols: &[String],
    name: &str,
    limit: usize,
    catalog: &Catalog,
) -> Result<Vec<Use>> {
    let found = catalog.occurrences_of(symbols, false, limit)?;
    let defined = catalog.occurrences_of(symbols, true, limit)?;
    // The name may be an alias; a local symbol is used in its own file only.
    let name = match SymbolName::of(&symbols[0]) {
        Some(symbol) if defined.iter().any(|row| row.name == symbol.name) => symbol.name,
        Some(_) => name.to_owned(),
        None => String::new(),
    };
    let language = |chunk| Ok(catalog.file_of(chunk)?.map(|file| file.language.as_str()));
    let places = found.iter().chain(&defined).map(|row| language(row.chunk));
    let languages = places.collect::<Result<HashSet<_>>>()?;
    let column = |row: &OccurrenceRow| row.start_col as usize + 1;
    let uses =
        found.iter().map(|row| Use { chunk: row.chunk, line: row.line, column: Some(column(row)) });
    let mut uses: Vec<Use> = uses.collect();
    let described = catalog.chunks_with_occurrences()?;
    for other in catalog.references(&name, BY_NAME_MAX)? {
        if uses.len() >= limit {
            break;
        }
        if !described.contains(&other.chunk) && languages.contains(&language(other.chunk)?) {
            uses.extend(uses_of_name(vec![other]));
        }
    }
    Ok(uses)
}
