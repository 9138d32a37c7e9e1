//! Which files differ from the version before?

use std::collections::HashMap;

use rayon::prelude::*;

use crate::base::error::Result;
use crate::corpus::source::{Entry, Listing, Repo, SkipReason, Skipped};
use crate::index::catalog::FileRow;

const NS_PER_S: i64 = 1_000_000_000;

/// What a new version must take in and leave out.
#[derive(Debug, Default)]
pub struct Difference {
    /// New or edited, in the order of the listing.
    pub changed: Vec<Entry>,
    /// Paths of the version before that are edited, gone, or no longer text.
    pub outdated: Vec<String>,
    /// Paths among `outdated` that are not in `changed`.
    pub removed: usize,
    /// Files that hold nothing to index; complete only when there was a version before.
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

/// Compares `listing` with the files of the version before. Files whose size and time are the same
/// are not read; of the others the content decides.
pub fn diff(repo: &Repo, listing: Listing, known: &[FileRow]) -> Result<Difference> {
    let mut difference = Difference { skipped: listing.skipped, ..Difference::default() };
    if known.is_empty() {
        difference.changed = listing.entries;
        return Ok(difference);
    }
    let known: HashMap<&str, &FileRow> = known.iter().map(|row| (row.path.as_str(), row)).collect();
    let judged: Vec<(Entry, Verdict)> = listing
        .entries
        .into_par_iter()
        .map(|entry| {
            let row = known.get(entry.path.as_str()).copied();
            judge(repo, &entry, row).map(|verdict| (entry, verdict))
        })
        .collect::<Result<_>>()?;

    let mut kept = std::collections::HashSet::new();
    for (entry, verdict) in judged {
        match verdict {
            Verdict::Same => {
                kept.insert(entry.path.as_str().to_owned());
            }
            Verdict::Changed => difference.changed.push(entry),
            Verdict::Skipped(reason) => {
                // Of a file that never holds still the state before is better than none.
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

fn judge(repo: &Repo, entry: &Entry, known: Option<&FileRow>) -> Result<Verdict> {
    if let Some(row) = known
        && row.size_bytes == entry.size_bytes
        && row.modified_ns == entry.modified_ns
        // A file written in the second in which it was read may have been written again within one
        // tick of the file system's clock: its content decides.
        && entry.modified_ns < row.indexed_at_s * NS_PER_S
    {
        return Ok(Verdict::Same);
    }
    Ok(match repo.read(entry)? {
        Ok(file) if known.is_some_and(|row| row.hash == file.hash) => Verdict::Same,
        Ok(_) => Verdict::Changed,
        Err(reason) => Verdict::Skipped(reason),
    })
}
