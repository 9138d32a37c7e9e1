//! Several processes: killed writers, two writers, and readers beside a writer.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{Place, Ran, rust_file, signal, wait_for, wait_until};

/// A child process that is killed when this is dropped, also by a failing assertion.
struct Killed(Child);

impl Killed {
    fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn small(generation: usize) -> Place {
    let place =
        Place::uncached(&[("other.rs", &rust_file(1, 6)), ("doc.md", "# About\n\nWords.\n")]);
    write_generation(&place, generation);
    place
}

fn write_generation(place: &Place, generation: usize) {
    place
        .write("state.rs", format!("fn state_marker() {{\n    // generation <{generation}>\n}}\n"));
}

/// The generation that `search` finds, or none if there is no index yet. Any other result fails.
fn found_generation(place: &Place) -> Option<usize> {
    let ran = place.run(&["search", "state_marker", "--json"]);
    if ran.code == Some(8) {
        ran.fails(8, &["no index in", "codeintel index"]);
        return None;
    }
    let snippets = ran.snippets();
    let mark = snippets.iter().find_map(|text| text.split_once('<')?.1.split_once('>'));
    Some(mark.unwrap_or_else(|| panic!("no state in {snippets:?}")).0.parse().unwrap())
}

fn index_killed_after(place: &Place, delay: Duration) {
    let mut child = Killed::spawn(place.command(&["index", "repo"]));
    std::thread::sleep(delay);
    child.0.kill().unwrap();
}

fn timed(work: impl FnOnce() -> Ran) -> Duration {
    let started = Instant::now();
    work().ok();
    started.elapsed()
}

/// `kills` random instants, one in each equal part of a little more than `whole`.
fn instants(whole: Duration, kills: usize, random: &mut fastrand::Rng) -> Vec<Duration> {
    let part = whole.mul_f64(1.1 / kills as f64);
    (0..kills).map(|i| part.mul_f64(i as f64 + random.f64())).collect()
}

#[test]
fn a_first_build_killed_at_any_instant_leaves_nothing_or_all_of_it() {
    small(0).run_index(&[]).ok();
    let whole = timed(|| small(0).run_index(&[]));
    let mut place = small(0);
    for (i, delay) in instants(whole, 10, &mut fastrand::Rng::with_seed(1)).into_iter().enumerate()
    {
        write_generation(&place, i);
        index_killed_after(&place, delay);
        if let Some(found) = found_generation(&place) {
            assert_eq!(found, i, "killed after {delay:?}");
            place = small(i);
        }
    }
    write_generation(&place, 100);
    place.run_index(&[]).ok();
    assert_eq!(found_generation(&place), Some(100));
}

#[test]
fn an_update_killed_at_any_instant_leaves_the_old_version_or_the_new_one() {
    let place = small(0);
    place.run_index(&[]).ok();
    let mut published = 0;
    write_generation(&place, published);
    let whole = timed(|| {
        published = 1;
        write_generation(&place, published);
        place.run_index(&[])
    });
    for (i, delay) in (2..).zip(instants(whole, 10, &mut fastrand::Rng::with_seed(2))) {
        write_generation(&place, i);
        index_killed_after(&place, delay);
        let found = found_generation(&place).expect("a version was published");
        assert!(found == published || found == i, "{found} after {published}, killed at {delay:?}");
        published = found;
    }
    write_generation(&place, 100);
    place.run_index(&[]).ok();
    assert_eq!(found_generation(&place), Some(100));
    let versions = fs::read_dir(place.data().path().join("versions")).unwrap();
    let staging = |name: &std::ffi::OsStr| name.to_string_lossy().contains("staging");
    assert!(
        !versions.flatten().any(|entry| staging(&entry.file_name())),
        "no staging folder is left"
    );
}

#[test]
fn a_second_writer_is_refused_with_the_process_of_the_first() {
    let place = small(0);
    let mut first = Killed::spawn(place.command(&["index", "repo"]));
    let pid = first.0.id();
    let lock = place.data().path().join("LOCK");
    let held = || fs::read_to_string(&lock).is_ok_and(|text| text.contains(&pid.to_string()));
    wait_for("the lock of the first writer", held);
    signal(pid, "STOP");
    let data = place.data().path().display().to_string();
    place.run_index(&[]).fails(11, &[&data, &format!("process {pid} "), "wait until"]);
    place.run(&["gc"]).fails(11, &[&format!("process {pid} ")]);
    signal(pid, "CONT");
    assert!(first.0.wait().unwrap().success(), "the first writer was not disturbed");
    assert_eq!(found_generation(&place), Some(0));
    place.run_index(&[]).ok();
}

#[test]
fn a_watched_folder_is_searchable_soon_after_a_save() {
    let place = small(0);
    let mut child = Killed::spawn(place.command(&["index", "repo", "--watch"]));
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("watching")));
    // A file saved between the first run and the start of the watch must be found, too.
    for generation in 1..=3 {
        write_generation(&place, generation);
        let limit = Duration::from_secs(20);
        wait_until("the saved generation", limit, || found_generation(&place) == Some(generation));
    }
    place.remove("doc.md");
    place.write("sub/new.rs", "fn in_a_new_folder() {}\n");
    wait_until("the file in a new folder", Duration::from_secs(20), || {
        place.found("in_a_new_folder", &[]).iter().any(|text| text.contains("in_a_new_folder"))
    });
    assert!(child.0.try_wait().unwrap().is_none(), "it is still watching");
}

#[test]
fn a_root_that_is_replaced_while_it_is_watched_is_found_again() {
    let place = small(0);
    let mut child = Killed::spawn(place.command(&["index", "repo", "--watch"]));
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("watching")));
    let limit = Duration::from_secs(20);
    fs::rename(place.repo(), place.path().join("before")).unwrap();
    fs::create_dir(place.repo()).unwrap();
    write_generation(&place, 1);
    wait_until("the new root", limit, || found_generation(&place) == Some(1));
    // Away for longer than an interval of looking for it.
    fs::remove_dir_all(place.repo()).unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    fs::create_dir(place.repo()).unwrap();
    for generation in 2..=3 {
        write_generation(&place, generation);
        wait_until("the root again", limit, || found_generation(&place) == Some(generation));
    }
    assert!(child.0.try_wait().unwrap().is_none(), "it is still watching");
}

#[test]
fn a_folder_that_cannot_be_read_is_named_once_and_does_not_end_a_watch() {
    let place = small(0);
    place.write("closed/a.rs", "fn closed() {}\n");
    let closed = place.repo().join("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let command = place.command(&["index", "repo", "--watch"]);
    // The superuser reads every folder unless this is taken from it.
    let mut limited = Command::new("setpriv");
    limited.args(["--bounding-set", "-dac_override,-dac_read_search"]);
    limited.arg(command.get_program()).args(command.get_args());
    limited.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let is_superuser = fs::read_dir(&closed).is_ok();
    let mut child = Killed::spawn(if is_superuser { limited } else { command });
    let lines = BufReader::new(child.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let said = Arc::new(Mutex::new(Vec::new()));
    let reader = std::thread::spawn({
        let said = said.clone();
        move || lines.for_each(|line| said.lock().unwrap().push(line))
    });
    let watches = || said.lock().unwrap().iter().any(|line: &String| line.contains("watching"));
    wait_for("the watch", watches);
    for generation in 1..=3 {
        write_generation(&place, generation);
        place.write(&format!("new_{generation}/a.rs"), "fn a() {}\n");
        let is_found = || found_generation(&place) == Some(generation);
        wait_until("the saved generation", Duration::from_secs(20), is_found);
    }
    assert!(child.0.try_wait().unwrap().is_none(), "it is still watching");
    drop(child);
    reader.join().unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let said = said.lock().unwrap();
    let named = said.iter().filter(|line| line.contains("closed") && line.contains("not watched"));
    assert_eq!(named.count(), 1, "{said:?}");
}

#[test]
fn versions_are_listed_rolled_back_and_collected() {
    let place = small(0);
    for generation in 0..3 {
        write_generation(&place, generation);
        place.run_index(&[]).ok();
    }
    let versions = |place: &Place| -> Vec<(String, bool)> {
        let versions = place.run(&["versions", "--json"]).json();
        let name = |v: &serde_json::Value| v["version"].as_str().unwrap().to_owned();
        versions
            .as_array()
            .unwrap()
            .iter()
            .map(|v| (name(v), v["current"].as_bool().unwrap()))
            .collect()
    };
    let pair = |name: &str, current| (name.to_owned(), current);
    assert_eq!(versions(&place), [pair("000002", false), pair("000003", true)], "two are kept");

    place.run(&["rollback"]).ok();
    assert_eq!(found_generation(&place), Some(1));
    assert_eq!(versions(&place), [pair("000002", true), pair("000003", false)]);
    place.run(&["rollback"]).fails(2, &["version", "000002, 000003", "current: 000002"]);
    place.run(&["rollback", "000009"]).fails(2, &["000009", "000002, 000003"]);
    place.run(&["rollback", "000003"]).ok();
    assert_eq!(found_generation(&place), Some(2));

    place.run(&["rollback"]).ok();
    let out = place.run_index(&[]).ok();
    assert!(out.contains("000004"), "a name is never used twice: {out}");
    assert_eq!(found_generation(&place), Some(2));
    place.run(&["gc", "--keep", "1"]).ok();
    assert_eq!(versions(&place), [pair("000004", true)]);
    place.run(&["status", "--verify"]).ok();
}
