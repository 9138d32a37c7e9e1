//! The last commit of each file, and how many there are.

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
    let found = repo.file_commits(&wanted, &[]).last;
    let of = |path: &RepoPath| found.get(path).map(|c| (c.time_s, c.summary.as_str()));
    assert_eq!(of(&wanted[0]), Some((1000, "First")));
    assert_eq!(of(&wanted[1]), Some((2000, "Second")), "not the merge");
    assert_eq!(of(&wanted[2]), Some((3000, "Third")));
    assert_eq!(of(&wanted[3]), None, "never committed");
    let commit = &found[&wanted[0]];
    assert_eq!((commit.author.as_str(), commit.id.len()), ("Ada", 40));

    let below = Repo::open(&[place.path("sub")], &Settings::default()).unwrap();
    let inner = RepoPath::new("b.rs");
    let found = below.file_commits(std::slice::from_ref(&inner), &[]).last;
    assert_eq!(found[&inner].summary, "Second", "a root inside a git repository");
}

#[test]
fn commits_and_authors_of_each_file_are_counted_as_far_as_the_history_goes() {
    let place = Place::committed(&[("a.rs", b"1\n"), ("b.rs", b"1\n")]);
    for (time_s, author) in [(2000, "Grace"), (3000, "Grace"), (4000, "Ada")] {
        place.write("a.rs", format!("{time_s}\n").as_bytes());
        place.git(time_s, &["add", "."]);
        let author = format!("{author} <a@b.c>");
        place.git(time_s, &["commit", "-qm", "Change", "--author", &author]);
    }
    place.write("new.rs", b"1\n");
    let count = |commits, authors, main_author: &str, main_commits| CommitCount {
        commits,
        authors,
        main_author: main_author.to_owned(),
        main_commits,
    };
    let paths = ["a.rs", "b.rs", "new.rs"].map(RepoPath::new);
    let found = place.repo().file_commits(&[], &paths);
    assert_eq!(found.counts[&paths[0]], count(4, 2, "Ada", 2), "of equal authors the first");
    assert_eq!(found.counts[&paths[1]], count(1, 1, "Ada", 1));
    assert_eq!((found.counts.len(), found.last.len(), found.stopped), (2, 0, None));
    let dated = place.repo().file_commits(&paths, &paths);
    assert_eq!((dated.last[&paths[0]].time_s, dated.counts), (4000, found.counts));
    assert_eq!(place.repo().heads(), place.git(0, &["rev-parse", "HEAD"]).trim());

    let clone = Place::new(&[]);
    let from = format!("file://{}", place.folder.path().display());
    clone.git(0, &["clone", "-q", "--depth=2", &from, "clone"]);
    let found = repo(&clone.path("clone")).file_commits(&[], &paths);
    assert_eq!(found.counts, [(paths[0].clone(), count(1, 1, "Ada", 1))].into());
    assert_eq!(found.stopped, Some(HistoryStop::Shallow));
}
