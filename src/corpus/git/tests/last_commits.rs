//! The last commit of each file is the one that changed it.

use super::*;

#[test]
fn the_last_commit_of_each_file_is_the_one_that_changed_it() {
    let place = Place::new(&[("a.rs", b"1\n"), ("sub/b.rs", b"1\n"), ("c.rs", b"1\n")]);
    place.git(1000, &["init", "-q"]);
    place.git(1000, &["add", "."]);
    place.git(1000, &["commit", "-qm", "First\n\nWith a body"]);
    place.git(1500, &["checkout", "-qb", "side"]);
    place.write("sub/b.rs", b"2\n");
    place.git(2000, &["commit", "-qam", "Second"]);
    place.git(2100, &["checkout", "-q", "main"]);
    place.write("c.rs", b"2\n");
    place.git(3000, &["commit", "-qam", "Third"]);
    place.git(4000, &["merge", "-q", "--no-ff", "side", "-m", "Merge"]);
    place.write("new.rs", b"1\n");

    let repo = place.repo();
    let wanted = ["a.rs", "sub/b.rs", "c.rs", "new.rs"].map(RepoPath::new);
    let found = repo.last_commits(&wanted);
    let of = |path: &RepoPath| found.get(path).map(|c| (c.time_s, c.summary.as_str()));
    assert_eq!(of(&wanted[0]), Some((1000, "First")));
    assert_eq!(of(&wanted[1]), Some((2000, "Second")), "not the merge");
    assert_eq!(of(&wanted[2]), Some((3000, "Third")));
    assert_eq!(of(&wanted[3]), None, "never committed");
    let commit = &found[&wanted[0]];
    assert_eq!((commit.author.as_str(), commit.id.len()), ("Ada", 40));

    let below = Repo::open(&[place.path("sub")], &Settings::default()).unwrap();
    let inner = RepoPath::new("b.rs");
    let found = below.last_commits(std::slice::from_ref(&inner));
    assert_eq!(found[&inner].summary, "Second", "a root inside a git repository");
}
