//! OutputFile: an output that takes its name, and the place of an older file, only when it is whole.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};

use super::error::{Error, Result};

/// Symbolic links followed to the file that is meant; as many as the kernel follows.
const LINKS_MAX: usize = 40;
/// The open files of this process by number, through which a file without a name gets one.
const DESCRIPTORS: &str = "/proc/self/fd";

/// What tells two files apart, by whichever names they are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileId {
    Existing {
        device: u64,
        inode: u64,
    },
    /// A path without links at which there is no file yet.
    New(PathBuf),
}

impl FileId {
    /// `None` for what is no regular file: a terminal may be read and written at once.
    pub fn new(metadata: &Metadata) -> Option<Self> {
        let id = Self::Existing { device: metadata.dev(), inode: metadata.ino() };
        metadata.is_file().then_some(id)
    }

    /// The file at `path`, which need not exist yet.
    pub fn at(path: &Path) -> Option<Self> {
        match fs::metadata(path) {
            Ok(metadata) => Self::new(&metadata),
            Err(_) => {
                let path = follow(path).ok()?;
                Some(Self::New(folder(&path).canonicalize().ok()?.join(path.file_name()?)))
            }
        }
    }
}

/// A file that is written in one pass and appears under its name when it is finished.
///
/// Until then an older file of that name stays as it is, and dropping the value leaves nothing
/// behind. Where the file system supports it, the unfinished file has no name at all, so not even
/// SIGKILL leaves it behind. Pipes, devices and open descriptors are written directly.
pub struct OutputFile {
    writer: BufWriter<Target>,
    /// As it was given, for messages.
    path: PathBuf,
    id: Option<FileId>,
}

enum Target {
    Stdout(io::Stdout),
    /// A pipe, a device, or an open descriptor of this process.
    Direct(File),
    Fresh(Fresh),
}

/// The unfinished file beside the one that it will replace.
struct Fresh {
    file: File,
    /// Its temporary name, if it has one.
    name: Option<PathBuf>,
    /// The path that it gets; never a symbolic link.
    path: PathBuf,
}

impl OutputFile {
    /// Opens an output: standard output for no path and for `-`.
    ///
    /// name: how the interface calls the argument. used: the files that the command reads, and its
    /// other outputs; an output that is one of them is refused.
    pub fn create(name: &'static str, path: Option<&Path>, used: &[FileId]) -> Result<Self> {
        let refuse = |path: &Path, expected: &str| {
            let value = path.display().to_string();
            Err(Error::Argument { name, value, expected: expected.to_owned() })
        };
        let clash =
            "a file that this command does not read, and that is not another of its outputs";
        let Some(path) = path.filter(|path| *path != "-") else {
            let path = PathBuf::from("standard output");
            let id = fs::metadata("/dev/stdout").ok().and_then(|stdout| FileId::new(&stdout));
            if id.as_ref().is_some_and(|id| used.contains(id)) {
                return refuse(&path, clash);
            }
            return Ok(Self { writer: BufWriter::new(Target::Stdout(io::stdout())), path, id });
        };
        let names_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        if path.as_os_str().is_empty() || names_folder || path.is_dir() {
            return refuse(path, "the name of a file, not of a folder");
        }
        let id = FileId::at(path);
        if id.as_ref().is_some_and(|id| used.contains(id)) {
            return refuse(path, clash);
        }
        let target = Target::open(path).map_err(|e| Error::io("create", path, e))?;
        Ok(Self { writer: BufWriter::new(target), path: path.to_owned(), id })
    }

    /// Whether what was written can still be changed; not so in a pipe.
    pub fn is_rewritable(&self) -> bool {
        matches!(self.writer.get_ref(), Target::Fresh(_))
    }

    /// The file that is written or replaced, if it is a regular one.
    pub fn id(&self) -> Option<&FileId> {
        self.id.as_ref()
    }

    /// Appends `bytes`.
    ///
    /// bytes: `[len]`.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(|e| self.failed(e))
    }

    /// Hands what was written so far to whoever reads it.
    pub fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(|e| self.failed(e))
    }

    /// Overwrites the first bytes of a rewritable output.
    ///
    /// bytes: `[len]`.
    pub fn overwrite_head(&mut self, bytes: &[u8]) -> Result<()> {
        self.flush()?;
        let Target::Fresh(fresh) = self.writer.get_mut() else {
            unreachable!("only a rewritable output is overwritten");
        };
        let file = &mut fresh.file;
        let written = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(bytes));
        written.map_err(|e| self.failed(e))
    }

    /// Gives the file its name, when all of it is on the disk.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        let published = match self.writer.get_mut() {
            Target::Fresh(fresh) => fresh.publish(),
            Target::Stdout(_) | Target::Direct(_) => Ok(()),
        };
        published.map_err(|e| self.failed(e))
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io("write", &self.path, error)
    }
}

impl Target {
    fn open(path: &Path) -> io::Result<Self> {
        let path = follow(path)?;
        let old = match fs::metadata(&path) {
            Ok(old) => Some(old),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if is_descriptor(&path) {
            // What it holds stays: `-o /dev/stdout >> file` appends, as `>> file` does.
            let stdout = fs::metadata("/dev/stdout").ok();
            let inode = |file: &Metadata| (file.dev(), file.ino());
            if old.as_ref().map(inode) == stdout.as_ref().map(inode) {
                return Ok(Self::Stdout(io::stdout()));
            }
            return File::options().append(true).open(&path).map(Self::Direct);
        }
        match old {
            Some(old) if !old.is_file() => {
                File::options().write(true).open(&path).map(Self::Direct)
            }
            old => Fresh::create(path, old.as_ref()).map(Self::Fresh),
        }
    }
}

impl Fresh {
    /// old: the file that it will replace. It must be writable, and the new one takes its
    /// permissions and, where that is allowed, its owner.
    fn create(path: PathBuf, old: Option<&Metadata>) -> io::Result<Self> {
        if old.is_some() {
            File::options().write(true).open(&path)?;
        }
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        let fresh = match rustix::fs::openat(CWD, folder(&path), flags, mode) {
            Ok(file) if Path::new(DESCRIPTORS).is_dir() => {
                Self { file: file.into(), name: None, path }
            }
            // Network file systems have no files without a name.
            _ => {
                let name = beside(&path);
                Self { file: File::create_new(&name)?, name: Some(name), path }
            }
        };
        if let Some(old) = old {
            let (uid, gid) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
            let _ = rustix::fs::fchown(&fresh.file, Some(uid), Some(gid));
            fresh.file.set_permissions(old.permissions())?;
        }
        Ok(fresh)
    }

    fn publish(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => {
                let name = beside(&self.path);
                let open = format!("{DESCRIPTORS}/{}", self.file.as_raw_fd());
                rustix::fs::linkat(CWD, &open, CWD, &name, AtFlags::SYMLINK_FOLLOW)?;
                self.name.insert(name).clone()
            }
        };
        fs::rename(name, &self.path)?;
        self.name = None;
        File::open(folder(&self.path))?.sync_all()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // The error to report is the one that ended the output.
            let _ = fs::remove_file(name);
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::Direct(file) => file.write(bytes),
            Self::Fresh(fresh) => fresh.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::Direct(file) => file.flush(),
            Self::Fresh(fresh) => fresh.file.flush(),
        }
    }
}

/// The file that `path` means: symbolic links are followed, except into the descriptors of a
/// process.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        if is_descriptor(&path) || !fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink()) {
            return Ok(path);
        }
        path = folder(&path).join(fs::read_link(&path)?);
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Whether `path` is an open file of a process, such as `/dev/stdout` leads to.
fn is_descriptor(path: &Path) -> bool {
    let place = folder(path).canonicalize().unwrap_or_default();
    ["/proc", "/dev/fd"].iter().any(|system| place.starts_with(system))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        parent => parent.unwrap_or(Path::new("/")),
    }
}

/// A name that nothing has, in the folder of `path`.
fn beside(path: &Path) -> PathBuf {
    path.with_file_name(format!(".codeintel-{:016x}.tmp", fastrand::u64(..)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn written(path: &Path, text: &str) -> Result<()> {
        let mut output = OutputFile::create("--output", Some(path), &[])?;
        output.append(text.as_bytes())?;
        output.finish()
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| name(e).unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_older_file_stays_until_the_new_one_is_finished_and_its_permissions_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut output = OutputFile::create("--output", Some(&path), &[]).unwrap();
        output.append(b"new").unwrap();
        output.flush().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(output);
        assert_eq!(
            (fs::read(&path).unwrap(), names(folder.path())),
            (b"old".to_vec(), vec!["out".to_owned()])
        );
        let mut output = OutputFile::create("--output", Some(&path), &[]).unwrap();
        output.append(b"xew").unwrap();
        output.overwrite_head(b"n").unwrap();
        output.finish().unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), names(folder.path())),
            (b"new".to_vec(), vec!["out".to_owned()])
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_file_with_a_temporary_name_is_published_and_removed_like_one_without() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let fresh = || {
            let name = beside(&path);
            Fresh { file: File::create_new(&name).unwrap(), name: Some(name), path: path.clone() }
        };
        let unfinished = fresh();
        assert_eq!(names(folder.path()).len(), 1);
        drop(unfinished);
        assert!(names(folder.path()).is_empty());
        fresh().publish().unwrap();
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn a_link_stays_a_link_and_its_target_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("real")).unwrap();
        symlink("real/out", at("one")).unwrap();
        symlink("one", at("two")).unwrap();
        for text in ["created", "replaced"] {
            written(&at("two"), text).unwrap();
            assert_eq!(fs::read_to_string(at("real/out")).unwrap(), text);
            assert!(at("one").is_symlink() && at("two").is_symlink());
        }
        symlink("loop", at("loop")).unwrap();
        assert!(written(&at("loop"), "x").is_err());
    }

    #[test]
    fn an_output_that_is_also_an_input_is_refused_by_any_of_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("in"), "text").unwrap();
        fs::hard_link(at("in"), at("hard")).unwrap();
        symlink("in", at("soft")).unwrap();
        let used = [FileId::at(&at("in")).unwrap()];
        for name in ["in", "hard", "soft", "./in"] {
            let error = OutputFile::create("--output", Some(&at(name)), &used).err().unwrap();
            assert!(error.to_string().contains("does not read"), "{name}: {error}");
        }
        assert_eq!(fs::read(at("in")).unwrap(), b"text");
        let new = OutputFile::create("--output", Some(&at("new")), &used).unwrap();
        let other = OutputFile::create("--html", Some(&at("./new")), &[new.id().unwrap().clone()]);
        assert!(other.err().unwrap().to_string().contains("another of its outputs"));
        for name in ["", "sub/"] {
            let error = OutputFile::create("--output", Some(&at(name)), &used).err().unwrap();
            assert!(error.to_string().contains("not of a folder"), "{name}: {error}");
        }
    }
}
