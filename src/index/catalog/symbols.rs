//! Definitions by name: exact, in another case, by prefix, by a part, one typing mistake away.

use duckdb::params;

use super::reader::Catalog;
use super::rows::SymbolRow;
use crate::base::error::Result;
use crate::corpus::chunk::SymbolKind;

/// The definitions that are wanted.
#[derive(Debug, Clone, Copy)]
pub struct SymbolQuery<'a> {
    /// A name or the end of a qualified name; not empty.
    pub name: &'a str,
    pub kind: Option<SymbolKind>,
    pub language: Option<&'a str>,
}

/// The definitions that were found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundSymbols {
    /// Each with its language, best first.
    pub rows: Vec<(SymbolRow, String)>,
    /// All that match, beyond the limit, too.
    pub total: usize,
}

/// Ranks a definition against `?1`, the name, and `?2`, the name in lower case; null if it does not
/// match. Separators of qualified names are compared as dots.
const TIER: &str = "case \
    when name = ?1 then 0 \
    when regexp_replace(qualified, '::|->|[/#\\\\]', '.', 'g') = ?3 \
        or ends_with(regexp_replace(qualified, '::|->|[/#\\\\]', '.', 'g'), '.' || ?3) then 1 \
    when lower(name) = ?2 then 2 \
    when replace(lower(name), '_', '') = replace(?2, '_', '') then 3 \
    when starts_with(lower(name), ?2) then 4 \
    when contains(lower(name), ?2) then 5 \
    when length(?2) >= 4 and abs(length(name) - length(?2)) <= 1 \
        and damerau_levenshtein(lower(name), ?2) = 1 then 6 end";

impl Catalog {
    /// The best `limit` definitions for `query`: by how well the name matches, fields and
    /// variants last, shorter names first.
    pub fn find_symbols(&self, query: &SymbolQuery<'_>, limit: usize) -> Result<FoundSymbols> {
        let columns = SymbolRow::COLUMNS
            .split(',')
            .map(|column| format!("symbols.{}", column.trim()))
            .collect::<Vec<_>>()
            .join(", ");
        let sql = format!(
            "with ranked as (select symbols.*, files.language as language, {TIER} as tier \
               from symbols join files on files.path = symbols.path \
               where (?4 = '' or symbols.kind = ?4) and (?5 = '' or lower(files.language) = ?5)) \
             select {columns}, language, count(*) over () from ranked as symbols \
             where tier is not null \
             order by tier, kind in ('field', 'variant'), length(name), symbols.path, start_line limit ?6"
        );
        let (name, lower) = (query.name, query.name.to_lowercase());
        let dotted = name.replace("::", ".").replace("->", ".").replace(['/', '#', '\\'], ".");
        let kind = query.kind.map_or("", SymbolKind::as_str);
        let language = query.language.unwrap_or_default().to_lowercase();
        let mut total = 0;
        let rows =
            self.query(&sql, params![name, lower, dotted, kind, language, limit as u64], |row| {
                let symbol = SymbolRow::read(row)?;
                let next = SymbolRow::COLUMNS.split(',').count();
                total = row.get::<usize, i64>(next + 1)? as usize;
                Ok((symbol, row.get(next)?))
            })?;
        Ok(FoundSymbols { rows, total })
    }
}
