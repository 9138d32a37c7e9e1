//! How does a file get written whole, and how is it known to be whole when it is read again?

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use rayon::prelude::*;

use crate::base::error::{Error, Result};

/// Bytes hashed by one task; the digest is the hash of the hashes of such blocks.
const BLOCK_BYTES: usize = 1 << 20;

/// Writes `path` by way of a new file beside it and a rename: a hard link of the file that was
/// there keeps its bytes, and a kill leaves the old file or the new one.
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
        sync_folder(path.parent().unwrap_or(Path::new("."))).map_err(io)
    });
    if written.is_err() {
        // The error that matters is the one of the write; the leftover is removed as well as can
        // be.
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// Writes `parts` one after the other.
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

/// Free bytes below which a library that failed at writing is taken to have found no space.
const FREE_BYTES_MIN: u64 = 64 << 10;

/// Tells a full disk from what else may fail a library that writes below `path`: by the words of the
/// system, if the library passes them on, and else by there being no space.
pub(in crate::index) fn or_disk_full(error: Error, path: &Path) -> Error {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let Error::Library { source, .. } = &error else { return error };
    let text = source.to_string();
    let says = |words: &str| text.contains(words);
    let free = || rustix::fs::statvfs(path).map_or(u64::MAX, |disk| disk.f_bavail * disk.f_frsize);
    let kind = match () {
        () if says("No space left on device") => StorageFull,
        () if says("quota exceeded") => QuotaExceeded,
        () if says("File too large") => FileTooLarge,
        () if free() < FREE_BYTES_MIN => StorageFull,
        () => return error,
    };
    Error::io("write", path, std::io::Error::new(kind, text))
}

pub(in crate::index) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Maps a file that is not empty.
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

/// The digest of `bytes` and of a few words about them, on all threads.
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
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left over");
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
