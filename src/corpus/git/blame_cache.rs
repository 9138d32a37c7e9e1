//! BlameCache: the origins of lines that were looked up before.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use gix::ObjectId;
use gix::bstr::BString;
use parking_lot::Mutex;

use super::line_origins::LineOrigins;

/// Memory of a cache: a file of 1,000 lines has some 40 KB, so these are 800 such files.
const BYTES_MAX: usize = 32 << 20;
/// Memory of an entry beside its lines and origins, and of an origin beside its texts.
const ENTRY_BYTES: usize = 512;
const ORIGIN_BYTES: usize = 256;

/// A committed version of a file. Another HEAD may know another history of the same content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FileKey {
    pub git_dir: PathBuf,
    pub head: ObjectId,
    pub path: BString,
    pub blob: ObjectId,
}

/// Origins of lines by file and version; the files asked for longest ago are dropped first.
pub struct BlameCache {
    bytes_max: usize,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    by_key: HashMap<FileKey, Cached>,
    bytes: usize,
    /// Number of the last use.
    clock: u64,
}

struct Cached {
    origins: Arc<LineOrigins>,
    bytes: usize,
    used: u64,
}

impl Default for BlameCache {
    fn default() -> Self {
        Self::new(BYTES_MAX)
    }
}

impl BlameCache {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, files: Mutex::default() }
    }

    /// The bytes in use, as estimated; at most the maximum.
    pub fn bytes(&self) -> usize {
        self.files.lock().bytes
    }

    pub(super) fn get(&self, key: &FileKey) -> Option<Arc<LineOrigins>> {
        let mut files = self.files.lock();
        files.clock += 1;
        let clock = files.clock;
        let cached = files.by_key.get_mut(key)?;
        cached.used = clock;
        Some(cached.origins.clone())
    }

    pub(super) fn put(&self, key: FileKey, origins: Arc<LineOrigins>) {
        let bytes = bytes(&key, &origins);
        if bytes > self.bytes_max {
            return;
        }
        let mut files = self.files.lock();
        let files = &mut *files;
        files.clock += 1;
        let cached = Cached { origins, bytes, used: files.clock };
        files.bytes += bytes;
        if let Some(replaced) = files.by_key.insert(key, cached) {
            files.bytes -= replaced.bytes;
        }
        while files.bytes > self.bytes_max {
            let oldest = files.by_key.iter().min_by_key(|(_, cached)| cached.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            if let Some(dropped) = files.by_key.remove(&key) {
                files.bytes -= dropped.bytes;
            }
        }
    }
}

fn bytes(key: &FileKey, origins: &LineOrigins) -> usize {
    let texts = |origin: &super::line_origins::Origin| {
        let commit = &origin.commit;
        commit.id.len() + commit.author.len() + commit.summary.len() + origin.path.len()
    };
    let origins_bytes: usize = origins.origins.iter().map(|one| ORIGIN_BYTES + texts(one)).sum();
    let key_bytes = key.git_dir.as_os_str().len() + key.path.len();
    ENTRY_BYTES + key_bytes + origins_bytes + size_of_val(&origins.lines[..])
}
