//! A random script of edits: after each, the updated index answers as one that is made from scratch.
//!
//! `EDIT_SCRIPT_SEED` and `EDIT_SCRIPT_STEPS` change the script, such as to 500 steps, of which each takes
//! about a second; a failure prints both.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use codeintel::search::ChannelName;

use super::increments::{equals, found, fresh, knows_the_same};
use crate::support::{Place, rust_file};

const SEED: u64 = 15;
const STEPS: usize = 40;
/// An index needs a file that no rule excludes.
const ALWAYS: &str = "always.rs";
const NAMES: [&str; 15] = [
    "lib.rs",
    "src/parse.rs",
    "src/render.rs",
    "src/deep/cache.rs",
    "src/deep/socket.rs",
    "tools/merge.py",
    "tools/signal.py",
    "docs/buffer.md",
    "docs/stream.md",
    "data/rows.csv",
    "Cargo.lock",
    "api/token.pb.go",
    "vendor/kernel.go",
    "notes.txt",
    ALWAYS,
];
const BRANCHES: [&str; 3] = ["main", "first", "second"];
const RULES: [&str; 4] = ["", "docs/\n", "*.py\n!tools/merge.py\n", "src/deep\nnotes.txt\n"];
const ATTRIBUTES: [&str; 4] = [
    "",
    "src/** linguist-generated\n",
    "*.go -linguist-generated\n",
    "docs/** linguist-vendored\nlib.rs linguist-generated=true\n",
];

/// The name of an edit, its share of all edits, and what makes it.
type Edit = (&'static str, usize, fn(&mut Script));

const EDITS: [Edit; 11] = [
    ("write", 5, Script::write),
    ("append", 5, Script::append),
    ("rename", 2, Script::rename),
    ("swap", 1, Script::swap),
    ("delete", 2, Script::delete),
    ("damage", 1, Script::damage),
    ("ignore", 1, Script::ignore),
    ("mark", 1, Script::mark),
    ("commit", 2, Script::commit),
    ("revert", 1, Script::revert),
    ("switch", 2, Script::switch),
];

struct Script {
    place: Place,
    random: fastrand::Rng,
}

impl Script {
    fn new(seed: u64) -> Self {
        let mut place = Place::new(&[]);
        place.settings.chunk.tokens_max = 64;
        // So high that most versions have a delta, and some have none.
        place.settings.index.delta_ratio_max = 0.5;
        // The facts about commits are not compared.
        place.settings.source.history = false;
        let mut script = Self { place, random: fastrand::Rng::with_seed(seed) };
        NAMES.iter().step_by(2).for_each(|name| script.write_file(name));
        script.git(&["init", "-q", "-b", "main"]);
        for branch in BRANCHES {
            script.git(&["checkout", "-q", "-B", branch]);
            script.append();
            script.commit();
        }
        script
    }

    fn git(&self, args: &[&str]) {
        let identity = ["-c", "user.name=A", "-c", "user.email=a@b.c"];
        let mut command = Command::new("git");
        let done = command.current_dir(self.place.repo()).args(identity).args(args).output();
        let done = done.unwrap();
        assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.usize(..all.len())]
    }

    /// The files that are there.
    fn here(&self) -> Vec<&'static str> {
        let is_here = |name: &&str| self.place.repo().join(name).is_file();
        NAMES.into_iter().filter(is_here).collect()
    }

    fn write_file(&mut self, name: &str) {
        let (seed, n) = (self.random.u64(..40), self.random.usize(1..4));
        let text = rust_file(seed, n);
        let text = match Path::new(name).extension().and_then(|extension| extension.to_str()) {
            Some("rs") => text,
            Some("py") => format!("def parse_{seed}(token):\n    return token * {n}\n"),
            Some("go") => format!("package a\n\nfunc Signal{seed}() int {{\n\treturn {n}\n}}\n"),
            Some("md") => format!("# The buffer\n\nA socket of {seed}.\n\n## Cache\n\n{text}"),
            _ => format!("{seed},matrix,kernel\n{n},shader,signal\n"),
        };
        self.place.write(name, text);
    }

    /// Creates a file or replaces its text.
    fn write(&mut self) {
        let name = self.one_of(&NAMES);
        self.write_file(name);
    }

    fn append(&mut self) {
        let name = self.one_of(&self.here());
        let path = self.place.repo().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(rust_file(self.random.u64(..1000), 1).into_bytes());
        fs::write(path, bytes).unwrap();
    }

    fn rename(&mut self) {
        let (from, to) = (self.one_of(&self.here()), self.one_of(&NAMES));
        let [from, to] = [from, to].map(|name| self.place.repo().join(name));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(from, to).unwrap();
        self.keep_one();
    }

    fn swap(&mut self) {
        let here = self.here();
        let [one, other] = [self.one_of(&here), self.one_of(&here)];
        let [one, other] = [one, other].map(|name| self.place.repo().join(name));
        let aside = self.place.path().join("aside");
        fs::rename(&one, &aside).unwrap();
        if one != other {
            fs::rename(&other, &one).unwrap();
        }
        fs::rename(aside, other).unwrap();
    }

    fn delete(&mut self) {
        let name = self.one_of(&self.here());
        self.place.remove(name);
        self.keep_one();
    }

    /// A file is no text, is empty, or has another encoding.
    fn damage(&mut self) {
        let name = self.one_of(&NAMES);
        let bytes: [&[u8]; 4] =
            [b"fn a() {}\0\x01", b"", b"fn caf\xe9() {}\n", b"\xff\xfef\0n\0 \0b\0(\0)\0"];
        let bytes = self.one_of(&bytes);
        self.place.write(name, bytes);
        self.keep_one();
    }

    fn ignore(&mut self) {
        let rules = self.one_of(&RULES);
        self.place.write(".gitignore", rules);
        self.keep_one();
    }

    fn mark(&mut self) {
        let attributes = self.one_of(&ATTRIBUTES);
        self.place.write(".gitattributes", attributes);
    }

    fn commit(&mut self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "edits"]);
    }

    fn revert(&mut self) {
        self.git(&["checkout", "-q", "-f", "HEAD", "--", "."]);
        self.keep_one();
    }

    fn switch(&mut self) {
        let branch = self.one_of(&BRANCHES);
        self.git(&["checkout", "-q", "-f", branch]);
        self.keep_one();
    }

    fn keep_one(&self) {
        self.place.write(ALWAYS, "fn always_here() {}\n");
    }

    /// Makes a random edit, and returns its name.
    fn edit(&mut self) -> &'static str {
        let all: usize = EDITS.iter().map(|(_, weight, _)| weight).sum();
        let mut at = self.random.usize(..all);
        for (name, weight, edit) in EDITS {
            if at < weight {
                edit(self);
                return name;
            }
            at -= weight;
        }
        unreachable!("the weights add up to {all}");
    }
}

/// The files of an index as they were decided and read, without times and places in it.
fn files(place: &Place) -> Vec<String> {
    let rows = place.catalog().files().unwrap().into_iter();
    let about = |row: codeintel::index::catalog::FileRow| {
        let (path, kind, channels, chunks) = (row.path, row.kind, row.channels, row.chunk_count);
        let said = (row.language, row.why, row.marks, row.encoding, row.lines, row.hash);
        format!("{path}: {kind:?} {channels:?} {chunks} {said:?}")
    };
    rows.map(about).collect()
}

/// The definitions of an index, each with its file.
fn symbols(place: &Place) -> Vec<(String, String, String)> {
    let catalog = place.catalog();
    let path = |chunk| catalog.file_of(chunk).unwrap().expect("a live chunk").path.clone();
    let all = catalog.symbols().unwrap().into_iter();
    let mut all: Vec<_> =
        all.map(|symbol| (path(symbol.chunk), symbol.qualified, symbol.kind.to_string())).collect();
    all.sort();
    all
}

/// What the dense channel finds, which has no files that are found by words only.
fn by_vectors(place: &Place) -> Vec<super::increments::Found> {
    let mut all = found(&place.searcher(), "parse the token", &[ChannelName::Dense]);
    all.sort();
    all
}

fn from_environment<T: FromStr>(name: &str, default: T) -> T {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().ok().unwrap_or_else(|| panic!("{name}={value}")))
}

#[test]
fn an_index_that_follows_random_edits_answers_as_one_made_from_scratch() {
    let seed = from_environment("EDIT_SCRIPT_SEED", SEED);
    let steps = from_environment("EDIT_SCRIPT_STEPS", STEPS);
    println!("EDIT_SCRIPT_SEED={seed} EDIT_SCRIPT_STEPS={steps}");
    let mut script = Script::new(seed);
    script.place.index();
    let mut compacted = 0;
    for step in 1..=steps {
        let edit = script.edit();
        println!("step {step}: {edit}");
        script.place.index();
        let fresh = fresh(&script.place);
        assert_eq!(files(&script.place), files(&fresh), "after step {step}, {edit}");
        assert_eq!(symbols(&script.place), symbols(&fresh), "after step {step}, {edit}");
        assert_eq!(by_vectors(&script.place), by_vectors(&fresh), "after step {step}, {edit}");
        knows_the_same(&script.place, &fresh);
        let manifest = script.place.version().manifest;
        if [manifest.base_chunks, manifest.live_chunks] == [manifest.total_chunks; 2] {
            compacted += 1;
            equals(&script.place, &fresh);
        }
    }
    println!("{compacted} of {steps} versions had no delta");
}
