//! Why an answer is empty, and what to try instead.

use std::sync::Arc;
use std::time::Duration;

use super::wire::SearchAnswer;
use super::{App, counted};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::corpus::source::{GlobList, Repo};
use crate::corpus::text_search::{CaseMode, TextMatches, TextQuery};
use crate::index::catalog::{Catalog, ScopeSpec, SymbolQuery};
use crate::search::{Query, Searcher};

/// How long each other text search may take that says what would have been found.
const PROBE_MAX: Duration = Duration::from_millis(500);
/// The most names, languages or globs that a sentence lists.
const NAMED_MAX: usize = 5;

/// What is said about an empty answer.
#[derive(Debug, Default)]
pub(super) struct Explained {
    /// What was searched, and what removed the results.
    pub notes: Vec<String>,
    pub next_steps: Vec<String>,
}

impl Explained {
    fn add(&mut self, note: impl Into<String>, next_step: impl Into<String>) {
        self.notes.push(note.into());
        self.next_steps.push(next_step.into());
    }
}

/// Answers `query`, and says how many files have changed, and why if nothing was found.
pub(super) fn answer(
    app: &App,
    searcher: &Arc<Searcher>,
    query: &Query,
    cx: &RunContext,
) -> Result<SearchAnswer> {
    let changed = app.changed_files(searcher);
    let mut answer = SearchAnswer::from(searcher.search(query, cx)?);
    if answer.findings.is_empty() {
        let Explained { notes, next_steps } = search(searcher, query, cx)?;
        answer.limits.extend(notes);
        answer.next_steps.splice(0..0, next_steps);
    }
    Ok(answer.with_changes(changed.wait()))
}

fn search(searcher: &Searcher, query: &Query, cx: &RunContext) -> Result<Explained> {
    let mut explained = scope(searcher.catalog(), &query.scope)?;
    if query.scope.is_empty() {
        return Ok(explained);
    }
    let everywhere = Query { limit: 1, ..query.clone().with_scope(ScopeSpec::default()) };
    // The time may be over; then only the scope is described.
    let found = searcher.search(&everywhere, cx);
    if let Ok((total, Some(best))) =
        found.map(|found| (found.total, found.findings.into_iter().next()))
    {
        let place = format!("{}:{}-{}", best.row.path, best.row.start_line, best.row.end_line);
        explained.add(
            format!(
                "without the scope {} would match; the best is {place}",
                counted(total, "chunk")
            ),
            "search again without the scope",
        );
    }
    Ok(explained)
}

/// What a scope leaves of the index; nothing about an empty scope.
pub(super) fn scope(catalog: &Catalog, spec: &ScopeSpec) -> Result<Explained> {
    let mut explained = Explained::default();
    if spec.is_empty() {
        return Ok(explained);
    }
    let all = catalog.file_spans()?.len();
    let by_globs = catalog.files_in(&ScopeSpec { languages: Vec::new(), ..spec.clone() })?;
    let both = catalog.files_in(spec)?;
    let globs = list(&spec.globs);
    if by_globs.is_empty() {
        explained
            .notes
            .push(format!("of {}, none matches the globs {globs}", counted(all, "indexed file")));
        for glob in &spec.globs {
            if let Some(better) = better_glob(catalog, glob)? {
                explained.next_steps.push(format!("use the glob {better} instead of {glob}"));
            }
        }
        explained.next_steps.push("list_paths shows the paths of the index".to_owned());
    } else if both.is_empty() {
        let mut names: Vec<String> = by_globs.into_iter().map(|file| file.language).collect();
        let files = counted(names.len(), "file");
        names.sort_unstable();
        names.dedup();
        explained.add(
            format!("{files} of the globs {globs}, none of them {}", list(&spec.languages)),
            format!("ask for a language of these files: {}", list(&names)),
        );
    } else {
        let chunks: usize = both.iter().map(|file| file.chunk_count as usize).sum();
        let (chunks, files) = (counted(chunks, "chunk"), counted(both.len(), "file"));
        explained.notes.push(format!("searched {chunks} of {files}, the scope, of {all} files"));
    }
    Ok(explained)
}

/// A glob that matches files and was most likely meant: the same at any depth.
fn better_glob(catalog: &Catalog, glob: &str) -> Result<Option<String>> {
    if glob.starts_with('!') || glob.starts_with("**/") {
        return Ok(None);
    }
    let deeper = format!("**/{}", glob.trim_start_matches("./").trim_start_matches('/'));
    let globs = GlobList::new(std::slice::from_ref(&deeper))?;
    let matches = catalog.file_spans()?.iter().any(|span| globs.matches(&span.path));
    Ok(matches.then_some(deeper))
}

/// Other searches for the same text that find something. `query` found nothing.
pub(super) fn text(repo: &Repo, query: &TextQuery, cx: &RunContext) -> Result<Explained> {
    let mut explained = Explained::default();
    let one = TextQuery {
        matches_max: 1,
        context_lines: 0,
        after: None,
        time_max: PROBE_MAX,
        ..query.clone()
    };
    let in_scope = !query.globs.is_empty() || !query.languages.is_empty();
    let everywhere = TextQuery { globs: Vec::new(), languages: Vec::new(), ..one.clone() };
    let any_case = TextQuery { case: CaseMode::Insensitive, ..one.clone() };
    let parts_of_words = TextQuery { word: false, ..one.clone() };
    let other_syntax = TextQuery { is_regex: !query.is_regex, ..one.clone() };
    let syntax = if query.is_regex {
        ("as plain text", "set regex to false")
    } else {
        ("as a regular expression", "set regex to true")
    };
    let ignored = repo.clone().with_ignored_files();
    let has_syntax = query.is_regex || query.pattern.contains(['|', '*', '.', '\\', '[', '^', '$']);
    for (applies, repo, query, condition, next_step) in [
        (in_scope, repo, &everywhere, "without the scope", "search without the scope"),
        (
            query.case != CaseMode::Insensitive,
            repo,
            &any_case,
            "in another case",
            "set case_sensitive to false",
        ),
        (query.word, repo, &parts_of_words, "as a part of words", "search without word"),
        (has_syntax, repo, &other_syntax, syntax.0, syntax.1),
        (
            true,
            &ignored,
            &one,
            "in ignored or hidden files",
            "read those files directly: they are not indexed",
        ),
    ] {
        if !applies {
            continue;
        }
        let found = match repo.search_text(query, cx) {
            Ok(found) if found.total > 0 => found,
            // As the other syntax, the pattern may be no pattern.
            Ok(_) | Err(Error::Argument { .. }) => continue,
            Err(error) => return Err(error),
        };
        explained.add(would_match(&found, condition), next_step);
    }
    Ok(explained)
}

fn would_match(found: &TextMatches, condition: &str) -> String {
    let least = if found.is_complete { "" } else { "at least " };
    let lines = counted(found.total as usize, "line");
    let files = counted(found.files_matched, "file");
    let first = found.matches.first().map_or_else(String::new, |first| {
        format!(", such as {}:{}", first.path, first.lines.start())
    });
    format!("{condition} {least}{lines} in {files} would match{first}")
}

/// Definitions that a name without kind and language, or a similar name, would find.
pub(super) fn symbols(catalog: &Catalog, query: &SymbolQuery<'_>) -> Result<Explained> {
    let mut explained = Explained::default();
    let all = catalog.counts()?.symbols as usize;
    let name = query.name;
    explained
        .notes
        .push(format!("none of {} has a name like {name:?}", counted(all, "definition")));
    if query.kind.is_some() || query.language.is_some() {
        let any = SymbolQuery { kind: None, language: None, ..*query };
        let found = catalog.find_symbols(&any, 1)?;
        if let Some((first, language)) = found.rows.first() {
            explained.notes.clear();
            explained.add(
                format!(
                    "without kind and language {} would match, such as the {} {} in {}:{} ({language})",
                    counted(found.total, "definition"),
                    first.kind.as_str(),
                    first.qualified,
                    first.path,
                    first.start_line
                ),
                "search again without kind and language",
            );
        }
    }
    if explained.next_steps.is_empty() {
        explain_use(catalog, name, &mut explained)?;
    }
    explained.next_steps.push("semantic_search finds code by what it does".to_owned());
    Ok(explained)
}

/// Says whether a name that is not defined is used.
fn explain_use(catalog: &Catalog, name: &str, explained: &mut Explained) -> Result<()> {
    let last = name.rsplit(['.', ':', '#', '/']).next().unwrap_or(name);
    let uses = catalog.references(last, 1)?;
    if !uses.is_empty() {
        explained.add(
            format!("{last:?} is used in the index but not defined; it may come from a dependency"),
            "references_at shows where it is used",
        );
    } else {
        explained.next_steps.push("search_text finds the name in any text".to_owned());
    }
    Ok(())
}

/// The names of definitions that are like `name`, as a sentence.
pub(super) fn similar_names(catalog: &Catalog, name: &str) -> Result<Option<String>> {
    let query = SymbolQuery { name, kind: None, language: None };
    let mut names: Vec<String> = Vec::new();
    for (row, _) in catalog.find_symbols(&query, 4 * NAMED_MAX)?.rows {
        if row.name != name && !names.contains(&row.name) {
            names.push(row.name);
        }
    }
    Ok((!names.is_empty()).then(|| format!("similar names are defined: {}", list(&names))))
}

/// The first few of some names.
fn list(names: &[String]) -> String {
    let mut text = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED_MAX {
        text += &format!(" and {} more", names.len() - NAMED_MAX);
    }
    text
}
