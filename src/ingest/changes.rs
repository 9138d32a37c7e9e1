//! How many files on disk differ from a version of the index.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;

use crate::base::error::Result;
use crate::corpus::source::{Entry, Repo};
use crate::index::catalog::{Catalog, FileState};

/// The number of files under `repo` that were edited, added or removed since the version of `catalog`;
/// `None` if it was not known at `deadline`.
///
/// A file is opened only if it looks changed and its size is the same, or if it may be new, because an
/// edit can be undone and not every file is indexed.
pub fn changed_files(repo: &Repo, catalog: &Catalog, deadline: Instant) -> Result<Option<usize>> {
    let is_over = || Instant::now() >= deadline;
    let listing = repo.list_until(&is_over)?;
    if is_over() {
        return Ok(None);
    }
    let states = catalog.file_states()?;
    // A file that is in no version and older than all of its rows was skipped.
    let began_s = states.iter().map(|state| state.indexed_at_s).min().unwrap_or_default();
    let known: HashMap<&str, &FileState> =
        states.iter().map(|state| (state.path.as_str(), state)).collect();
    let mut here = 0;
    let mut changed = 0;
    let mut unsure = Vec::new();
    for entry in &listing.entries {
        let state = known.get(entry.path.as_str()).copied();
        here += usize::from(state.is_some());
        match state {
            Some(state) if state.size_bytes != entry.size_bytes => changed += 1,
            Some(state) if state.is(entry) => {}
            Some(_) => unsure.push((entry, state)),
            None if exists_since_s(&entry.absolute) >= began_s => unsure.push((entry, None)),
            None => {}
        }
    }
    let differs = |(entry, state): (&Entry, Option<&FileState>)| -> Result<usize> {
        if is_over() {
            return Ok(0);
        }
        let file = repo.read(entry)?;
        Ok(usize::from(match (file, state) {
            (Ok(file), Some(state)) => !state.holds(&file),
            (Ok(_), None) | (Err(_), Some(_)) => true,
            (Err(_), None) => false,
        }))
    };
    let read: usize = unsure.into_par_iter().map(differs).sum::<Result<usize>>()?;
    Ok((!is_over()).then_some(changed + read + known.len() - here))
}

/// Seconds since 1970 at which a file came to its path or changed.
#[cfg(unix)]
fn exists_since_s(path: &Path) -> i64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path).map_or(0, |metadata| metadata.ctime())
}

#[cfg(not(unix))]
fn exists_since_s(_: &Path) -> i64 {
    i64::MAX
}
