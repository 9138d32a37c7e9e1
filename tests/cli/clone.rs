//! Repositories elsewhere: cloned by their address, updated by the next run, and nothing left of a
//! failure.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Place, Ran};

fn git(folder: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
    let done = Command::new("git").current_dir(folder).args(identity).args(args).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

fn commit(place: &Place, path: &str, text: &str) -> String {
    place.write(path, text);
    git(place.repo(), &["add", "-A"]);
    git(place.repo(), &["commit", "-q", "-m", path]);
    git(place.repo(), &["rev-parse", "HEAD"])
}

fn index(place: &Place, address: &str, path_variable: Option<&str>) -> Ran {
    let mut command = place.command(&["index", address]);
    command.env("XDG_CACHE_HOME", place.path().join("user-cache"));
    if let Some(path) = path_variable {
        command.env("PATH", path);
    }
    Ran::from(command.output().unwrap())
}

#[test]
fn an_address_is_cloned_once_and_then_follows_its_repository() {
    let place = Place::new(&[]);
    git(place.repo(), &["init", "-q", "-b", "main"]);
    let first = commit(&place, "a.py", "def first_thing():\n    return 1\n");
    git(place.repo(), &["tag", "v1"]);
    let address = format!("file://{}", place.repo().display());
    let made = index(&place, &address, None);
    assert!(made.err.contains(&first), "{made:?}");
    assert!(made.ok().contains("Indexed"));
    assert_eq!(place.found("first_thing", &["--channels", "symbol"]).len(), 1);

    let second = commit(&place, "b.py", "def second_thing():\n    return 2\n");
    git(place.repo(), &["rm", "-q", "a.py"]);
    let third = commit(&place, "c.py", "def third_thing():\n    return 3\n");
    assert!(index(&place, &address, None).err.contains(&third));
    assert_eq!(place.found("third_thing", &["--channels", "symbol"]).len(), 1);
    assert_eq!(place.found("first_thing", &["--channels", "symbol"]).len(), 0);
    for (state, commit) in [("v1", &first), (&second, &second), ("main", &third)] {
        let ran = index(&place, &format!("{address}@{state}"), None);
        assert!(ran.err.contains(commit), "{state}: {ran:?}");
        ran.ok();
    }
    let unknown = index(&place, &format!("{address}@v7"), None);
    unknown.fails(2, &["ref = ", "v7", "a branch, a tag"]);
    assert!(index(&place, &address, None).err.contains(&third), "an old clone stays usable");
}

#[test]
fn a_failed_clone_says_why_and_leaves_nothing_behind() {
    let place = Place::new(&[("a.py", "x = 1\n")]);
    let nowhere = format!("file://{}/nowhere", place.path().display());
    index(&place, &nowhere, None)
        .fails(16, &["nowhere", "git cannot read it", "check the address"]);
    let plain = format!("file://{}", place.repo().display());
    index(&place, &plain, None).fails(16, &["git cannot read it"]);
    index(&place, "https://127.0.0.1:1/o/r", None).fails(16, &["127.0.0.1", "check the network"]);
    index(&place, "http://127.0.0.1/o/r", None).fails(2, &["address = ", "https://"]);
    index(&place, &plain, Some("/nonexistent")).fails(16, &["the command git", "install git"]);
    let clones = place.path().join("user-cache/codeintel/repositories");
    let left: Vec<_> = fs::read_dir(clones).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["LOCK"]);
}
