//! Repositories of every form: shallow, linked worktrees, submodules, several roots, damaged.

use super::*;
use crate::base::telemetry::{StepStatus, attrs};

#[test]
fn a_folder_without_git_has_no_history() {
    let place = Place::new(&[("a.rs", b"1\n")]);
    let (repo, path) = (place.repo(), RepoPath::new("a.rs"));
    let paths = std::slice::from_ref(&path);
    let found = repo.file_commits(paths, paths);
    assert!(found.last.is_empty() && found.counts.is_empty() && found.stopped.is_none());
    assert_eq!(repo.heads(), "");
    let error = repo.blame(&path, 1..=1, &BlameCache::default(), &cx()).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("not inside a git repository"), "{error}");
    assert!(repo.file_history(&path, 1, &cx()).is_err());
}

#[test]
fn a_shallow_clone_says_where_its_history_ends() {
    let place = Place::committed(&[("a.rs", b"one\n")]);
    for (time_s, text) in [(2000, "one\ntwo\n"), (3000, "one\ntwo\nthree\n")] {
        place.write("a.rs", text.as_bytes());
        place.commit(time_s, &time_s.to_string());
    }
    let clone = Place::new(&[]);
    let from = format!("file://{}", place.folder.path().display());
    clone.git(0, &["clone", "-q", "--depth=2", &from, "clone"]);
    let (repo, path) = (repo(&clone.path("clone")), RepoPath::new("a.rs"));
    let blame = repo.blame(&path, 1..=3, &BlameCache::default(), &cx()).unwrap();
    assert_eq!(lines(&blame), blame_of_git(&clone.path("clone"), "a.rs"));
    let boundaries: Vec<bool> = blame
        .hunks
        .iter()
        .map(|hunk| matches!(hunk.origin, BlameOrigin::Commit { is_boundary: true, .. }))
        .collect();
    assert_eq!(boundaries, [true, false]);
    let history = repo.file_history(&path, 10, &cx()).unwrap();
    let kinds: Vec<&ChangeKind> = history.changes.iter().map(|change| &change.kind).collect();
    assert_eq!(kinds, [&ChangeKind::Modified, &ChangeKind::Boundary]);
    assert_eq!(history.stopped, Some(HistoryStop::Shallow));
}

#[test]
fn a_linked_worktree_and_a_submodule_have_their_own_head() {
    let inner = Place::committed(&[("lib.rs", b"inner\n")]);
    let place = Place::committed(&[("a.rs", b"one\n")]);
    let from = inner.folder.path().display().to_string();
    place.git(2000, &["submodule", "--quiet", "add", &from, "vendor/inner"]);
    place.commit(2000, "Submodule");
    let blame = place.blame("vendor/inner/lib.rs");
    assert_eq!(blame.head, Some(inner.git(0, &["rev-parse", "HEAD"]).trim().to_owned()));
    assert_eq!(
        lines(&blame),
        blame_of_git(&place.path("vendor/inner"), "lib.rs")
            .into_iter()
            .map(|(id, path, line)| (id, format!("vendor/inner/{path}"), line))
            .collect::<Vec<_>>()
    );
    assert_eq!(place.history("vendor/inner/lib.rs").changes[0].path, "vendor/inner/lib.rs");

    let linked = Place::new(&[]);
    let to = linked.path("linked").display().to_string();
    place.git(3000, &["worktree", "add", "-q", "-b", "linked", &to]);
    assert!(linked.path("linked/.git").is_file());
    fs::write(linked.path("linked/a.rs"), "one\nof the branch\n").unwrap();
    git_in(&linked.path("linked"), 4000, &["commit", "-qam", "Branch"]);
    let repo = repo(&linked.path("linked"));
    let cache = BlameCache::default();
    let blame = repo.blame(&RepoPath::new("a.rs"), 1..=2, &cache, &cx()).unwrap();
    assert_eq!(lines(&blame), blame_of_git(&linked.path("linked"), "a.rs"));
    assert_ne!(blame.head, place.blame("a.rs").head);
}

#[test]
fn paths_are_named_as_in_the_index_and_others_from_the_top() {
    let text: String = (0..20).map(|n| format!("line {n}\n")).collect();
    let place = Place::committed(&[("outside/a.rs", text.as_bytes()), ("lib/x.rs", b"x\n")]);
    fs::create_dir_all(place.path("src")).unwrap();
    place.git(2000, &["mv", "outside/a.rs", "src/a.rs"]);
    place.commit(2000, "Move in");
    place.git(3000, &["mv", "src/a.rs", "src/b.rs"]);
    place.commit(3000, "Move within");
    let roots = [place.path("src"), place.path("lib")];
    let repo = Repo::open(&roots, &Settings::default()).unwrap();
    let history = repo.file_history(&RepoPath::new("src/b.rs"), 10, &cx()).unwrap();
    let paths: Vec<&str> = history.changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["src/b.rs", "src/a.rs", ":/outside/a.rs"]);
    let from = ChangeKind::Renamed { from: ":/outside/a.rs".to_owned() };
    assert_eq!(history.changes[1].kind, from);

    let single = Repo::open(&[place.path("src")], &Settings::default()).unwrap();
    let history = single.file_history(&RepoPath::new("b.rs"), 10, &cx()).unwrap();
    let paths: Vec<&str> = history.changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["b.rs", "a.rs", ":/outside/a.rs"]);

    let file = Repo::open(&[place.path("src/b.rs")], &Settings::default()).unwrap();
    let blame = file.blame(&RepoPath::new("b.rs"), 1..=1, &BlameCache::default(), &cx()).unwrap();
    assert_eq!(lines(&blame)[0].1, ":/outside/a.rs");
    let history = file.file_history(&RepoPath::new("b.rs"), 10, &cx()).unwrap();
    assert_eq!(history.changes[0].path, "b.rs");
}

#[test]
fn an_object_that_is_missing_is_named_with_the_remedy() {
    let place = Place::committed(&[("a.rs", b"one\n")]);
    let first = place.git(0, &["rev-parse", "HEAD"]).trim().to_owned();
    place.write("a.rs", b"one\ntwo\n");
    place.commit(2000, "Second");
    fs::remove_file(place.path(&format!(".git/objects/{}/{}", &first[..2], &first[2..]))).unwrap();
    let (repo, path) = (place.repo(), RepoPath::new("a.rs"));
    let error = repo.blame(&path, 1..=2, &BlameCache::default(), &cx()).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains(&first), "{error}");
    assert!(error.to_string().contains("git fsck"), "{error}");

    fs::write(place.path(".git/HEAD"), "nonsense").unwrap();
    let error = repo.blame(&path, 1..=2, &BlameCache::default(), &cx()).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

#[test]
fn both_operations_are_steps_of_the_run_with_their_file() {
    let place = Place::committed(&[("a.rs", b"one\ntwo\n")]);
    let (repo, path, cx) = (place.repo(), RepoPath::new("a.rs"), cx());
    repo.blame(&path, 1..=2, &BlameCache::default(), &cx).unwrap();
    repo.file_history(&path, 5, &cx).unwrap();
    repo.file_history(&RepoPath::new("b.rs"), 5, &cx).unwrap_err();
    let steps = cx.report().steps;
    let told: Vec<String> = steps
        .iter()
        .map(|step| {
            let told = [attrs::GIT_OP, attrs::GIT_PATH, attrs::GIT_LINE_RANGE, attrs::GIT_RESULTS];
            let told = told.map(|attr| step.get(attr).map(ToString::to_string).unwrap_or_default());
            format!("{} {}", step.stage.span_name(), told.join(" "))
        })
        .collect();
    let expected = [
        "git.blame blame a.rs 1-2 1",
        "git.file_history file_history a.rs  1",
        "git.file_history file_history b.rs  ",
    ];
    assert_eq!(told, expected);
    assert_eq!(steps[2].status, StepStatus::Error);
}
