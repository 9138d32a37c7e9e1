//! Random histories with merges and renames are told as git tells them.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::*;

/// A commit of a random history: its mark and the files that it has.
#[derive(Clone)]
struct Tip {
    mark: usize,
    files: BTreeMap<String, Vec<String>>,
}

/// Writes a random history as a stream for `git fast-import`. Every line is unique, so that there
/// is one right answer.
struct Generator {
    random: fastrand::Rng,
    stream: String,
    marks: usize,
    lines: usize,
    names: usize,
}

impl Generator {
    fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { random, stream: String::new(), marks: 0, lines: 0, names: 0 }
    }

    fn fresh(&mut self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| {
                self.lines += 1;
                format!("line {} has {}", self.lines, self.random.u64(..))
            })
            .collect()
    }

    fn name(&mut self) -> String {
        self.names += 1;
        let folder = ["", "src/", "src/deep/"][self.random.usize(..3)];
        format!("{folder}file{}.txt", self.names)
    }

    fn commit(&mut self, parents: &[usize], files: BTreeMap<String, Vec<String>>) -> Tip {
        self.marks += 1;
        let mark = self.marks;
        let time_s = 1000 + 60 * mark;
        let out = &mut self.stream;
        writeln!(out, "commit refs/heads/main\nmark :{mark}").unwrap();
        writeln!(out, "committer Ada <ada@example.org> {time_s} +0000").unwrap();
        writeln!(out, "data 7\nchange\n").unwrap();
        for (parent, word) in parents.iter().zip(["from", "merge"]) {
            writeln!(out, "{word} :{parent}").unwrap();
        }
        writeln!(out, "deleteall").unwrap();
        for (path, lines) in &files {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            writeln!(out, "M 100644 inline {path}\ndata {}\n{text}", text.len()).unwrap();
        }
        Tip { mark, files }
    }

    /// Changes some files: lines are replaced, inserted and removed, a file may be renamed.
    fn change(&mut self, tip: &Tip) -> Tip {
        let mut files = tip.files.clone();
        let names: Vec<String> = files.keys().cloned().collect();
        for name in names {
            if self.random.u8(..3) == 0 {
                continue;
            }
            let mut lines = files.remove(&name).unwrap();
            for _ in 0..self.random.usize(..3) {
                let start = self.random.usize(..=lines.len());
                let end = (start + self.random.usize(..3)).min(lines.len());
                let count = self.random.usize(..3);
                let fresh = self.fresh(count);
                lines.splice(start..end, fresh);
            }
            let renamed = self.random.u8(..12) == 0;
            files.insert(if renamed { self.name() } else { name }, lines);
        }
        self.commit(&[tip.mark], files)
    }

    /// Merges: each file has the first lines of one side and the last lines of the other.
    fn merge(&mut self, one: &Tip, other: &Tip) -> Tip {
        let mut files = one.files.clone();
        for (name, lines) in &mut files {
            let Some(others) = other.files.get(name) else { continue };
            let cut = lines.iter().skip(self.random.usize(..20)).find_map(|line| {
                others.iter().position(|other| other == line).map(|at| (line.clone(), at))
            });
            let Some((line, at)) = cut else { continue };
            let upto = lines.iter().position(|known| *known == line).unwrap();
            lines.truncate(upto);
            lines.extend_from_slice(&others[at..]);
        }
        self.commit(&[one.mark, other.mark], files)
    }
}

/// A history of about `commits` commits; without `merges` it is a line.
fn generate(seed: u64, commits: usize, merges: bool) -> (Place, Tip) {
    let mut generator = Generator::new(seed);
    let files = (0..3).map(|_| (generator.name(), generator.fresh(40))).collect();
    let mut tip = generator.commit(&[], files);
    while generator.marks < commits {
        tip = generator.change(&tip);
        if merges && generator.random.u8(..4) == 0 {
            let mut side = generator.change(&tip);
            tip = generator.change(&tip);
            for _ in 0..generator.random.usize(..3) {
                side = generator.change(&side);
            }
            tip = generator.merge(&tip, &side);
        }
    }
    let place = Place::new(&[]);
    place.git(0, &["init", "-q"]);
    fast_import(place.folder.path(), generator.stream.as_bytes());
    (place, tip)
}

#[test]
fn lines_are_blamed_as_git_blames_them() {
    for seed in 0..12 {
        let (place, tip) = generate(seed, 60, seed % 3 != 0);
        for path in tip.files.keys() {
            let expected = blame_of_git(place.folder.path(), path);
            assert_eq!(lines(&place.blame(path)), expected, "seed {seed}, {path}");
        }
    }
}

#[test]
fn a_range_is_blamed_as_in_the_whole_file_in_any_order_and_from_the_cache() {
    let (place, tip) = generate(100, 60, true);
    let (repo, cache) = (place.repo(), BlameCache::default());
    for path in tip.files.keys() {
        let whole = blame_of_git(place.folder.path(), path);
        let count = whole.len() as u32;
        for range in [10..=12, 1..=1, 5..=20, count..=count, 3..=count + 9, 10..=12] {
            let found = repo.blame(&RepoPath::new(path), range.clone(), &cache, &cx()).unwrap();
            let end = (*range.end()).min(count) as usize;
            let expected = &whole[*range.start() as usize - 1..end];
            assert_eq!(lines(&found), expected, "{path} {range:?}");
            assert_eq!(found.lines_total, count);
        }
    }
}

#[test]
fn a_straight_history_follows_renames_as_git_does() {
    for seed in 200..206 {
        let (place, tip) = generate(seed, 50, false);
        for path in tip.files.keys() {
            let log = ["log", "--follow", "--format=%H", "--name-status", "--", path];
            let expected = changes_of_git(&place.git(0, &log));
            assert_eq!(changes(&place.history(path)), expected, "seed {seed}, {path}");
        }
    }
}

#[test]
fn a_history_with_merges_has_the_commits_of_git() {
    for seed in 300..306 {
        let (place, tip) = generate(seed, 60, true);
        for path in tip.files.keys() {
            let found = place.history(path);
            let is_rename = |change: &FileChange| matches!(change.kind, ChangeKind::Renamed { .. });
            let renamed = found.changes.iter().position(is_rename);
            // Without --follow git ends where the file got its name; with it, git shows no merges.
            let upto = renamed.map_or(found.changes.len(), |at| at + 1);
            let ids: Vec<&str> =
                found.changes[..upto].iter().map(|change| change.commit.id.as_str()).collect();
            let log = place.git(0, &["log", "--format=%H", "--", path]);
            let expected: Vec<&str> = log.lines().take(upto).collect();
            assert_eq!(ids, expected, "seed {seed}, {path}");
        }
    }
}

/// Commit, letter of the change, path before and after.
fn changes(history: &FileHistory) -> Vec<(String, char, String, String)> {
    let describe = |change: &FileChange| {
        let (letter, from) = match &change.kind {
            ChangeKind::Added => ('A', change.path.clone()),
            ChangeKind::Modified => ('M', change.path.clone()),
            ChangeKind::Renamed { from } => ('R', from.clone()),
            ChangeKind::Boundary => ('B', change.path.clone()),
        };
        (change.commit.id.clone(), letter, from, change.path.clone())
    };
    history.changes.iter().map(describe).collect()
}

fn changes_of_git(log: &str) -> Vec<(String, char, String, String)> {
    let mut found = Vec::new();
    let mut id = String::new();
    for line in log.lines().filter(|line| !line.is_empty()) {
        let mut parts = line.split('\t');
        let first = parts.next().unwrap();
        match (parts.next(), parts.next()) {
            (None, _) => id = first.to_owned(),
            (Some(path), to) => {
                let letter = first.chars().next().unwrap();
                let to = to.unwrap_or(path).to_owned();
                found.push((id.clone(), letter, path.to_owned(), to));
            }
        }
    }
    found
}
