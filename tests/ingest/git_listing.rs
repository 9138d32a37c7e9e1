//! The files that are indexed are those that git lists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use codeintel::base::config::Settings;
use codeintel::corpus::source::Repo;

/// A folder of repositories, without the user's own settings of git.
struct Repositories(tempfile::TempDir);

impl Repositories {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs git in `folder` and returns its lines.
    #[track_caller]
    fn git(&self, folder: &str, args: &[&str]) -> Vec<String> {
        let identity = ["-c", "user.name=A", "-c", "user.email=a@b.c"];
        let more = ["-c", "protocol.file.allow=always", "-c", "core.quotePath=false"];
        let mut command = Command::new("git");
        command.current_dir(self.path().join(folder)).args(identity).args(more).args(args);
        let done = command.output().unwrap();
        assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// What git lists below `folder`: tracked and untracked files that are there and not excluded, also
    /// those of submodules and of repositories inside.
    fn listed(&self, folder: &str) -> BTreeSet<String> {
        let args = ["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"];
        let mut all = BTreeSet::new();
        for path in self.git(folder, &args) {
            let path = path.trim_end_matches('/').to_owned();
            let below = format!("{folder}/{path}");
            let on_disk = self.path().join(&below);
            if on_disk.is_dir() {
                all.extend(self.listed(&below).into_iter().map(|inner| format!("{path}/{inner}")));
            } else if on_disk.is_file() {
                all.insert(path);
            }
        }
        all
    }

    fn walked(&self, folder: &str) -> BTreeSet<String> {
        let mut settings = Settings::default();
        settings.source.hidden = true;
        let repo = Repo::open(&[self.path().join(folder)], &settings).unwrap();
        let listing = repo.list_until(&|| false).unwrap();
        listing.entries.into_iter().map(|entry| entry.path.as_str().to_owned()).collect()
    }

    #[track_caller]
    fn check(&self, folder: &str) -> BTreeSet<String> {
        let walked = self.walked(folder);
        assert_eq!(walked, self.listed(folder), "{folder}");
        walked
    }
}

const RULES: [&str; 14] = [
    "*.log",
    "/build",
    "build/",
    "!keep.log",
    "doc/*.txt",
    "**/cache",
    "a/**/z",
    "\\#hash",
    "[ab].rs",
    "*.RS",
    "target/*",
    "!target/keep",
    "foo?",
    "name with space",
];
const NAMES: [&str; 12] = [
    "a.rs",
    "b.rs",
    "x.log",
    "keep.log",
    "#hash",
    "foo1",
    "name with space",
    "doc.txt",
    "z",
    "keep",
    "K.RS",
    "größe.log",
];
const FOLDERS: [&str; 8] = ["", "build", "a", "a/b", "doc", "cache", "target", "a/b/target"];

#[test]
fn the_files_of_random_repositories_are_those_that_git_lists() {
    let seed = 11;
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..12 {
        let place = Repositories::new();
        fs::create_dir(place.path().join("r")).unwrap();
        place.git("r", &["init", "-q"]);
        for folder in FOLDERS {
            for name in NAMES {
                if random.f32() < 0.6 {
                    place.write(&format!("r/{folder}/{name}"), "x\n");
                }
            }
        }
        let mut rules = |n: usize| -> String {
            (0..n).map(|_| format!("{}\n", RULES[random.usize(..RULES.len())])).collect()
        };
        // What is committed first is tracked, whatever the rules say later.
        if round % 2 == 0 {
            place.git("r", &["add", "-A", "a", "."]);
            place.write("r/a/later.log", "x\n");
        }
        place.write("r/.gitignore", &rules(5));
        place.write("r/a/.gitignore", &rules(3));
        place.write("r/.git/info/exclude", &rules(2));
        place.write("excludes", &rules(2));
        let excludes = place.path().join("excludes").display().to_string();
        place.git("r", &["config", "core.excludesFile", &excludes]);
        place.git(
            "r",
            &["config", "core.ignoreCase", if round % 3 == 0 { "true" } else { "false" }],
        );
        place.check("r");
        place.check_part("r", "a");
        let ignored = place.ignored("r");
        assert!(place.walked("r").is_disjoint(&ignored), "seed {seed}, round {round}: {ignored:?}");
    }
}

impl Repositories {
    /// A part of a repository has the files that the whole has there.
    #[track_caller]
    fn check_part(&self, folder: &str, part: &str) {
        let start = format!("{part}/");
        let whole = self.walked(folder);
        let inside = whole.iter().filter_map(|path| path.strip_prefix(&start));
        let inside: BTreeSet<String> = inside.map(str::to_owned).collect();
        assert_eq!(self.walked(&format!("{folder}/{part}")), inside, "{folder}/{part}");
    }

    /// The untracked files that `git check-ignore` names.
    fn ignored(&self, folder: &str) -> BTreeSet<String> {
        let root = self.path().join(folder);
        let mut folders = vec![root.clone()];
        let mut files = Vec::new();
        while let Some(at) = folders.pop() {
            for entry in fs::read_dir(at).unwrap().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true if entry.file_name() == ".git" => {}
                    true => folders.push(entry.path()),
                    false => files.push(entry.path()),
                }
            }
        }
        let names = files.iter().map(|file| file.strip_prefix(&root).unwrap().to_str().unwrap());
        let mut command = Command::new("git");
        command.current_dir(&root).args(["-c", "core.quotePath=false", "check-ignore"]).args(names);
        let out = String::from_utf8(command.output().unwrap().stdout).unwrap();
        out.lines().map(str::to_owned).collect()
    }
}

#[test]
fn inner_repositories_submodules_and_worktrees_have_rules_of_their_own() {
    let place = Repositories::new();
    place.write("library/kept.rs", "x\n");
    place.write("library/made.o", "x\n");
    place.git("library", &["init", "-q", "-b", "main"]);
    place.git("library", &["add", "-A"]);
    place.git("library", &["commit", "-q", "-m", "first"]);

    // The rules of a home folder exclude everything; a project in it has its own.
    place.write("home/.gitignore", "*\n!.gitignore\n");
    place.write("home/project/src/a.rs", "x\n");
    place.write("home/project/debug.log", "x\n");
    place.write("home/project/.gitignore", "*.log\n");
    place.git("home", &["init", "-q"]);
    place.git("home/project", &["init", "-q"]);
    assert_eq!(place.check("home/project").len(), 2);
    assert_eq!(place.check("home").len(), 1);

    place.write("outer/.gitignore", "*.o\nhidden/\n");
    place.write("outer/a.o", "x\n");
    place.write("outer/a.c", "x\n");
    place.write("outer/inner/b.o", "x\n");
    place.write("outer/hidden/c.rs", "x\n");
    place.git("outer", &["init", "-q", "-b", "main"]);
    place.git("outer/inner", &["init", "-q"]);
    place.git("outer/hidden", &["init", "-q"]);
    place.git("outer", &["submodule", "add", "-q", "../library", "sub"]);
    place.write("outer/sub/new.o", "x\n");
    place.write("outer/sub/secret.key", "x\n");
    place.write("outer/.git/modules/sub/info/exclude", "*.key\n");
    let walked = place.check("outer");
    for (path, expected) in [
        ("inner/b.o", true),
        ("sub/made.o", true),
        ("sub/new.o", true),
        ("sub/secret.key", false),
        ("hidden/c.rs", false),
        ("a.o", false),
    ] {
        assert_eq!(walked.contains(path), expected, "{path}");
    }
    place.check("outer/sub");

    place.git("outer", &["add", "a.c", ".gitignore"]);
    place.git("outer", &["commit", "-q", "-m", "first"]);
    place.git("outer", &["worktree", "add", "-q", "../tree"]);
    place.write("outer/.git/info/exclude", "local.*\n");
    place.write("tree/local.txt", "x\n");
    place.write("tree/b.o", "x\n");
    place.write("tree/new.txt", "x\n");
    assert!(!place.check("tree").contains("local.txt"));
}

#[test]
fn a_tracked_file_that_a_rule_names_is_listed() {
    let place = Repositories::new();
    place.write("r/logs/kept.log", "x\n");
    place.write("r/logs/deep/kept.log", "x\n");
    place.git("r", &["init", "-q"]);
    place.git("r", &["add", "-A"]);
    place.write("r/.gitignore", "*.log\nlogs/\n");
    place.write("r/logs/other.log", "x\n");
    let walked = place.check("r");
    assert!(walked.contains("logs/kept.log") && walked.contains("logs/deep/kept.log"));
    assert!(!walked.contains("logs/other.log"));
}
