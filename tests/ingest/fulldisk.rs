//! Indexing on a full disk.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{BINARY, Place, Ran, rust_file};

/// A small file system in memory, which is unmounted when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, mb: usize) -> Self {
        fs::create_dir_all(at).unwrap();
        let size = format!("size={mb}m");
        let mut mount = Command::new("mount");
        Ran::from(mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(at).output().unwrap()).ok();
        Self(at.to_path_buf())
    }

    /// Fills the disk except for `free` bytes, and returns the file that does.
    fn fill(&self, free: u64) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        let full = file.metadata().unwrap().len();
        file.set_len(full.saturating_sub(free)).unwrap();
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn place() -> Place {
    Place::uncached(&[("a.rs", "fn first_state() {}\n"), ("b.rs", &rust_file(5, 30))])
}

fn assert_no_space(ran: &Ran) {
    ran.fails(12, &["no space left", "free some space", "published index is unchanged"]);
}

#[test]
#[ignore = "needs permission to mount a file system; `make test` runs it where it has that"]
fn a_full_disk_is_reported_and_leaves_the_published_version() {
    let mut place = place();
    let disk = SmallDisk::mount(&place.path().join("disk"), 16);
    place.settings.data.dir = disk.0.join("data").display().to_string();
    let sizes = |each: &[u64]| each.iter().map(|kb| kb << 10).collect::<Vec<_>>();
    place.run_index(&[]).ok();
    let whole = place.version().bytes() >> 10;
    fs::remove_dir_all(&place.settings.data.dir).unwrap();
    for free in sizes(&[0, 16, whole / 4, whole / 2, whole * 3 / 4, whole * 9 / 10]) {
        let filler = disk.fill(free);
        assert_no_space(&place.run_index(&[]));
        assert_eq!(place.run(&["search", "first_state"]).code, Some(8), "{free}");
        fs::remove_file(filler).unwrap();
        let _ = fs::remove_dir_all(&place.settings.data.dir);
    }

    place.run_index(&[]).ok();
    let mut state = "first_state".to_owned();
    let mut errors = String::new();
    // The copy of the catalog is the largest part. Near its size the other parts fail, too.
    let catalog = || fs::metadata(place.catalog().path()).unwrap().len() >> 10;
    for more in [-9999, -1024, -4, 4, 12, 20, 28, 40, 60, 100] {
        let free = sizes(&[catalog().saturating_add_signed(more)])[0];
        let new = format!("state_{}", more.unsigned_abs());
        place.write("a.rs", format!("fn {new}() {{}}\n"));
        let filler = disk.fill(free);
        let ran = place.run_index(&[]);
        if ran.code == Some(0) {
            state = new;
        } else {
            assert_no_space(&ran);
            errors += &ran.err;
        }
        let found = place.found(&state, &[]);
        assert!(found.iter().any(|text| text.contains(&state)), "{free}: {found:?}");
        fs::remove_file(filler).unwrap();
    }
    for part in ["staging/lexical", "staging/catalog.duckdb"] {
        assert!(errors.contains(part), "the disk was full while writing {part}: {errors}");
    }
    place.write("a.rs", "fn last_state() {}\n");
    place.run_index(&[]).ok();
    assert!(place.found("last_state", &[])[0].contains("last_state"));
    place.run(&["status", "--verify"]).ok();
}

#[test]
fn a_limit_on_file_size_is_reported_and_leaves_the_published_version() {
    let place = place();
    place.run_index(&[]).ok();
    place.write("a.rs", "fn second_state() {}\n");
    for kb in [0, 4, 1024] {
        // Without the trap SIGXFSZ would end the program.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", 2 * kb);
        let environment = place.command(&[]);
        let mut command = Command::new("sh");
        command.args(["-c", &script, BINARY, "index"]).arg(place.repo());
        command.envs(environment.get_envs().filter_map(|(k, v)| Some((k, v?))));
        let ran = Ran::from(command.current_dir(place.path()).output().unwrap());
        ran.fails(12, &[&place.settings.data.dir]);
        assert!(place.found("first_state", &[])[0].contains("first_state"), "{kb}");
    }
    place.run_index(&[]).ok();
    assert!(place.found("second_state", &[])[0].contains("second_state"));
}
