//! History as git itself tells it: real repositories, and git's own answers beside ours.

mod blame;
mod file_commits;
mod generated;
mod history;
mod repositories;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;
use crate::base::config::Settings;
use crate::base::error::Error;
use crate::base::telemetry::labels::Tool;
use crate::base::telemetry::{RunContext, Telemetry};
use crate::corpus::source::{Repo, RepoPath};

/// A folder in which git runs.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        files.iter().for_each(|(path, bytes)| place.write(path, bytes));
        place
    }

    /// A repository whose first commit, at 1000 seconds, has these files.
    fn committed(files: &[(&str, &[u8])]) -> Self {
        let place = Self::new(files);
        place.git(1000, &["init", "-q"]);
        place.commit(1000, "First");
        place
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Commits everything that is in the working tree.
    fn commit(&self, time_s: i64, message: &str) {
        self.git(time_s, &["add", "-A"]);
        self.git(time_s, &["commit", "-q", "--allow-empty", "-m", message]);
    }

    fn git(&self, time_s: i64, arguments: &[&str]) -> String {
        git_in(self.folder.path(), time_s, arguments)
    }

    fn repo(&self) -> Repo {
        repo(self.folder.path())
    }

    fn blame(&self, path: &str) -> Blame {
        let (path, cache) = (RepoPath::new(path), BlameCache::default());
        self.repo().blame(&path, 1..=u32::MAX, &cache, &cx()).unwrap()
    }

    fn history(&self, path: &str) -> FileHistory {
        self.repo().file_history(&RepoPath::new(path), 1000, &cx()).unwrap()
    }
}

fn repo(root: &Path) -> Repo {
    Repo::open(&[root.to_path_buf()], &Settings::default()).unwrap()
}

fn cx() -> RunContext {
    RunContext::new(&Telemetry::detached(), Tool::Search, &[])
}

/// git with a fixed author and the given time, whatever the settings of this machine.
fn command(folder: &Path, time_s: i64, arguments: &[&str]) -> Command {
    let date = format!("@{time_s} +0000");
    let mut git = Command::new("git");
    git.current_dir(folder)
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
        .args(["-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_DATE", &date)
        .env("GIT_COMMITTER_DATE", &date);
    git
}

/// Runs git; returns what it printed.
fn git_in(folder: &Path, time_s: i64, arguments: &[&str]) -> String {
    let output = command(folder, time_s, arguments).output().expect("the tests need git");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A commit, a path in it and a line there, counted from 1; zeros where nothing is committed.
type Line = (String, String, u32);

/// Each line of a blame, as [`blame_of_git`] tells them.
fn lines(blame: &Blame) -> Vec<Line> {
    let mut lines = Vec::new();
    for hunk in &blame.hunks {
        for offset in 0..=hunk.lines.end() - hunk.lines.start() {
            lines.push(match &hunk.origin {
                BlameOrigin::Commit { commit, path, line, .. } => {
                    (commit.id.clone(), path.clone(), line + offset)
                }
                BlameOrigin::Uncommitted => ("0".repeat(40), String::new(), 0),
                BlameOrigin::NotFound => panic!("{hunk:?} was not found"),
            });
        }
    }
    lines
}

/// The lines of `git blame` of a file in the working tree.
fn blame_of_git(folder: &Path, path: &str) -> Vec<Line> {
    let output = git_in(folder, 9_000_000, &["blame", "--line-porcelain", path]);
    let mut lines: Vec<Line> = Vec::new();
    let mut header = true;
    for text in output.lines() {
        if text.starts_with('\t') {
            header = true;
        } else if header {
            let mut words = text.split(' ');
            let id = words.next().unwrap().to_owned();
            lines.push((id, String::new(), words.next().unwrap().parse().unwrap()));
            header = false;
        } else if let Some(name) = text.strip_prefix("filename ") {
            lines.last_mut().unwrap().1 = name.to_owned();
        }
    }
    for line in lines.iter_mut().filter(|line| line.0.starts_with("00000000")) {
        (line.1, line.2) = (String::new(), 0);
    }
    lines
}

/// Lets git read commits from a stream of `git fast-import`.
fn fast_import(folder: &Path, stream: &[u8]) {
    use std::io::Write;
    let mut import = command(folder, 0, &["fast-import", "--quiet", "--force"]);
    let mut import = import.stdin(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(stream).unwrap();
    assert!(import.wait().unwrap().success());
    git_in(folder, 0, &["reset", "-q", "--hard"]);
}
