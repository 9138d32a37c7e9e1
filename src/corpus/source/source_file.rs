//! SourceFile: reads one file and checks that it is text.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use super::file_policy::{Choice, FilePolicy};
use super::listing::modified_ns;
use super::text_encoding::{Decoded, decode};
use super::{Entry, FileIdentity, Language, Marks, Repo, RepoPath, SkipReason, notebook};
use crate::base::error::{Error, Result};

/// How often a file that changes while it is read is read again before it is skipped.
const READS_MAX: usize = 8;
/// The coarsest resolution of a file system's clock: two writes within it may have the same time.
const TICK: Duration = Duration::from_millis(10);

/// A text file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    pub path: RepoPath,
    pub language: Language,
    /// As [`Decoded::text`]; of a notebook only the sources of its cells, each on its line.
    pub text: String,
    /// As [`Decoded::encoding`].
    pub encoding: Option<String>,
    /// BLAKE3 of the file's bytes.
    pub hash: [u8; 32],
    pub size_bytes: u64,
    /// Nanoseconds since 1970.
    pub modified_ns: i64,
    pub identity: FileIdentity,
    pub marks: Marks,
    /// What goes into an index of it.
    pub choice: Choice,
}

impl SourceFile {
    /// A file in memory. Its language is detected from its name and first line.
    pub fn from_text(path: &str, text: impl Into<String>) -> Self {
        let (path, text) = (RepoPath::new(path), text.into());
        let (hash, size_bytes) = (blake3::hash(text.as_bytes()).into(), text.len() as u64);
        let (language, text) = language_and_text(&path, text);
        Self {
            language,
            choice: Choice::every_channel(language),
            encoding: None,
            identity: FileIdentity::default(),
            marks: Marks::default(),
            hash,
            size_bytes,
            modified_ns: 0,
            path,
            text,
        }
    }
}

/// The result of reading a file once.
enum Attempt {
    Whole(Vec<u8>, Metadata),
    Skip(SkipReason),
    Changed,
}

impl Repo {
    /// Reads one file of a listing. `Ok(Err(reason))` skips only this file.
    ///
    /// The outer error means that a root no longer exists, so its files must not be taken for deleted.
    pub fn read(&self, entry: &Entry) -> Result<std::result::Result<SourceFile, SkipReason>> {
        for _ in 0..READS_MAX {
            match attempt(&entry.absolute, self.file_bytes_max) {
                Ok(Attempt::Whole(bytes, metadata)) => {
                    return Ok(source_file(entry, bytes, &metadata, &self.policy));
                }
                Ok(Attempt::Skip(reason)) => return Ok(Err(reason)),
                Ok(Attempt::Changed) => {}
                Err(error) => return self.refuse(entry, &error),
            }
        }
        Ok(Err(SkipReason::ChangedWhileRead))
    }

    fn refuse(
        &self,
        entry: &Entry,
        error: &io::Error,
    ) -> Result<std::result::Result<SourceFile, SkipReason>> {
        if error.kind() != io::ErrorKind::NotFound && error.kind() != io::ErrorKind::NotADirectory {
            return Ok(Err(SkipReason::Unreadable));
        }
        match self.locate(&entry.path) {
            Some((root, _)) if !root.is_file && !root.path.is_dir() => {
                Err(Error::PathNotFound { path: root.path.clone() })
            }
            _ => Ok(Err(SkipReason::Vanished)),
        }
    }
}

fn attempt(path: &Path, bytes_max: u64) -> io::Result<Attempt> {
    if std::fs::symlink_metadata(path)?.is_symlink() {
        return Ok(Attempt::Skip(SkipReason::Symlink));
    }
    let mut file = open(path)?;
    let before = file.metadata()?;
    if !before.is_file() {
        return Ok(Attempt::Skip(SkipReason::NotRegular));
    }
    if before.len() > bytes_max {
        return Ok(Attempt::Skip(SkipReason::TooLarge));
    }
    // A write during the read changes the time, unless it falls into the tick of the last write.
    let age = before.modified().ok().and_then(|time| time.elapsed().ok());
    if let Some(rest) = age.and_then(|age| TICK.checked_sub(age)) {
        std::thread::sleep(rest);
    }
    let mut bytes = Vec::with_capacity(before.len() as usize + 1);
    file.by_ref().take(bytes_max + 1).read_to_end(&mut bytes)?;
    let after = file.metadata()?;
    let same = before.len() == after.len() && modified_ns(&before) == modified_ns(&after);
    if !same || bytes.len() as u64 != after.len() {
        return Ok(Attempt::Changed);
    }
    Ok(Attempt::Whole(bytes, after))
}

/// Opens a file without following a link or waiting for the writer of a pipe.
#[cfg(unix)]
pub(in crate::corpus) fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    File::options().read(true).custom_flags(flags).open(path)
}

#[cfg(not(unix))]
pub(in crate::corpus) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

fn source_file(
    entry: &Entry,
    bytes: Vec<u8>,
    metadata: &Metadata,
    policy: &FilePolicy,
) -> std::result::Result<SourceFile, SkipReason> {
    let hash = blake3::hash(&bytes).into();
    let Decoded { text, encoding } = decode(bytes).ok_or(SkipReason::Binary)?;
    let path = entry.path.clone();
    let (language, text) = language_and_text(&path, text);
    Ok(SourceFile {
        choice: policy.choose(&path, language, &text, entry.marks)?,
        language,
        path,
        text,
        encoding,
        hash,
        size_bytes: metadata.len(),
        modified_ns: modified_ns(metadata),
        identity: FileIdentity::of(metadata),
        marks: entry.marks,
    })
}

/// The language of a file, and its text: that of a notebook is the source of its cells.
fn language_and_text(path: &RepoPath, text: String) -> (Language, String) {
    let is_notebook = path.extension() == Some("ipynb");
    match is_notebook.then(|| notebook::cells(&text)).flatten() {
        Some(cells) => cells,
        None => (Language::of(path, &text), text),
    }
}
