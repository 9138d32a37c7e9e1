//! The tool definition_at: where a symbol is defined.

use std::sync::Arc;

use super::identifier::{Identifier, IdentifierInput};
use super::symbol_search::{SymbolItem, SymbolsAnswer};
use super::{App, ToolSpec, empty};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::index::catalog::SymbolRow;

pub const SPEC: ToolSpec = ToolSpec {
    name: "definition_at",
    title: "Go to definition",
    description: "Find the definition of the symbol at a position in a file, or of a name. Definitions in \
                  the same file, folder and language come first; several are returned when the name is \
                  defined more than once.",
    label: Tool::DefinitionAt,
    ..ToolSpec::READS_INDEX
};

pub(super) fn run(
    app: &App,
    input: IdentifierInput,
    _: &RunContext,
) -> Result<SymbolsAnswer, Arc<Error>> {
    let limit = super::within("limit", input.limit, 1..=1000)?;
    let searcher = app.searcher()?;
    let wanted = Identifier::find(input, &searcher)?;
    let catalog = searcher.catalog();
    let last = wanted.name.rsplit(['.', ':', '#', '/']).next().unwrap_or(&wanted.name);
    let mut rows = catalog.symbols_named(last)?;
    if last != wanted.name && rows.iter().any(|row| row.qualified.ends_with(&wanted.name)) {
        rows.retain(|row| row.qualified.ends_with(&wanted.name));
    }
    let mut ranked: Vec<(u8, SymbolRow, String)> = Vec::with_capacity(rows.len());
    for row in rows {
        let language = catalog.file_of(row.chunk)?.map_or_else(String::new, |f| f.language.clone());
        ranked.push((distance(&wanted, &row.path, &language), row, language));
    }
    ranked.sort_by(|a, b| (a.0, &a.1.path, a.1.start_line).cmp(&(b.0, &b.1.path, b.1.start_line)));
    let total = ranked.len();
    ranked.truncate(limit);
    let mut notes = wanted.notes;
    let mut next_steps = Vec::new();
    if total == 0 {
        let definitions = super::counted(catalog.counts()?.symbols as usize, "definition");
        notes.push(format!(
            "none of {definitions} is named {last:?}; it may come from a dependency"
        ));
        notes.extend(empty::similar_names(catalog, last)?);
        let uses = catalog.references(last, 1)?;
        let next_step = if uses.is_empty() {
            "search_text finds the name in any text"
        } else {
            "references_at shows where it is used"
        };
        next_steps.push(next_step.to_owned());
    }
    let symbols = ranked.into_iter();
    let symbols = symbols.map(|(_, row, language)| SymbolItem::new(row, &searcher, &language));
    Ok(SymbolsAnswer { symbols: symbols.collect(), total, notes, next_steps })
}

/// How far a definition is from the position; the same file is nearest.
fn distance(wanted: &Identifier, path: &str, language: &str) -> u8 {
    let Some(from) = &wanted.path else { return 0 };
    let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    if from == path {
        0
    } else if wanted.language.as_deref() != Some(language) {
        3
    } else if folder(from) == folder(path) {
        1
    } else {
        2
    }
}
