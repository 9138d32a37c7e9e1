//! A cache segment on disk, safe against a kill at any instant.
//!
//! A segment is two append-only files of one writer. `<stem>.vec` holds the vectors, `[n, d]`
//! row-major f32, little-endian. `<stem>.key` holds a header of 48 bytes (magic, d, model) followed
//! by an entry of 40 bytes for each vector: key 32, usage 4, checksum 4. A vector is written before
//! its entry, so every entry refers to a vector that is on disk. A reader ignores everything after
//! the last complete pair. The writer holds a lock on the key file for its whole lifetime.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Key, Record};
use crate::base::error::{Error, Result};

const MAGIC: &[u8; 8] = b"CIVEC\0\0\x01";
const HEADER_BYTES: usize = 48;
const ENTRY_BYTES: usize = 40;

/// The model and the dimension of a segment's vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub model: [u8; 32],
    pub d: usize,
}

impl Owner {
    pub fn record_bytes(&self) -> u64 {
        (ENTRY_BYTES + self.d * 4) as u64
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8..16].copy_from_slice(&(self.d as u64).to_le_bytes());
        header[16..].copy_from_slice(&self.model);
        header
    }
}

/// One entry of a key file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub key: Key,
    pub usage: u32,
    /// The checksum over key, usage and vector: see [`check`].
    pub check: u32,
}

impl Entry {
    /// bytes: `[40]`.
    fn parse(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let key = Key(bytes[..32].try_into().expect("32 bytes"));
        Self { key, usage: word(32), check: word(36) }
    }
}

/// The checksum that an entry must have. vector: `[d * 4]` bytes.
pub(super) fn check(key: &Key, usage: u32, vector: &[u8]) -> u32 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&key.0).update(&usage.to_le_bytes()).update(vector);
    let hash = hasher.finalize();
    u32::from_le_bytes(hash.as_bytes()[..4].try_into().expect("4 bytes"))
}

/// A segment found on disk.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    /// The path of both files without the extension. Names sort from oldest to newest.
    pub stem: PathBuf,
    pub bytes: u64,
}

/// Lists the segments of `folder`, oldest first, and removes vector files without a key file.
pub(super) fn list(folder: &Path) -> Result<Vec<Listed>> {
    let failed = |e| Error::io("list", folder, e);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let size = |path: &Path| fs::metadata(path).map_or(0, |m| m.len());
        match path.extension().and_then(|e| e.to_str()) {
            Some("key") => {
                let vectors = path.with_extension("vec");
                let bytes = size(&path) + size(&vectors);
                found.push(Listed { stem: path.with_extension(""), bytes });
            }
            // The key file is created first and removed first, so without it no writer is active.
            Some("vec") if !path.with_extension("key").exists() => drop(fs::remove_file(&path)),
            _ => {}
        }
    }
    found.sort_by(|a, b| a.stem.cmp(&b.stem));
    Ok(found)
}

/// Removes a segment. A process that has it open can continue to read it.
pub(super) fn remove(stem: &Path) {
    // Another process may have removed it already. A file that remains is removed later.
    let _ = fs::remove_file(stem.with_extension("key"));
    let _ = fs::remove_file(stem.with_extension("vec"));
}

/// Locks and returns the key file, unless a running writer holds the lock.
pub(super) fn claim(stem: &Path) -> Option<File> {
    let file = File::open(stem.with_extension("key")).ok()?;
    file.try_lock().ok().map(|()| file)
}

/// A segment open for reading.
#[derive(Debug)]
pub(super) struct Reader {
    pub stem: PathBuf,
    vectors: File,
}

impl Reader {
    /// Opens a segment and returns its complete entries, or `None` if the segment was removed or
    /// belongs to another owner.
    pub fn open(stem: &Path, owner: &Owner) -> Option<(Self, Vec<Entry>)> {
        let keys = fs::read(stem.with_extension("key")).ok()?;
        if keys.get(..HEADER_BYTES)? != owner.header() {
            return None;
        }
        let vectors = File::open(stem.with_extension("vec")).ok()?;
        let whole = vectors.metadata().ok()?.len() / (owner.d as u64 * 4);
        let entries = keys[HEADER_BYTES..].chunks_exact(ENTRY_BYTES).map(Entry::parse);
        let entries = entries.take(usize::try_from(whole).unwrap_or(usize::MAX)).collect();
        Some((Self { stem: stem.to_path_buf(), vectors }, entries))
    }

    /// Fills `bytes`, `[d * 4]`, with vector `record`.
    pub fn read(&self, record: u32, bytes: &mut [u8]) -> io::Result<()> {
        self.vectors.read_exact_at(bytes, u64::from(record) * bytes.len() as u64)
    }
}

/// A segment open for writing.
#[derive(Debug)]
pub(super) struct Writer {
    pub stem: PathBuf,
    keys: File,
    vectors: File,
    /// Records written so far.
    pub n: u32,
    /// Bytes written so far to both files.
    pub bytes: u64,
}

impl Writer {
    pub fn create(folder: &Path, owner: &Owner) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{:020}-{}-{count}", since.as_nanos(), std::process::id());
        let stem = folder.join(name);
        let create = |extension: &str| {
            let path = stem.with_extension(extension);
            let made = OpenOptions::new().append(true).create_new(true).open(&path);
            made.map_err(|e| Error::io("create", &path, e))
        };
        let mut keys = create("key")?;
        keys.lock().map_err(|e| Error::io("lock", &stem, e))?;
        let vectors = create("vec")?;
        keys.write_all(&owner.header()).map_err(|e| Error::io("write", &stem, e))?;
        Ok(Self { stem, keys, vectors, n: 0, bytes: HEADER_BYTES as u64 })
    }

    /// Whether the segment still exists on disk.
    pub fn is_linked(&self) -> bool {
        self.stem.with_extension("key").exists()
    }

    /// Appends `records` and returns their checksums. After an error the writer must not be used
    /// again.
    pub fn append(&mut self, records: &[Record<'_>]) -> Result<Vec<u32>> {
        let mut vectors = Vec::new();
        let mut entries = Vec::new();
        let mut checks = Vec::with_capacity(records.len());
        for record in records {
            let from = vectors.len();
            vectors.extend(record.vector.iter().flat_map(|v| v.to_le_bytes()));
            let usage = record.usage.pack();
            let check = check(&record.key, usage, &vectors[from..]);
            entries.extend_from_slice(&record.key.0);
            entries.extend_from_slice(&usage.to_le_bytes());
            entries.extend_from_slice(&check.to_le_bytes());
            checks.push(check);
        }
        let written = self.vectors.write_all(&vectors).and_then(|()| self.keys.write_all(&entries));
        written.map_err(|e| Error::io("write", &self.stem, e))?;
        self.n += records.len() as u32;
        self.bytes += (vectors.len() + entries.len()) as u64;
        Ok(checks)
    }

    /// Opens the same segment for reading.
    pub fn reader(&self) -> Result<Reader> {
        let path = self.stem.with_extension("vec");
        let vectors = File::open(&path).map_err(|e| Error::io("open", &path, e))?;
        Ok(Reader { stem: self.stem.clone(), vectors })
    }
}
