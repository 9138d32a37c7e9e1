//! A repository lists and reads every file that it should, and no other.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::base::config::Settings;
use crate::base::error::Error;

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let fixture = Self { folder: tempfile::tempdir().unwrap() };
        for (path, bytes) in files {
            fixture.write(path, bytes);
        }
        fixture
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn repo(&self) -> Repo {
        self.repo_with(|_| {})
    }

    fn repo_with(&self, change: impl FnOnce(&mut Settings)) -> Repo {
        let mut settings = Settings::default();
        change(&mut settings);
        Repo::open(&[self.folder.path().to_path_buf()], &settings).unwrap()
    }
}

fn names(listing: &Listing) -> Vec<&str> {
    listing.entries.iter().map(|entry| entry.path.as_str()).collect()
}

fn read(repo: &Repo, path: &str) -> Result<SourceFile, SkipReason> {
    let listing = repo.walk().unwrap();
    let entry = listing.entries.iter().find(|entry| entry.path.as_str() == path).unwrap();
    repo.read(entry).unwrap()
}

#[test]
fn ignore_rules_hold_outside_a_git_repository_too() {
    let fixture = Fixture::new(&[
        (".gitignore", b"*.log\n/build/\n"),
        ("a.rs", b"fn a() {}\n"),
        ("b.log", b"x"),
        ("build/c.rs", b"x"),
        ("sub/build/d.rs", b"x"),
        ("sub/.gitignore", b"e.rs\n"),
        ("sub/e.rs", b"x"),
        (".codeintelignore", b"*.gen.rs\n"),
        ("f.gen.rs", b"x"),
        (".hidden/g.rs", b"x"),
        (".git/config.rs", b"x"),
        (".codeintel/h.rs", b"x"),
    ]);
    assert_eq!(names(&fixture.repo().walk().unwrap()), ["a.rs", "sub/build/d.rs"]);
    let hidden = fixture.repo_with(|settings| settings.source.hidden = true).walk().unwrap();
    let expected = [
        ".codeintelignore",
        ".gitignore",
        ".hidden/g.rs",
        "a.rs",
        "sub/.gitignore",
        "sub/build/d.rs",
    ];
    assert_eq!(names(&hidden), expected);
}

#[test]
fn the_index_own_folder_is_never_indexed() {
    let fixture = Fixture::new(&[("a.rs", b"x"), ("data/b.rs", b"x")]);
    let data = fixture.path("data").display().to_string();
    let repo = fixture.repo_with(|settings| settings.data.dir = data);
    assert_eq!(names(&repo.walk().unwrap()), ["a.rs"]);
}

#[test]
fn an_empty_listing_says_which_rule_removed_the_files() {
    let fixture = Fixture::new(&[
        (".gitignore", b"*.log\n"),
        (".codeintelignore", b"*.gen\n"),
        ("a.log", b"x"),
        ("b.log", b"x"),
        ("c.gen", b"x"),
        ("d.big", b"xxxxxx"),
    ]);
    let error =
        fixture.repo_with(|settings| settings.source.file_bytes_max = 5).walk().unwrap_err();
    assert!(matches!(error, Error::NothingToIndex { .. }));
    let message = error.to_string();
    for part in [
        "all of 6 files",
        "2 excluded by .gitignore rules",
        "1 excluded by .codeintelignore",
        "2 hidden",
        "1 too large",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let error = Fixture::new(&[]).repo().walk().unwrap_err();
    assert!(error.to_string().contains("there are no files"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_is_counted_and_never_followed() {
    use std::os::unix::fs::symlink;
    let outside = Fixture::new(&[("secret.rs", b"x")]);
    let fixture = Fixture::new(&[("a/b.rs", b"x")]);
    symlink(fixture.folder.path(), fixture.path("a/loop")).unwrap();
    symlink(outside.folder.path(), fixture.path("out")).unwrap();
    symlink(outside.path("secret.rs"), fixture.path("secret.rs")).unwrap();
    symlink("nowhere", fixture.path("dangling")).unwrap();
    let listing = fixture.repo().walk().unwrap();
    assert_eq!(names(&listing), ["a/b.rs"]);
    assert_eq!(listing.skipped.get(SkipReason::Symlink), 4);

    let link = outside.path("link");
    symlink(fixture.folder.path(), &link).unwrap();
    let repo = Repo::open(&[link], &Settings::default()).unwrap();
    assert_eq!(names(&repo.walk().unwrap()), ["a/b.rs"], "a link given as a root is resolved");
}

#[cfg(unix)]
#[test]
fn a_file_replaced_by_a_link_after_the_walk_is_not_followed() {
    let fixture = Fixture::new(&[("a.rs", b"x")]);
    let repo = fixture.repo();
    let listing = repo.walk().unwrap();
    fs::remove_file(fixture.path("a.rs")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", fixture.path("a.rs")).unwrap();
    assert_eq!(repo.read(&listing.entries[0]).unwrap(), Err(SkipReason::Symlink));
}

#[test]
fn only_text_is_read() {
    let fixture = Fixture::new(&[
        ("bom.py", b"\xEF\xBB\xBFimport os\r\n"),
        ("binary.rs", b"fn\0main"),
        ("latin.rs", b"// caf\xE9\r// au lait\r"),
        ("large.rs", b"12345678901234567890123"),
        ("empty.rs", b""),
    ]);
    let repo = fixture.repo_with(|settings| settings.source.file_bytes_max = 22);
    let listing = repo.walk().unwrap();
    assert_eq!(listing.skipped.get(SkipReason::TooLarge), 1);
    let file = read(&repo, "bom.py").unwrap();
    assert_eq!((file.text.as_str(), file.language), ("import os\r\n", Language::Python));
    assert_eq!(file.hash, *blake3::hash(b"\xEF\xBB\xBFimport os\r\n").as_bytes());
    assert_eq!(file.size_bytes, 14);
    assert!(file.modified_ns > 1_600_000_000_000_000_000);
    assert_eq!(read(&repo, "binary.rs"), Err(SkipReason::Binary));
    let file = read(&repo, "latin.rs").unwrap();
    assert_eq!(file.text, "// café\n// au lait\n");
    assert_eq!(file.encoding.as_deref(), Some("windows-1252"));
    assert_eq!(read(&repo, "empty.rs").unwrap().text, "");
    fixture.write("empty.rs", &[b'x'; 23]);
    let grown = listing.entries.iter().find(|entry| entry.path.as_str() == "empty.rs").unwrap();
    assert_eq!(repo.read(grown).unwrap(), Err(SkipReason::TooLarge));
}

#[test]
fn a_file_that_vanishes_is_skipped_and_a_root_that_vanishes_is_an_error() {
    let fixture = Fixture::new(&[("root/a.rs", b"x"), ("root/sub/b.rs", b"x")]);
    let repo = Repo::open(&[fixture.path("root")], &Settings::default()).unwrap();
    let listing = repo.walk().unwrap();
    fs::remove_dir_all(fixture.path("root/sub")).unwrap();
    assert_eq!(repo.read(&listing.entries[1]).unwrap(), Err(SkipReason::Vanished));
    fs::remove_dir_all(fixture.path("root")).unwrap();
    assert!(matches!(repo.read(&listing.entries[0]), Err(Error::PathNotFound { .. })));
}

#[test]
fn several_roots_keep_equal_names_apart() {
    let fixture =
        Fixture::new(&[("one/lib/x.rs", b"1"), ("two/lib/x.rs", b"2"), ("two/lib/in/y.rs", b"3")]);
    let roots = ["one/lib", "two/lib", "two/lib/x.rs", "two/lib/in"].map(|path| fixture.path(path));
    let repo = Repo::open(&roots, &Settings::default()).unwrap();
    let listing = repo.walk().unwrap();
    let files: std::collections::HashSet<_> =
        listing.entries.iter().map(|entry| entry.absolute.clone()).collect();
    assert_eq!((listing.entries.len(), files.len()), (3, 3), "{:?}", names(&listing));
    assert!(names(&listing).contains(&"one/lib/x.rs"), "{:?}", names(&listing));
    for entry in &listing.entries {
        assert_eq!(repo.absolute(&entry.path), Some(entry.absolute.clone()));
    }
}

#[test]
fn a_root_may_be_a_file_that_the_rules_hide() {
    let fixture = Fixture::new(&[(".gitignore", b"a.rs"), ("a.rs", b"fn a() {}")]);
    let repo = Repo::open(&[fixture.path("a.rs")], &Settings::default()).unwrap();
    assert_eq!(read(&repo, "a.rs").unwrap().text, "fn a() {}");
}

#[test]
fn ten_thousand_files_are_listed_once_each() {
    let fixture = Fixture::new(&[]);
    for folder in 0..100 {
        let folder = fixture.path(&format!("f{folder}"));
        fs::create_dir(&folder).unwrap();
        (0..100).for_each(|i| drop(fs::File::create(folder.join(format!("{i}.rs"))).unwrap()));
    }
    let entries = fixture.repo().walk().unwrap().entries;
    let distinct: HashSet<_> = entries.iter().map(|entry| &entry.path).collect();
    assert_eq!((entries.len(), distinct.len()), (10_000, 10_000));
}

#[test]
fn a_listing_is_sorted_and_says_size_and_place() {
    let fixture = Fixture::new(&[("b.rs", b"12"), ("a/z.rs", b"1"), ("a.rs", b"")]);
    let listing = fixture.repo().walk().unwrap();
    assert_eq!(names(&listing), ["a.rs", "a/z.rs", "b.rs"]);
    assert_eq!(listing.entries[2].size_bytes, 2);
    let absolute: &Path = &listing.entries[1].absolute;
    assert_eq!(fs::read(absolute).unwrap(), b"1");
}
