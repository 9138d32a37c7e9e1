//! Files of an index: replaced in one step, synced, mapped and checksummed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use rayon::prelude::*;

use crate::base::error::{Error, Result};

/// Bytes hashed by one task; the digest is the hash of the hashes of such blocks.
const BLOCK_BYTES: usize = 1 << 20;

/// Replaces `path` by a file that `write` makes beside it and that is then renamed. A hard link to the
/// old file keeps its bytes, and a process that is killed leaves the old file or the new one.
pub(in crate::index) fn replace(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let fresh = beside(path);
    let io = |source| Error::io("write", path, source);
    remove_if_there(&fresh).map_err(io)?;
    let written = write(&fresh).and_then(|()| {
        File::open(&fresh).and_then(|file| file.sync_all()).map_err(io)?;
        fs::rename(&fresh, path).map_err(io)?;
        sync_folder(path.parent().unwrap_or(Path::new(".")))
    });
    if written.is_err() {
        // The error to report is the one of the write, whether or not the new file can be removed.
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// Replaces `path` by a file that consists of `parts`.
///
/// parts: any number of byte strings `[len]`.
pub(in crate::index) fn replace_with(path: &Path, parts: &[&[u8]]) -> Result<()> {
    replace(path, |fresh| {
        let io = |source| Error::io("write", path, source);
        let mut file = File::create_new(fresh).map_err(io)?;
        parts.iter().try_for_each(|part| file.write_all(part)).map_err(io)
    })
}

pub(in crate::index) fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Below this much free space, in bytes, a failed write is taken for one without space.
const FREE_BYTES_MIN: u64 = 64 << 10;

/// Turns the failure of a library that writes below `path` into `DiskFull` where that is the cause.
///
/// Some libraries pass on the words of the system and no code, some not even these. Then the free
/// space decides.
pub(in crate::index) fn or_disk_full(error: Error, path: &Path) -> Error {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let Error::Library { source, .. } = &error else { return error };
    let text = source.to_string();
    let free = || rustix::fs::statvfs(path).map_or(u64::MAX, |disk| disk.f_bavail * disk.f_frsize);
    let kind = if text.contains("quota exceeded") {
        QuotaExceeded
    } else if text.contains("File too large") {
        FileTooLarge
    } else if text.contains("No space left on device") || free() < FREE_BYTES_MIN {
        StorageFull
    } else {
        return error;
    };
    Error::io("write", path, std::io::Error::new(kind, text))
}

pub(super) fn sync_file(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| Error::io("sync", path, e))
}

/// Makes the names in a folder durable.
pub(in crate::index) fn sync_folder(folder: &Path) -> Result<()> {
    sync_file(folder)
}

/// Maps a file into memory. A missing or empty one is `IndexCorrupt`.
pub(in crate::index) fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => corrupt(path, "it is missing"),
        _ => Error::PathUnreadable { path: path.to_path_buf(), source },
    })?;
    let length = file.metadata().map_err(|source| Error::io("read", path, source))?.len();
    if length == 0 {
        return Err(corrupt(path, "it is empty"));
    }
    // SAFETY: files of an index are immutable: they are only ever replaced by rename, which leaves
    // the mapped inode as it is, so the bytes neither change nor shrink under the mapping.
    unsafe { Mmap::map(&file) }.map_err(|source| Error::io("map", path, source))
}

/// BLAKE3 of a whole file, 64 hexadecimal digits: the checksum in a manifest.
pub(super) fn checksum(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap_rayon(path).map_err(|e| Error::io("read", path, e))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// The digest of `bytes` and of the header `about` them, computed on all threads.
///
/// bytes: `[len]`; about: `[any]`.
pub(in crate::index) fn digest(bytes: &[u8], about: &[u8]) -> [u8; 32] {
    let blocks: Vec<[u8; 32]> =
        bytes.par_chunks(BLOCK_BYTES).map(|block| *blake3::hash(block).as_bytes()).collect();
    let mut whole = blake3::Hasher::new();
    whole.update(about);
    blocks.iter().for_each(|block| {
        whole.update(block);
    });
    *whole.finalize().as_bytes()
}

pub(in crate::index) fn corrupt(path: &Path, detail: impl Into<String>) -> Error {
    Error::IndexCorrupt { path: path.to_path_buf(), detail: detail.into() }
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!("{name}.new"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_a_file_leaves_its_hard_links_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (one, link) = (folder.path().join("one"), folder.path().join("link"));
        replace_with(&one, &[b"old"]).unwrap();
        fs::hard_link(&one, &link).unwrap();
        replace_with(&one, &[b"ne", b"w"]).unwrap();
        assert_eq!(fs::read(&one).unwrap(), b"new");
        assert_eq!(fs::read(&link).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
    }

    #[test]
    fn a_digest_sees_every_byte_and_the_words_about_it() {
        let mut bytes = vec![7u8; 3 * BLOCK_BYTES / 2];
        let before = digest(&bytes, b"a");
        assert_ne!(before, digest(&bytes, b"b"));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_ne!(before, digest(&bytes, b"a"));
    }

    #[test]
    fn a_missing_or_empty_file_is_a_damaged_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert!(matches!(map(&path), Err(Error::IndexCorrupt { .. })));
        fs::write(&path, b"").unwrap();
        assert!(map(&path).unwrap_err().to_string().contains("empty"));
    }
}
