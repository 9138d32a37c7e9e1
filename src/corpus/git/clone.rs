//! A shallow clone of a repository elsewhere, made and updated by the command `git`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::base::config::process_env;
use crate::base::error::{Error, Result};

/// The protocols of an address.
const SCHEMES: [&str; 3] = ["https", "ssh", "file"];
/// Bytes kept of what git writes, for the message of an error.
const KEPT_BYTES: usize = 8 << 10;
/// Variables that would make git work on another repository.
const FOREIGN: [&str; 4] = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"];

/// The address of a repository, and which state of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneAddress {
    url: String,
    /// A branch, a tag or a commit; the default branch if absent.
    reference: Option<String>,
    /// The folder of the clone, relative to that of all clones.
    folder: PathBuf,
}

/// A clone on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneFolder {
    pub path: PathBuf,
    /// The commit that is checked out, as hexadecimal digits.
    pub commit: String,
}

impl CloneAddress {
    /// Whether `text` is an address and not a path.
    pub fn is_meant(text: &str) -> bool {
        text.contains("://")
    }

    /// Reads `https://host/owner/repo[.git][@ref]`, also with `ssh://` and `file://`.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |expected: &str| Error::Argument {
            name: "address",
            value: without_password(text),
            expected: expected.to_owned(),
        };
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        if !SCHEMES.contains(&scheme) {
            return Err(refuse("an address that begins with https://, ssh:// or file://"));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        if user.contains(':') || (!user.is_empty() && scheme == "https") {
            return Err(refuse(
                "an address without a user and a password; git takes them from its credential helper",
            ));
        }
        let (path, reference) = match path.split_once('@') {
            Some((path, reference)) => (path, Some(reference.to_owned())),
            None => (path, None),
        };
        if reference.as_deref().is_some_and(|reference| !is_reference(reference)) {
            return Err(refuse("after @ the name of a branch or a tag, or a whole commit id"));
        }
        let parts = path.trim_end_matches('/').trim_end_matches(".git").trim_end_matches('/');
        let parts: Vec<&str> = parts.split('/').filter(|part| !part.is_empty()).collect();
        let is_local = scheme == "file";
        if parts.is_empty() || (host.is_empty() != is_local) || host.starts_with('-') {
            return Err(refuse(
                "an address such as https://host/owner/repo or file:///folder/repo",
            ));
        }
        let host = if is_local { "file" } else { host };
        let folder = std::iter::once(host).chain(parts).map(encoded).collect();
        Ok(Self { url: format!("{scheme}://{authority}/{path}"), reference, folder })
    }

    /// Makes the clone below the folder `clones`, or updates it. If that fails, a new clone leaves
    /// nothing behind and an old one stays as it is. `progress` gets what git writes for a terminal.
    pub fn fetch(&self, clones: &Path, progress: &mut dyn FnMut(&[u8])) -> Result<CloneFolder> {
        let path = clones.join(&self.folder);
        fs::create_dir_all(clones).map_err(|e| Error::io("create", clones, e))?;
        let lock = clones.join("LOCK");
        let lock_file = File::create(&lock).map_err(|e| Error::io("create", &lock, e))?;
        // Released when the file is closed.
        lock_file.lock().map_err(|e| Error::io("lock", &lock, e))?;
        if path.join(".git").is_dir() {
            return self.check_out(&path, progress).map(|commit| CloneFolder { path, commit });
        }
        let mut beside = path.clone().into_os_string();
        beside.push(".partial");
        let beside = PathBuf::from(beside);
        let made = self.make(&beside, &path, progress);
        if made.is_err() {
            let _ = fs::remove_dir_all(&beside);
            let parents = beside.ancestors().skip(1).take_while(|parent| *parent != clones);
            // Succeeds for those that only this clone needed.
            let _ = parents.map(fs::remove_dir).take_while(|removed| removed.is_ok()).count();
        }
        made.map(|commit| CloneFolder { path, commit })
    }

    /// Clones into the folder `beside`, which becomes `path`.
    fn make(&self, beside: &Path, path: &Path, progress: &mut dyn FnMut(&[u8])) -> Result<String> {
        if beside.exists() {
            fs::remove_dir_all(beside).map_err(|e| Error::io("remove", beside, e))?;
        }
        fs::create_dir_all(beside).map_err(|e| Error::io("create", beside, e))?;
        self.git(beside, &["init", "--quiet"], progress)?;
        let commit = self.check_out(beside, progress)?;
        fs::rename(beside, path).map_err(|e| Error::io("rename", beside, e))?;
        Ok(commit)
    }

    /// Fetches the commit that is meant, checks it out, and returns its id.
    fn check_out(&self, folder: &Path, progress: &mut dyn FnMut(&[u8])) -> Result<String> {
        let reference = self.reference.as_deref().unwrap_or("HEAD");
        let fetch = ["fetch", "--depth=1", "--no-tags", "--progress", "--", &self.url, reference];
        self.git(folder, &fetch, progress)?;
        let quiet = &mut |_: &[u8]| {};
        self.git(folder, &["checkout", "--quiet", "--force", "--detach", "FETCH_HEAD"], quiet)?;
        let commit = self.git(folder, &["rev-parse", "HEAD"], quiet)?;
        Ok(commit.trim().to_owned())
    }

    /// Runs git in `folder` and returns its output.
    fn git(&self, folder: &Path, args: &[&str], progress: &mut dyn FnMut(&[u8])) -> Result<String> {
        let mut command = Command::new("git");
        for name in FOREIGN {
            command.env_remove(name);
        }
        command
            .args(["-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false"])
            // A transfer that has stalled for a minute is given up.
            .args(["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60"])
            .args(args)
            .current_dir(folder)
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", SCHEMES.join(":"))
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if process_env("GIT_SSH_COMMAND").is_none() && process_env("GIT_SSH").is_none() {
            command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=30");
        }
        let mut child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Unavailable {
                what: "the command git".to_owned(),
                remedy: "install git, or clone the repository yourself and index its folder"
                    .to_owned(),
            },
            _ => Error::io("start", Path::new("git"), source),
        })?;
        let unreadable = |source| Error::io("read the output of", Path::new("git"), source);
        let kept = match child.stderr.take() {
            Some(stderr) => follow(stderr, progress).map_err(unreadable)?,
            None => Vec::new(),
        };
        let mut out = String::new();
        if let Some(stdout) = &mut child.stdout {
            stdout.read_to_string(&mut out).map_err(unreadable)?;
        }
        let status = child.wait().map_err(unreadable)?;
        if status.success() {
            return Ok(out);
        }
        Err(self.refused(&String::from_utf8_lossy(&kept)))
    }

    /// The error for what git wrote when it failed.
    fn refused(&self, written: &str) -> Error {
        let says = |parts: &[&str]| parts.iter().any(|part| written.contains(part));
        let lines = written.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
        let fatal = |line: &&str| line.starts_with("fatal:") || line.starts_with("error:");
        let line = lines.clone().find(fatal).or_else(|| lines.clone().next_back());
        let line = line.unwrap_or("git failed without a message");
        if says(&["couldn't find remote ref", "not our ref", "no such remote ref"]) {
            return Error::Argument {
                name: "ref",
                value: self.reference.clone().unwrap_or_else(|| "HEAD".to_owned()),
                expected: format!("a branch, a tag or a whole commit id of {}", self.url),
            };
        }
        let unreachable = [
            "Could not resolve host",
            "Failed to connect",
            "Couldn't connect",
            "Connection refused",
            "Connection timed out",
            "Network is unreachable",
            "Operation too slow",
        ];
        if says(&unreachable) {
            return Error::Unavailable {
                what: self.url.clone(),
                remedy: format!("its host cannot be reached ({line}); check the network"),
            };
        }
        Error::Unavailable {
            what: self.url.clone(),
            remedy: format!(
                "git cannot read it ({line}); check the address, and that git can read it without a prompt"
            ),
        }
    }
}

/// Reads until the end, passes everything on, and returns the last part of it.
fn follow(mut from: impl Read, progress: &mut dyn FnMut(&[u8])) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut buffer = [0; 4 << 10];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => return Ok(kept),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        progress(&buffer[..n]);
        kept.extend_from_slice(&buffer[..n]);
        let excess = kept.len().saturating_sub(KEPT_BYTES);
        kept.drain(..excess);
    }
}

/// Whether git can only read `text` as a name.
fn is_reference(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/+".contains(c);
    !text.is_empty()
        && !text.starts_with(['-', '+'])
        && !text.contains("..")
        && text.chars().all(plain)
}

/// A part of an address as the name of a folder; different parts have different names.
fn encoded(part: &str) -> String {
    let mut name = String::with_capacity(part.len());
    for (i, byte) in part.bytes().enumerate() {
        let plain =
            byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || (byte == b'.' && i > 0);
        if plain {
            name.push(byte.into());
        } else {
            name += &format!("%{byte:02X}");
        }
    }
    name
}

/// An address as messages show it.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    match rest.split_once('@') {
        Some((user, rest)) if !user.contains('/') => format!("{scheme}://…@{rest}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_folder_and_its_state() {
        for (text, url, reference, folder) in [
            ("https://h.org/o/r", "https://h.org/o/r", None, "h.org/o/r"),
            ("https://h.org/o/r.git@v1.0", "https://h.org/o/r.git", Some("v1.0"), "h.org/o/r"),
            ("https://h.org/o/r@a/b", "https://h.org/o/r", Some("a/b"), "h.org/o/r"),
            ("ssh://git@h.org:22/o/r", "ssh://git@h.org:22/o/r", None, "h.org%3A22/o/r"),
            ("file:///a/../b c.git/", "file:///a/../b c.git/", None, "file/a/%2E./b%20c"),
        ] {
            let address = CloneAddress::parse(text).unwrap();
            let wanted = (url, reference, Path::new(folder));
            assert_eq!((&*address.url, address.reference.as_deref(), &*address.folder), wanted);
        }
    }

    #[test]
    fn an_address_that_git_could_misread_is_refused_without_its_password() {
        for (text, part) in [
            ("http://h.org/o/r", "https://"),
            ("ext::sh -c x://h/o", "https://"),
            ("https://user:secret@h.org/o/r", "credential helper"),
            ("https://secret@h.org/o/r", "credential helper"),
            ("ssh://-oProxyCommand=x/o/r", "such as"),
            ("https://h.org", "such as"),
            ("https:///o/r", "such as"),
            ("file://h/o/r", "such as"),
            ("https://h.org/o/r@", "after @"),
            ("https://h.org/o/r@--upload-pack=x", "after @"),
            ("https://h.org/o/r@a:b", "after @"),
            ("https://h.org/o/r@+a", "after @"),
        ] {
            let message = CloneAddress::parse(text).unwrap_err().to_string();
            assert!(message.contains(part) && !message.contains("secret"), "{text}: {message}");
        }
    }
}
