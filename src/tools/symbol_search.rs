//! The tool symbol_search: definitions by name.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, FileLink, ToolAnswer, ToolSpec, empty, file_uri};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::corpus::chunk::SymbolKind;
use crate::index::catalog::{SymbolQuery, SymbolRow};
use crate::search::Searcher;

pub const SPEC: ToolSpec = ToolSpec {
    name: "symbol_search",
    title: "Find definitions by name",
    description: "Find where a function, type, constant or other symbol is defined, by its name: exact \
                  first, then other case, prefixes, parts of names, and one typing mistake. A qualified \
                  name such as Pool::acquire also works.",
    label: Tool::SymbolSearch,
    ..ToolSpec::READS_INDEX
};

fn default_limit() -> usize {
    20
}

/// The arguments of symbol_search.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SymbolSearchInput {
    /// A name, such as `acquire` or `Pool::acquire`.
    pub query: String,
    /// Only this kind: function, method, class, struct, enum, trait, module, constant, macro, type,
    /// section, key, rule, field or variant.
    pub kind: Option<String>,
    /// Only this language, such as `rust`.
    pub language: Option<String>,
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 200))]
    pub limit: usize,
}

/// The answer of symbol_search.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SymbolsAnswer {
    /// Best first.
    pub symbols: Vec<SymbolItem>,
    /// Definitions that match, of which the best are returned.
    pub total: usize,
    pub notes: Vec<String>,
    pub next_steps: Vec<String>,
}

/// One definition.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SymbolItem {
    pub name: String,
    pub qualified: String,
    pub kind: &'static str,
    pub path: String,
    pub start_line: u32,
    pub end_line: u32,
    /// The column of the definition, from 1.
    pub start_column: u32,
    pub signature: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doc: Option<String>,
    pub language: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

impl SymbolItem {
    pub(super) fn new(row: SymbolRow, searcher: &Searcher, language: &str) -> Self {
        let lines = (row.start_line, row.end_line);
        let file = searcher.roots().find(&row.path);
        let first_line = |doc: String| doc.lines().next().unwrap_or_default().to_owned();
        Self {
            uri: file.and_then(|file| file_uri(&file, Some(lines))),
            name: row.name,
            qualified: row.qualified,
            kind: row.kind.as_str(),
            path: row.path,
            start_line: row.start_line,
            end_line: row.end_line,
            start_column: row.start_col + 1,
            signature: row.signature,
            doc: row.doc.map(first_line),
            language: language.to_owned(),
        }
    }

    pub(super) fn link(&self) -> Option<FileLink> {
        Some(FileLink { uri: self.uri.clone()?, path: self.path.clone() })
    }
}

/// One line for each definition.
pub(super) fn symbol_lines(symbols: &[SymbolItem], with_path: bool) -> String {
    let line = |item: &SymbolItem| {
        let SymbolItem { path, start_line, end_line, kind, signature, .. } = item;
        let place = if with_path { format!("{path}:") } else { String::new() };
        format!("{place}{start_line}-{end_line}  {kind}  {signature}\n")
    };
    symbols.iter().map(line).collect()
}

impl ToolAnswer for SymbolsAnswer {
    fn text(&self) -> String {
        let mut text = format!("{} of {} definitions\n", self.symbols.len(), self.total);
        text += &symbol_lines(&self.symbols, true);
        self.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
        self.next_steps.iter().for_each(|step| text += &format!("next: {step}\n"));
        text
    }

    fn links(&self) -> Vec<FileLink> {
        self.symbols.iter().filter_map(SymbolItem::link).collect()
    }
}

pub(super) fn run(
    app: &App,
    input: SymbolSearchInput,
    _: &RunContext,
) -> Result<SymbolsAnswer, Arc<Error>> {
    let limit = super::within("limit", input.limit, 1..=200)?;
    let searcher = app.searcher()?;
    let kind = input.kind.as_deref().map(str::parse::<SymbolKind>).transpose()?;
    let query = SymbolQuery { name: input.query.trim(), kind, language: input.language.as_deref() };
    if query.name.is_empty() {
        return Err(Error::QueryInvalid { detail: "it is empty".to_owned() }.into());
    }
    let found = searcher.catalog().find_symbols(&query, limit)?;
    let empty::Explained { notes, next_steps } = if found.rows.is_empty() {
        empty::symbols(searcher.catalog(), &query)?
    } else {
        empty::Explained::default()
    };
    let symbols =
        found.rows.into_iter().map(|(row, language)| SymbolItem::new(row, &searcher, &language));
    Ok(SymbolsAnswer { symbols: symbols.collect(), total: found.total, notes, next_steps })
}
