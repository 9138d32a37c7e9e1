//! `codeintel versions`, `rollback`, `gc`: the published versions of an index.

use super::Context;
use super::args::{GcArgs, JsonArgs, RollbackArgs};
use super::out::{BOLD, GOOD, bytes, count, paint};
use crate::base::error::{Error, Result};
use crate::index::versions::DataFolder;
use crate::tools::wire;

impl Context {
    /// The data folder that the settings name.
    pub fn data(&self) -> DataFolder {
        let here = std::env::current_dir().unwrap_or_default();
        DataFolder::new(self.settings.data.folder(&here))
    }
}

pub fn list(mut cx: Context, args: JsonArgs) -> Result<()> {
    let data = cx.data();
    // By name alone: a current version that is damaged is when one wants to see the others.
    let missing = || Error::IndexMissing { data: data.path().to_path_buf() };
    let current = data.current_name()?.ok_or_else(missing)?;
    let versions = data.list()?;
    if args.json {
        let versions: Vec<_> = versions.iter().map(|m| wire::Version::new(m, &current)).collect();
        return cx.out.json(&versions);
    }
    for manifest in versions {
        let mark = if manifest.version == current { "*" } else { " " };
        let size: u64 = manifest.parts.iter().map(|part| part.bytes).sum();
        cx.out.line(format!(
            "{mark} {}  {}  {} files  {} chunks  {}  {}",
            paint(BOLD, &manifest.version),
            manifest.created_at,
            count(manifest.files),
            count(manifest.live_chunks),
            manifest.dense_kind,
            bytes(size),
        ))?;
    }
    Ok(())
}

pub fn rollback(mut cx: Context, args: RollbackArgs) -> Result<()> {
    let data = cx.data();
    let version = data.rollback(&data.lock()?, args.version.as_deref())?;
    let name = version.manifest.version;
    cx.out.line(format!("{} version {name} is current", paint(GOOD, "Rolled back:")))
}

pub fn gc(mut cx: Context, args: GcArgs) -> Result<()> {
    let data = cx.data();
    let kept = args.keep.unwrap_or(cx.settings.data.versions_kept).max(1);
    let removed = data.gc(&data.lock()?, kept)?;
    match removed.as_slice() {
        [] => cx.out.line("Nothing to remove"),
        removed => cx.out.line(format!("Removed {}", removed.join(", "))),
    }
}
