//! Watches folders for changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use notify::{EventKind, RecursiveMode, Watcher};

use crate::base::error::{Error, Result};

/// Quiet time after a change before it is reported, because editors write in several steps.
const SETTLE: Duration = Duration::from_millis(100);
/// A change is reported after this time even if more follow.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// What a watch knows: whether files have changed since the last update began that succeeded.
#[derive(Debug)]
pub struct Watched {
    /// Changes that were seen, and those that an update has taken in.
    seen: AtomicU64,
    updated: AtomicU64,
}

impl Default for Watched {
    /// Changes from before the watch are not known.
    fn default() -> Self {
        Self { seen: AtomicU64::new(1), updated: AtomicU64::new(0) }
    }
}

impl Watched {
    /// Whether no file has changed since the last successful update began.
    pub fn is_up_to_date(&self) -> bool {
        self.seen.load(Ordering::SeqCst) == self.updated.load(Ordering::SeqCst)
    }

    /// The changes so far, for [`Watched::updated`].
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }

    /// Records that the index has the changes up to `seen`, which was read before they were looked for.
    pub fn updated(&self, seen: u64) {
        self.updated.store(seen, Ordering::SeqCst);
    }
}

/// `path` with all links resolved, also if the end of it does not exist yet.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let existing = path.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    match existing {
        Some((part, real)) => real.join(path.strip_prefix(part).unwrap_or(Path::new(""))),
        None => path,
    }
}

/// Calls `changed` when the watch has begun, so that no earlier change is missed, and after each burst of
/// changes under `roots`, with the instant of the first one. Returns when `changed` returns an error or
/// false.
///
/// Changes inside `ignored`, the folder of the index itself, are ignored. `watched` counts the others at
/// once, also while `changed` runs.
pub fn watch(
    roots: &[PathBuf],
    ignored: &Path,
    watched: Arc<Watched>,
    mut changed: impl FnMut(Instant) -> Result<bool>,
) -> Result<()> {
    // One message stands for any number of changes.
    let (sender, events) = sync_channel(1);
    let failed = |source: notify::Error| Error::Library {
        part: "notify",
        action: "watch the folders (see fs.inotify.max_user_watches)",
        source: source.into(),
    };
    let ignored = resolved(ignored);
    let counts = move |event: &notify::Event| {
        let reads = matches!(event.kind, EventKind::Access(_));
        let inside = |path: &PathBuf| {
            path.starts_with(&ignored) || path.components().any(|part| part.as_os_str() == ".git")
        };
        // Events that were lost may have been about any file.
        event.need_rescan() || !reads && !event.paths.iter().all(inside)
    };
    let noticed = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| counts(&event)) {
            watched.seen.fetch_add(1, Ordering::SeqCst);
            // It is full while an earlier change waits, and its receiver is gone when the watch has ended.
            let _ = sender.try_send(());
        }
    };
    let mut watcher = notify::recommended_watcher(noticed).map_err(failed)?;
    for root in roots {
        watcher.watch(root, RecursiveMode::Recursive).map_err(failed)?;
    }
    // Changes from before the watch have no event.
    if !changed(Instant::now())? {
        return Ok(());
    }
    while let Ok(()) = events.recv() {
        let first = Instant::now();
        loop {
            match events.recv_timeout(SETTLE) {
                Ok(()) if first.elapsed() < SETTLE_MAX => {}
                Ok(()) | Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        if !changed(first)? {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn links_before_a_folder_that_does_not_exist_yet_are_resolved() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
        assert_eq!(resolved(&root.join("link/data")), root.join("real/data"));
        assert_eq!(resolved(&root.join("link")), root.join("real"));
    }
}
