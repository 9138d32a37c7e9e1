//! Difference: the files that differ from the previous version.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::base::error::Result;
use crate::corpus::source::{Entry, Listing, Repo, SkipReason, Skipped};
use crate::index::catalog::FileState;

/// What a new version must add and remove.
#[derive(Debug, Default)]
pub struct Difference {
    /// New or edited, in the order of the listing.
    pub changed: Vec<Entry>,
    /// Paths of the previous version that are edited, gone, or no longer text.
    pub outdated: Vec<String>,
    /// How many paths in `outdated` are not in `changed`.
    pub removed: usize,
    /// Files that were skipped; complete only if there was a previous version.
    pub skipped: Skipped,
}

impl Difference {
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.outdated.is_empty()
    }
}

enum Verdict {
    Same,
    Changed,
    Skipped(SkipReason),
}

/// Compares `listing` with the files of the previous version. A file that looks the same is not
/// read; for other files the content and the attributes decide.
pub fn diff(repo: &Repo, listing: Listing, known: &[FileState]) -> Result<Difference> {
    let mut difference = Difference { skipped: listing.skipped, ..Difference::default() };
    if known.is_empty() {
        difference.changed = listing.entries;
        return Ok(difference);
    }
    let known: HashMap<&str, &FileState> =
        known.iter().map(|state| (state.path.as_str(), state)).collect();
    let verdicts: Vec<(Entry, Verdict)> = listing
        .entries
        .into_par_iter()
        .map(|entry| {
            let row = known.get(entry.path.as_str()).copied();
            compare(repo, &entry, row).map(|verdict| (entry, verdict))
        })
        .collect::<Result<_>>()?;

    let mut kept = std::collections::HashSet::new();
    for (entry, verdict) in verdicts {
        match verdict {
            Verdict::Same => {
                kept.insert(entry.path.as_str().to_owned());
            }
            Verdict::Changed => difference.changed.push(entry),
            Verdict::Skipped(reason) => {
                // Of a file that changes all the time, the previous state is better than none.
                if reason == SkipReason::ChangedWhileRead {
                    kept.insert(entry.path.as_str().to_owned());
                }
                difference.skipped.add(reason);
            }
        }
    }
    difference.outdated =
        known.keys().filter(|path| !kept.contains(**path)).map(|path| path.to_string()).collect();
    difference.outdated.sort();
    let edited = difference.changed.iter().filter(|e| known.contains_key(e.path.as_str())).count();
    difference.removed = difference.outdated.len() - edited;
    Ok(difference)
}

fn compare(repo: &Repo, entry: &Entry, known: Option<&FileState>) -> Result<Verdict> {
    if known.is_some_and(|state| state.is(entry)) {
        return Ok(Verdict::Same);
    }
    Ok(match repo.read(entry)? {
        Ok(file) if known.is_some_and(|state| state.holds(&file)) => Verdict::Same,
        Ok(_) => Verdict::Changed,
        Err(reason) => Verdict::Skipped(reason),
    })
}
