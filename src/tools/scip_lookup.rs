//! What `index.scip` says about the identifier that a caller means.

use super::file_uri;
use super::identifier::Identifier;
use super::symbol_search::SymbolItem;
use crate::base::error::Result;
use crate::base::text::prefix;
use crate::corpus::scip::{SymbolName, package};
use crate::index::catalog::{Catalog, OccurrenceRow};
use crate::search::Searcher;

/// Bytes of the line that stands for a signature.
const LINE_BYTES_MAX: usize = 200;

/// The note of an answer that comes from it.
pub(super) const NOTE: &str = "from index.scip";

/// The symbols at the position that `wanted` gives; none if it gives a name only, or if `index.scip`
/// does not describe that place.
pub(super) fn symbols_at(wanted: &Identifier, catalog: &Catalog) -> Result<Vec<String>> {
    match (&wanted.path, &wanted.place) {
        (Some(path), Some(at)) if at.is_indexed_state => {
            catalog.symbols_at(path, at.line, at.column)
        }
        _ => Ok(Vec::new()),
    }
}

/// The package of a symbol that the index does not define.
pub(super) fn outside(symbols: &[String]) -> Option<String> {
    symbols.iter().find_map(|symbol| package(symbol))
}

/// A definition as symbol_search shows it. The position is that of its name.
pub(super) fn definition(found: OccurrenceRow, searcher: &Searcher) -> Result<Option<SymbolItem>> {
    let catalog = searcher.catalog();
    let Some(file) = catalog.file_of(found.chunk)? else { return Ok(None) };
    let contains = |start: u32, end: u32| start <= found.line && found.line <= end;
    let rows = catalog.symbols_in(&file.path)?.into_iter();
    let same = rows.filter(|row| row.name == found.name && contains(row.start_line, row.end_line));
    if let Some(row) = same.max_by_key(|row| row.start_line) {
        let item = SymbolItem::new(row, searcher, &file.language);
        let (start_line, start_column) = (found.line, found.start_col + 1);
        return Ok(Some(SymbolItem { start_line, start_column, ..item }));
    }
    let shown = catalog.rows(&[found.chunk])?.rows;
    let nth = |start: u32| found.line.saturating_sub(start) as usize;
    let line = shown.first().and_then(|chunk| chunk.text.lines().nth(nth(chunk.start_line)));
    let line = line.unwrap_or_default();
    let word = || {
        let (start, end) = (found.start_col as usize, found.end_col as usize);
        line.chars().take(end).skip(start).collect::<String>()
    };
    let name = if found.name.is_empty() { word() } else { found.name.clone() };
    let absolute = searcher.roots().find(&file.path);
    Ok(Some(SymbolItem {
        kind: SymbolName::of(&found.symbol).map_or("local", |symbol| symbol.kind),
        qualified: name.clone(),
        name,
        path: file.path.clone(),
        start_line: found.line,
        end_line: found.line,
        start_column: found.start_col + 1,
        signature: prefix(line.trim(), LINE_BYTES_MAX).to_owned(),
        doc: None,
        language: file.language.clone(),
        uri: absolute.and_then(|path| file_uri(&path, Some((found.line, found.line)))),
    }))
}
