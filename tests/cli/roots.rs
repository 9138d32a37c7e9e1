//! `codeintel index` of other paths than those of the index, of repositories without files, and `gc`.

use std::fs;
use std::process::Command;

use crate::support::{Place, rust_file};

fn two_folders() -> Place {
    let place =
        Place::new(&[("a/one.rs", "fn first_one() {}\n"), ("b/two.rs", "fn second_two() {}\n")]);
    place.run_index(&[]).ok();
    place
}

fn files(place: &Place) -> u64 {
    place.run(&["status", "--json"]).json()["files"].as_u64().unwrap()
}

#[test]
fn a_part_of_an_index_updates_the_whole() {
    let place = two_folders();
    place.write("a/three.rs", "fn third_three() {}\n");
    let ran = place.run(&["index", "repo/a"]);
    assert!(ran.err.contains("repo/a is part of") && ran.err.contains("--replace"), "{ran:?}");
    ran.ok();
    assert_eq!(files(&place), 3, "nothing is removed and the new file is there");
    place.run(&["index", "repo/a", "--replace"]).ok();
    assert_eq!(files(&place), 2);
    place.run(&["index", "repo"]).ok();
    assert_eq!(files(&place), 3, "a larger folder holds the part");
}

#[test]
fn paths_that_would_drop_others_are_refused() {
    let place = two_folders();
    fs::create_dir(place.path().join("other")).unwrap();
    fs::write(place.path().join("other/x.rs"), rust_file(1, 2)).unwrap();
    place.run(&["index", "other"]).fails(2, &["other", "repo", "--replace", "--data"]);
    assert_eq!(files(&place), 2);
    place.run(&["index", "repo", "other"]).ok();
    assert_eq!(files(&place), 3);
    // What is no longer there cannot be lost.
    fs::remove_dir_all(place.repo()).unwrap();
    place.run(&["index", "other"]).ok();
    assert_eq!(files(&place), 1);
}

#[test]
fn a_repository_without_a_work_tree_is_refused_and_empty_files_are_named() {
    let place = Place::new(&[("a.rs", "fn a() {}\n")]);
    let bare = place.path().join("bare.git");
    let made = Command::new("git").args(["init", "-q", "--bare"]).arg(&bare).output().unwrap();
    assert!(made.status.success());
    place.run(&["index", "bare.git"]).fails(2, &["bare.git", "without a work tree", "file://"]);
    let empty = place.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("nothing.py"), "").unwrap();
    place.run(&["index", "empty"]).fails(5, &["all of 1 files are skipped: 1 empty"]);
    // Inside of a folder it is left out.
    fs::rename(&bare, place.repo().join("bare.git")).unwrap();
    let report = place.run_index(&["--json"]).json();
    assert_eq!(report["files"], 1);
    assert_eq!(report["files_skipped"]["git repositories without a work tree"], 1);
}

#[test]
fn gc_says_which_leftovers_it_removed() {
    let place = two_folders();
    assert_eq!(place.run(&["gc"]).ok(), "Nothing to remove\n");
    let staging = place.data().path().join("versions/000009.staging");
    fs::create_dir(&staging).unwrap();
    let out = place.run(&["gc"]).ok();
    assert!(out.contains("killed runs") && out.contains("000009.staging"), "{out}");
    assert!(!staging.exists());
}
