//! The tool definition_at: where a symbol is defined.

use std::sync::Arc;

use super::definition_rank::Context;
use super::identifier::{Identifier, IdentifierInput};
use super::symbol_search::{SymbolItem, SymbolsAnswer};
use super::{App, ToolSpec, empty, scip_lookup};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::index::catalog::{OccurrenceRow, SymbolRow};
use crate::search::Searcher;

pub const SPEC: ToolSpec = ToolSpec {
    name: "definition_at",
    title: "Go to definition",
    description: "Find the definition of the symbol at a position in a file, or of a name. It is exact where \
                  the repository has an index.scip; otherwise all definitions of the name are returned, \
                  best first.",
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
    let symbols = scip_lookup::symbols_at(&wanted, catalog)?;
    let defined = catalog.occurrences_of(&symbols, true, limit)?;
    if !defined.is_empty() {
        return from_scip(defined, &wanted, &searcher);
    }
    let last = wanted.last_name();
    let mut rows = catalog.symbols_named(last)?;
    let outside = scip_lookup::outside(&symbols);
    if outside.is_some() {
        // The symbol may be defined in a file that index.scip does not describe, but in no other.
        let described = catalog.chunks_with_occurrences()?;
        rows.retain(|row| !described.contains(&row.chunk));
    }
    if last != wanted.name && rows.iter().any(|row| row.qualified.ends_with(&wanted.name)) {
        rows.retain(|row| row.qualified.ends_with(&wanted.name));
    }
    let here = match &wanted.path {
        Some(path) => catalog.symbols_in(path)?,
        None => Vec::new(),
    };
    let context = match (&wanted.path, &wanted.place) {
        (Some(path), Some(place)) => Some(Context::new(path, place, last, &here)),
        _ => None,
    };
    let mut ranked: Vec<(Distance, SymbolRow, String)> = Vec::with_capacity(rows.len());
    for row in rows {
        let language = catalog.file_of(row.chunk)?.map_or_else(String::new, |f| f.language.clone());
        let distance = match &context {
            Some(context) if wanted.language.as_ref() == Some(&language) => {
                Distance::Scored(-context.score(&row))
            }
            Some(_) => Distance::OtherLanguage,
            None => Distance::File(distance(&wanted, &row.path, &language)),
        };
        ranked.push((distance, row, language));
    }
    ranked.sort_by(|a, b| (a.0, &a.1.path, a.1.start_line).cmp(&(b.0, &b.1.path, b.1.start_line)));
    let total = ranked.len();
    ranked.truncate(limit);
    let mut notes = wanted.notes.clone();
    let mut next_steps = Vec::new();
    if let (0, Some(package)) = (total, outside) {
        notes.push(format!("{last:?} is defined in {package}, outside this index (index.scip)"));
    } else if total == 0 {
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

/// The answer from the definitions that `index.scip` has; the nearest file first.
fn from_scip(
    defined: Vec<OccurrenceRow>,
    wanted: &Identifier,
    searcher: &Searcher,
) -> Result<SymbolsAnswer, Arc<Error>> {
    let mut symbols = Vec::with_capacity(defined.len());
    for found in defined {
        symbols.extend(scip_lookup::definition(found, searcher)?);
    }
    symbols.sort_by_key(|item| distance(wanted, &item.path, &item.language));
    let mut notes = wanted.notes.clone();
    notes.push(scip_lookup::NOTE.to_owned());
    Ok(SymbolsAnswer { total: symbols.len(), symbols, notes, next_steps: Vec::new() })
}

/// What orders definitions, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    Scored(i32),
    OtherLanguage,
    File(u8),
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
