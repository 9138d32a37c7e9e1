//! Watches folders for changes.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use notify::{EventKind, RecursiveMode, Watcher};

use crate::base::error::{Error, Result};

/// Quiet time after a change before it is reported, because editors write in several steps.
const SETTLE: Duration = Duration::from_millis(100);
/// A change is reported after this time even if more follow.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Calls `changed` when the watch has begun, so that no earlier change is missed, and after each burst of
/// changes under `roots`, with the instant of the first one. Returns when `changed` returns an error or
/// false.
///
/// Changes inside `ignored`, the folder of the index itself, are ignored.
pub fn watch(
    roots: &[PathBuf],
    ignored: &Path,
    mut changed: impl FnMut(Instant) -> Result<bool>,
) -> Result<()> {
    let (sender, events) = channel();
    let failed = |source: notify::Error| Error::Library {
        part: "notify",
        action: "watch the folders (see fs.inotify.max_user_watches)",
        source: source.into(),
    };
    let mut watcher = notify::recommended_watcher(sender).map_err(failed)?;
    for root in roots {
        watcher.watch(root, RecursiveMode::Recursive).map_err(failed)?;
    }
    // Changes from before the watch have no event.
    if !changed(Instant::now())? {
        return Ok(());
    }
    let ignored = ignored.canonicalize().unwrap_or_else(|_| ignored.to_path_buf());
    let counts = |event: &notify::Event| {
        let reads = matches!(event.kind, EventKind::Access(_));
        let inside = |path: &PathBuf| {
            path.starts_with(&ignored) || path.components().any(|part| part.as_os_str() == ".git")
        };
        !reads && !event.paths.iter().all(inside)
    };
    while let Ok(event) = events.recv() {
        if !event.is_ok_and(|event| counts(&event)) {
            continue;
        }
        let first = Instant::now();
        loop {
            match events.recv_timeout(SETTLE) {
                Ok(_) if first.elapsed() < SETTLE_MAX => {}
                Ok(_) | Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        if !changed(first)? {
            return Ok(());
        }
    }
    Ok(())
}
