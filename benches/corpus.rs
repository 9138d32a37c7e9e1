//! What do text search, blame and the history of a file cost, beside `rg` and `git`?
//!
//! Measured: searches that count every match, in the sources of the cargo registry (some 30,000
//! files), by this crate and by `rg` with the same rules and the same number of threads, where `rg`
//! is installed; 200 lines of blame and the whole history of a file that 800 of 10,000 commits
//! changed (`scripts/long-history`), by this crate, from its cache and by `git`. Everything is read
//! once before, so files are in memory. The other programs pay for starting a process, some 2 ms.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use codeintel::base::config::Settings;
use codeintel::base::telemetry::labels::Tool;
use codeintel::base::telemetry::{RunContext, Telemetry};
use codeintel::corpus::git::BlameCache;
use codeintel::corpus::source::{Repo, RepoPath};
use codeintel::corpus::text_search::{CaseMode, TextQuery};
use divan::Bencher;
use tempfile::TempDir;

use support::{size, smoke};

mod support;

const PATTERNS: [&str; 3] = [r"fn main\(", r"unsafe impl", r"(?i)deadline.*exceed"];
const FILE: &str = "src/core/engine.rs";

static HISTORY: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/long-history");
    let commits = size(10_000, 300).to_string();
    let status = Command::new(script).arg(folder.path()).args(["--commits", &commits]).status();
    assert!(status.unwrap().success());
    folder
});

fn main() {
    divan::main();
}

fn cx() -> RunContext {
    RunContext::new(&Telemetry::detached(), Tool::Search, &[])
}

fn repo(root: &Path) -> Repo {
    Repo::open(&[root.to_path_buf()], &Settings::default()).unwrap()
}

/// The registry; in a smoke run the sources of this crate.
fn sources() -> PathBuf {
    let own = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let registry = home.map(|home| home.join("registry/src")).filter(|folder| folder.is_dir());
    if smoke() { own } else { registry.expect("a cargo registry") }
}

#[divan::bench(args = PATTERNS)]
fn text_search(bencher: Bencher, pattern: &str) {
    let (repo, cx) = (repo(&sources()), cx());
    let query = TextQuery { case: CaseMode::Sensitive, ..TextQuery::regex(pattern) };
    let count = || repo.search_text(&query, &cx).unwrap();
    let found = count();
    assert!(found.is_complete && found.total > 0, "{found:?}");
    bencher.bench_local(count);
}

#[divan::bench(args = PATTERNS)]
fn text_search_by_rg(bencher: Bencher, pattern: &str) {
    let sources = sources();
    let bytes_max = Settings::default().source.file_bytes_max.to_string();
    let count = || {
        let mut rg = Command::new("rg");
        rg.args(["--count", "--no-messages", "--no-require-git", "--max-filesize", &bytes_max]);
        rg.args(["-j", &rayon::current_num_threads().to_string(), pattern]).arg(&sources);
        rg.output().is_ok()
    };
    if count() {
        bencher.bench_local(count);
    }
}

fn blame(repo: &Repo, cache: &BlameCache, cx: &RunContext) -> usize {
    let lines = size(400, 20) as u32;
    let blame = repo.blame(&RepoPath::new(FILE), lines..=lines + 199, cache, cx).unwrap();
    assert!(blame.is_complete());
    blame.hunks.len()
}

#[divan::bench]
fn blame_of_200_lines(bencher: Bencher) {
    let (repo, cx) = (repo(HISTORY.path()), cx());
    assert!(blame(&repo, &BlameCache::default(), &cx) > 5);
    bencher.bench_local(|| blame(&repo, &BlameCache::default(), &cx));
}

#[divan::bench]
fn blame_of_200_lines_from_the_cache(bencher: Bencher) {
    let (repo, cache, cx) = (repo(HISTORY.path()), BlameCache::default(), cx());
    blame(&repo, &cache, &cx);
    bencher.bench_local(|| blame(&repo, &cache, &cx));
}

#[divan::bench]
fn history(bencher: Bencher) {
    let (repo, cx) = (repo(HISTORY.path()), cx());
    let history = || repo.file_history(&RepoPath::new(FILE), 1000, &cx).unwrap();
    assert!(history().changes.len() > size(700, 15));
    bencher.bench_local(history);
}

fn git(arguments: &[&str]) -> usize {
    let output =
        Command::new("git").arg("-C").arg(HISTORY.path()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout.len()
}

#[divan::bench]
fn blame_of_200_lines_by_git(bencher: Bencher) {
    let lines = format!("{},+200", size(400, 20));
    bencher.bench_local(|| git(&["blame", "--porcelain", "-L", &lines, FILE]));
}

#[divan::bench]
fn history_by_git(bencher: Bencher) {
    bencher.bench_local(|| git(&["log", "--follow", "--format=%H", FILE]));
}
