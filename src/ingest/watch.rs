//! Watches the folders of roots for changes, without those that ignore rules exclude.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::base::config::Settings;
use crate::base::error::{Error, Result};
use crate::corpus::source::{Repo, SkipReason};

/// Quiet time after a change before it is reported, because editors write in several steps.
const SETTLE: Duration = Duration::from_millis(100);
/// A change is reported after this time even if more follow.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// How often the roots are looked at, because a root that is replaced has no event of its own.
const ROOTS_INTERVAL: Duration = Duration::from_secs(1);
/// Files whose content decides which folders are watched.
const RULE_FILES: [&str; 2] = [".gitignore", ".codeintelignore"];

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

/// What tells a folder from another one that replaced it, perhaps with the number of its inode: device,
/// inode and time of creation. `None` if there is none.
type Identity = Option<(u64, u64, Option<SystemTime>)>;

#[cfg(unix)]
fn identity(path: &Path) -> Identity {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.created().ok()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Identity {
    path.exists().then_some((0, 0, None))
}

/// The folders that are watched. A folder that cannot be is named once, and left out.
struct Folders<'a, F> {
    roots: &'a [PathBuf],
    settings: &'a Settings,
    /// Called with the sentence about a folder that is left out.
    warn: F,
    watcher: RecommendedWatcher,
    watched: HashMap<PathBuf, Identity>,
    named: HashSet<String>,
}

impl<F: Fn(&str)> Folders<'_, F> {
    /// Watches the folders that are there now. The system's limit of watches is an error.
    fn follow(&mut self) -> Result<()> {
        loop {
            match self.follow_once() {
                // A folder that was made before the one above it was watched has no event.
                Ok(true) => {}
                // A root that is gone is looked for until it is back.
                Ok(false) | Err(Error::PathNotFound { .. } | Error::PathUnreadable { .. }) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns whether there were folders that had not been watched.
    fn follow_once(&mut self) -> Result<bool> {
        let repo = Repo::open(self.roots, self.settings)?;
        let listing = repo.list_until(&|| false)?;
        let files = repo.roots().filter(|root| root.is_file()).filter_map(Path::parent);
        let here = listing.folders.into_iter().chain(files.map(Path::to_path_buf));
        let here: HashMap<PathBuf, Identity> =
            here.map(|folder| (folder.clone(), identity(&folder))).collect();
        let gone = |(path, was): &(&PathBuf, &Identity)| here.get(*path) != Some(*was);
        let gone: Vec<PathBuf> =
            self.watched.iter().filter(gone).map(|(path, _)| path.clone()).collect();
        for path in gone {
            self.watched.remove(&path);
            // The system has forgotten a folder that was removed.
            let _ = self.watcher.unwatch(&path);
        }
        let mut has_new = false;
        for (path, identity) in here {
            if self.watched.contains_key(&path) {
                continue;
            }
            match self.watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    has_new = true;
                    self.watched.insert(path, identity);
                }
                Err(error) if is_limit(&error) => return Err(failed(error)),
                Err(error) => self.name(path.display().to_string(), &error.to_string()),
            }
        }
        for left in listing.left_out {
            if left.reason == SkipReason::Unreadable {
                self.name(left.path, "it cannot be read");
            }
        }
        Ok(has_new)
    }

    fn name(&mut self, path: String, why: &str) {
        if self.named.insert(path.clone()) {
            (self.warn)(&format!("{path} is not watched: {why}"));
        }
    }
}

fn is_limit(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        notify::ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::StorageFull,
        _ => false,
    }
}

fn failed(source: notify::Error) -> Error {
    Error::Library {
        part: "notify",
        action: "watch the folders (see fs.inotify.max_user_watches)",
        source: source.into(),
    }
}

/// Calls `changed` when the watch has begun, so that no earlier change is missed, and after each burst of
/// changes under `roots`, with the instant of the first one. Returns when `changed` returns an error or
/// false. A root that is removed or replaced is a change, and is watched again once it is there.
///
/// Changes inside `ignored`, the folder of the index itself, are ignored. `watched` counts the others at
/// once, also while `changed` runs. `warn` is called once for each folder that cannot be watched.
pub fn watch(
    roots: &[PathBuf],
    ignored: &Path,
    settings: &Settings,
    watched: Arc<Watched>,
    warn: impl Fn(&str),
    mut changed: impl FnMut(Instant) -> Result<bool>,
) -> Result<()> {
    // One message stands for any number of changes.
    let (sender, events) = sync_channel(1);
    let ignored = resolved(ignored);
    let counts = move |event: &notify::Event| {
        let reads = matches!(event.kind, EventKind::Access(_));
        let inside = |path: &PathBuf| {
            path.starts_with(&ignored) || path.components().any(|part| part.as_os_str() == ".git")
        };
        // Events that were lost may have been about any file.
        event.need_rescan() || !reads && !event.paths.iter().all(inside)
    };
    // Whether folders may have come or gone.
    let restructured = Arc::new(AtomicBool::new(false));
    let noticed = {
        let (watched, restructured) = (watched.clone(), restructured.clone());
        move |event: notify::Result<notify::Event>| {
            let Some(event) = event.ok().filter(&counts) else { return };
            let is_rules = |path: &PathBuf| RULE_FILES.iter().any(|name| path.ends_with(name));
            let is_content = matches!(event.kind, EventKind::Modify(ModifyKind::Data(_)));
            if !is_content || event.paths.iter().any(is_rules) {
                restructured.store(true, Ordering::SeqCst);
            }
            watched.seen.fetch_add(1, Ordering::SeqCst);
            // It is full while an earlier change waits, and its receiver is gone when the watch has ended.
            let _ = sender.try_send(());
        }
    };
    let watcher = notify::recommended_watcher(noticed).map_err(failed)?;
    let (named, following) = (HashSet::new(), HashMap::new());
    let mut folders = Folders { roots, settings, warn, watcher, watched: following, named };
    let identities = || roots.iter().map(|root| identity(root)).collect::<Vec<_>>();
    // Before the folders are listed, so that a root that is replaced meanwhile is noticed.
    let mut known = identities();
    folders.follow()?;
    // Changes from before the watch have no event.
    if !changed(Instant::now())? {
        return Ok(());
    }
    loop {
        match events.recv_timeout(ROOTS_INTERVAL) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) if identities() == known => continue,
            Err(RecvTimeoutError::Timeout) => {
                watched.seen.fetch_add(1, Ordering::SeqCst);
                restructured.store(true, Ordering::SeqCst);
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        let first = Instant::now();
        loop {
            match events.recv_timeout(SETTLE) {
                Ok(()) if first.elapsed() < SETTLE_MAX => {}
                Ok(()) | Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        known = identities();
        if restructured.swap(false, Ordering::SeqCst) {
            folders.follow()?;
        }
        if !changed(first)? {
            return Ok(());
        }
    }
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
