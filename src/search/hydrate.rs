//! The rows and texts of the best chunks from the catalog, with the best line of each.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::PathBuf;

use super::channels::ChannelName;
use super::fuse::{Explanation, Fused};
use super::query::Query;
use crate::base::error::Result;
use crate::base::hit::ChunkId;
use crate::base::telemetry::{Stage, StageSpan, attrs};
use crate::corpus::source::IndexedRoots;
use crate::index::QueryText;
use crate::index::catalog::{Catalog, ShownChunk};

/// One chunk of the answer.
#[derive(Debug, Clone)]
pub struct Finding {
    pub kind: FindingKind,
    /// The line that defines a name in the query, else the definition that the chunk begins or lies
    /// in, else its path.
    pub title: String,
    /// The line of the text, from 0, that contains the most words of the query.
    pub focus: usize,
    pub row: ShownChunk,
    /// The absolute path of the file; `None` if it is not on this machine.
    pub file: Option<PathBuf>,
    pub score: f64,
    pub why: Explanation,
    /// Other places that have the same text.
    pub copies: Vec<CopyPlace>,
}

/// Where the text of a finding stands once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyPlace {
    pub path: String,
    /// From 1.
    pub start_line: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    Definition,
    Usage,
    Doc,
}

impl FindingKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Definition => "definition",
            Self::Usage => "usage",
            Self::Doc => "doc",
        }
    }
}

/// Bytes of the shortest text that is taken for a copy; a closing bracket is not.
const COPY_BYTES_MIN: usize = 40;
/// Copies of a finding that are named.
const COPIES_MAX: usize = 20;
/// How often more rows are read because the ones before were copies.
const ROUNDS_MAX: usize = 4;

/// Returns the first findings of `ranked`, in the same order, at most as many as the query asks for. A
/// chunk with the text of a better one is no finding of its own, but a copy of that one.
pub fn hydrate(
    catalog: &Catalog,
    roots: &IndexedRoots,
    query: &Query,
    ranked: Vec<Fused>,
    span: &mut StageSpan,
) -> Result<Vec<Finding>> {
    let words = telling_words(&query.text);
    let mut findings: Vec<Finding> = Vec::new();
    let mut by_text: HashMap<String, usize> = HashMap::new();
    let mut ranked = ranked.into_iter();
    let mut asked = 0;
    for _ in 0..ROUNDS_MAX {
        let wanted = query.limit - findings.len();
        let next: Vec<Fused> = ranked.by_ref().take(wanted).collect();
        if next.is_empty() {
            break;
        }
        asked += next.len();
        let ids: Vec<ChunkId> = next.iter().map(|chunk| chunk.id).collect();
        for (chunk, row) in next.into_iter().zip(rows(catalog, &ids, span)?) {
            let text = row.text.trim();
            if let Some(&first) = by_text.get(text).filter(|_| text.len() >= COPY_BYTES_MIN) {
                findings[first]
                    .copies
                    .push(CopyPlace { path: row.path, start_line: row.start_line });
                continue;
            }
            by_text.insert(text.to_owned(), findings.len());
            let file = roots.find(&row.path);
            findings.push(Finding::new(chunk, row, file, &words));
        }
    }
    span.set(attrs::HYDRATE_ASKED, asked);
    findings.iter_mut().for_each(|finding| finding.copies.truncate(COPIES_MAX));
    Ok(findings)
}

/// Returns the rows of `ids`, in the same order.
fn rows(catalog: &Catalog, ids: &[ChunkId], span: &mut StageSpan) -> Result<Vec<ShownChunk>> {
    span.cx().stage(Stage::DuckdbHydrate, |s| {
        let hydrated = catalog.rows(ids)?;
        s.set(attrs::DUCKDB_ROWS, hydrated.rows.len());
        s.set(attrs::DUCKDB_SQL_BYTES, hydrated.sql_bytes);
        s.set(attrs::DB_SYSTEM, "duckdb");
        s.set(attrs::DB_OPERATION, "SELECT");
        s.set(attrs::DB_SUMMARY, "SELECT chunks");
        Ok(hydrated.rows)
    })
}

impl Finding {
    fn new(chunk: Fused, row: ShownChunk, file: Option<PathBuf>, words: &[String]) -> Self {
        let focus = focus(&row.text, words);
        let is_named = chunk.why.contributions.iter().any(|c| c.channel == ChannelName::Symbol);
        let kind = match row.language.as_str() {
            _ if is_named => FindingKind::Definition,
            "markdown" | "text" => FindingKind::Doc,
            _ => FindingKind::Usage,
        };
        let line = row.text.lines().nth(focus).unwrap_or_default().trim();
        let title = if is_named && words_in(line, words) > 0 {
            line.to_owned()
        } else if let Some(signature) = &row.signature {
            signature.clone()
        } else if row.enclosing.is_empty() {
            row.path.clone()
        } else {
            row.enclosing.join(" > ")
        };
        let copies = Vec::new();
        Self { kind, title, focus, row, file, score: chunk.score, why: chunk.why, copies }
    }
}

/// The words of a query that can distinguish lines, in lower case.
fn telling_words(query: &QueryText) -> Vec<String> {
    let words = query.words.iter().filter(|word| word.chars().count() > 2);
    words.map(|word| word.to_lowercase()).collect()
}

/// The number of `words` that `line` contains.
fn words_in(line: &str, words: &[String]) -> usize {
    let line = line.to_lowercase();
    words.iter().filter(|word| line.contains(word.as_str())).count()
}

/// The first line with the most of `words`.
fn focus(text: &str, words: &[String]) -> usize {
    let lines = text.lines().enumerate().map(|(i, line)| (words_in(line, words), Reverse(i)));
    lines.max().map_or(0, |(_, Reverse(line))| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_focus_is_the_first_line_that_holds_most_words() {
        let text = "//! Locks.\n\nstruct Lock;\nfn take_lock() {}\nfn take() {}\n";
        let focus_of = |query: &str, text| focus(text, &telling_words(&QueryText::new(query)));
        assert_eq!(focus_of("how do I take a lock?", text), 3);
        assert_eq!(focus_of("zzyzx", text), 0);
        assert_eq!(focus_of("lock", ""), 0);
    }
}
