//! Changes: how many files differ from the index that answers, counted beside the answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;

use super::App;
use crate::corpus::source::Repo;
use crate::ingest::{Watched, changed_files};
use crate::search::Searcher;

/// How long counting may take.
const COUNT_MAX: Duration = Duration::from_millis(100);
/// How long a count is kept, from its beginning.
const KEPT: Duration = Duration::from_secs(2);

/// The last count, and the watcher that makes counting needless.
#[derive(Default)]
pub(super) struct Changes {
    last: Mutex<Option<Arc<Count>>>,
    watched: Mutex<Option<Arc<Watched>>>,
}

/// A count that may not have ended.
struct Count {
    version: String,
    began: Instant,
    /// Disconnected once the count has ended.
    ended: Receiver<()>,
    files: Mutex<Option<usize>>,
}

/// The number of changed files of one answer.
pub(super) struct ChangedFiles(Known);

enum Known {
    Now(Option<usize>),
    Soon(Arc<Count>),
}

impl ChangedFiles {
    /// The number, or `None` if it is not known in time or the files are not on this machine.
    pub fn wait(self) -> Option<usize> {
        match self.0 {
            Known::Now(files) => files,
            Known::Soon(count) => {
                let _ = count.ended.recv_deadline(count.began + COUNT_MAX);
                *count.files.lock()
            }
        }
    }
}

impl Changes {
    /// Lets a watcher say when nothing has changed; `None` when it has ended.
    pub fn follow(&self, watched: Option<Arc<Watched>>) {
        *self.watched.lock() = watched;
    }
}

impl App {
    /// Begins to count the files that differ from the version of `searcher`, on another thread.
    pub(super) fn changed_files(&self, searcher: &Arc<Searcher>) -> ChangedFiles {
        let Changes { last, watched } = self.changes();
        if watched.lock().as_ref().is_some_and(|watched| watched.is_up_to_date()) {
            return ChangedFiles(Known::Now(Some(0)));
        }
        let version = &searcher.version().manifest.version;
        let mut last = last.lock();
        let fresh = |count: &&Arc<Count>| count.version == *version && count.began.elapsed() < KEPT;
        if let Some(count) = last.as_ref().filter(fresh) {
            return ChangedFiles(Known::Soon(count.clone()));
        }
        let (ending, ended) = bounded(0);
        let began = Instant::now();
        let (version, files) = (version.clone(), Mutex::new(None));
        let count = Arc::new(Count { version, began, ended, files });
        *last = Some(count.clone());
        let (app, searcher, counted) = (self.clone(), searcher.clone(), count.clone());
        let work = move || {
            let _ending = ending;
            *counted.files.lock() = app.count(&searcher, began + COUNT_MAX);
        };
        // Without a thread, the number stays unknown.
        let _ = std::thread::Builder::new().name("changes".to_owned()).spawn(work);
        ChangedFiles(Known::Soon(count))
    }

    fn count(&self, searcher: &Searcher, deadline: Instant) -> Option<usize> {
        let roots = searcher.version().manifest.roots.iter().map(PathBuf::from);
        let repo = Repo::open(&roots.collect::<Vec<_>>(), self.settings()).ok()?;
        changed_files(&repo, searcher.catalog(), deadline).ok()?
    }
}

/// The sentence about files that have changed, if there are any.
pub fn changed_note(files: Option<usize>) -> Option<String> {
    let files = files.filter(|files| *files > 0)?;
    let have = if files == 1 { "has" } else { "have" };
    Some(format!("{} {have} changed since the index was made", super::counted(files, "file")))
}

/// What to do about it.
pub(super) const UPDATE: &str = "update the index: the tool reindex, or codeintel index";
