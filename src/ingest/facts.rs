//! Fills the table of facts of a version: from its rows, from git and from the names of its files.

use std::collections::HashMap;

use super::centrality::page_rank;
use crate::base::config::Settings;
use crate::base::error::Result;
use crate::corpus::git::{FileCommits, HistoryStop};
use crate::corpus::source::{ConfigKind, Entry, Repo, RepoPath};
use crate::index::catalog::{CatalogWriter, FileFacts, note};

/// The centrality is computed again when more than one file in this many has changed since.
const FILES_PER_CHANGE: usize = 100;

/// What git tells about the files of a version.
pub struct History {
    pub commits: FileCommits,
    /// As [`Repo::heads`]; empty without git, or if history is switched off.
    heads: String,
    /// Whether the commits of all files were counted, because another commit is checked out.
    is_counted: bool,
}

impl History {
    /// Reads the history once, for the dates of `changed` and, if it has grown since the previous
    /// version, for the counts of all files.
    pub fn read(
        repo: &Repo,
        settings: &Settings,
        changed: &[Entry],
        catalog: &CatalogWriter,
    ) -> Result<Self> {
        let heads = if settings.source.history { repo.heads() } else { String::new() };
        let is_counted = catalog.note(note::HEADS)?.as_ref() != Some(&heads);
        let mut commits = FileCommits::default();
        if !heads.is_empty() {
            let dated: Vec<RepoPath> = changed.iter().map(|entry| entry.path.clone()).collect();
            let mut counted = Vec::new();
            if is_counted {
                counted.extend(catalog.paths().iter().map(RepoPath::new));
                counted.extend(dated.iter().cloned());
            }
            commits = repo.file_commits(&dated, &counted);
        }
        Ok(Self { commits, heads, is_counted })
    }
}

/// Writes the facts about all files of `catalog`. changed: how many files this version has added,
/// replaced or removed.
pub fn write_facts(
    catalog: &mut CatalogWriter,
    repo: &Repo,
    history: &History,
    changed: usize,
) -> Result<()> {
    let names = catalog.paths();
    let paths: Vec<RepoPath> = names.iter().map(RepoPath::new).collect();
    let previous = catalog.facts()?.into_iter().map(|facts| (facts.path.clone(), facts));
    let mut previous: HashMap<String, FileFacts> = previous.collect();
    let ranks = new_centrality(catalog, paths.len(), changed)?;
    let documentation = catalog.documentation()?;
    let owners = repo.code_owners(&paths);
    let mut rows = Vec::with_capacity(paths.len());
    for (i, (path, owners)) in paths.iter().zip(owners).enumerate() {
        let old = previous.remove(path.as_str()).unwrap_or_default();
        let documentation = documentation.get(path.as_str()).copied().unwrap_or_default();
        let mut facts = FileFacts {
            path: path.as_str().to_owned(),
            centrality: ranks.as_ref().map_or(old.centrality, |ranks| ranks[i]),
            code_owners: owners,
            definitions: documentation.definitions,
            documented: documentation.documented,
            config_kind: ConfigKind::of(path.as_str()).map(|kind| kind.as_str().to_owned()),
            ..old
        };
        if history.is_counted {
            let count = history.commits.counts.get(path);
            facts.commits = count.map_or(0, |count| count.commits);
            facts.authors = count.map_or(0, |count| count.authors);
            facts.main_author = count.map(|count| count.main_author.clone());
            facts.main_commits = count.map_or(0, |count| count.main_commits);
        }
        rows.push(facts);
    }
    let hidden = repo.hidden_configuration().into_iter();
    let hidden = hidden.filter(|(path, _)| names.binary_search(&path.as_str().to_owned()).is_err());
    rows.extend(hidden.map(|(path, kind)| FileFacts {
        path: path.as_str().to_owned(),
        config_kind: Some(kind.as_str().to_owned()),
        ..FileFacts::default()
    }));
    catalog.set_facts(&rows)?;
    if history.is_counted {
        catalog.set_note(note::HEADS, &history.heads)?;
        catalog.set_note(note::STOPPED, stop_word(history.commits.stopped))?;
    }
    Ok(())
}

/// The centrality of each file, in the order of the paths; `None` while the previous values will do.
fn new_centrality(
    catalog: &mut CatalogWriter,
    files: usize,
    changed: usize,
) -> Result<Option<Vec<f64>>> {
    let before = catalog.note(note::CENTRALITY_CHANGES)?;
    let before = before.and_then(|changes| changes.parse::<usize>().ok());
    let changes = before.map(|before| before + changed);
    if let Some(changes) = changes.filter(|changes| changes * FILES_PER_CHANGE <= files) {
        catalog.set_note(note::CENTRALITY_CHANGES, &changes.to_string())?;
        return Ok(None);
    }
    let edges = catalog.reference_graph()?;
    catalog.set_note(note::CENTRALITY_CHANGES, "0")?;
    Ok(Some(page_rank(files, &edges)))
}

fn stop_word(stopped: Option<HistoryStop>) -> &'static str {
    match stopped {
        None => "",
        Some(HistoryStop::Limit) => note::STOPPED_LIMIT,
        Some(HistoryStop::Time) => note::STOPPED_TIME,
        Some(HistoryStop::Shallow) => note::STOPPED_SHALLOW,
    }
}
