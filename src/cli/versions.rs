//! `codeintel versions`, `rollback` and `gc`: the published versions of an index.

use super::Context;
use super::args::JsonArgs;
use super::out::{BOLD, GOOD, bytes, counted, paint};
use crate::base::config::help;
use crate::base::error::{Error, Result};
use crate::index::versions::STAGING;
use crate::tools::wire::VersionAnswer;

#[derive(clap::Args)]
pub struct RollbackArgs {
    /// A version that `codeintel versions` lists [default: the one before the current one]
    #[arg(value_name = "VERSION")]
    pub version: Option<String>,
}

#[derive(clap::Args)]
pub struct GcArgs {
    #[arg(long, value_name = "N", help = help("data.versions_kept"))]
    pub keep: Option<usize>,
}

pub fn list(mut cx: Context, args: JsonArgs) -> Result<()> {
    let data = cx.app.data().clone();
    // List the versions by name only, so that the command works if the current version is damaged.
    let missing = || Error::IndexMissing { data: data.path().to_path_buf() };
    let current = data.current_name()?.ok_or_else(missing)?;
    let versions = data.list()?;
    if args.json {
        let versions: Vec<_> = versions.iter().map(|m| VersionAnswer::new(m, &current)).collect();
        return cx.out.json(&versions);
    }
    for manifest in versions {
        let mark = if manifest.version == current { "*" } else { " " };
        let size: u64 = manifest.parts.iter().map(|part| part.bytes).sum();
        cx.out.line(format!(
            "{mark} {}  {}  {}  {}  {}  {}",
            paint(BOLD, &manifest.version),
            manifest.created_at,
            counted(manifest.files, "file"),
            counted(manifest.live_chunks, "chunk"),
            manifest.dense_kind,
            bytes(size),
        ))?;
    }
    Ok(())
}

pub fn rollback(mut cx: Context, args: RollbackArgs) -> Result<()> {
    let data = cx.app.data().clone();
    let version = data.rollback(&data.lock()?, args.version.as_deref())?;
    let name = version.manifest.version;
    cx.out.line(format!("{} version {name} is current", paint(GOOD, "Rolled back:")))
}

pub fn gc(mut cx: Context, args: GcArgs) -> Result<()> {
    let data = cx.app.data().clone();
    let kept = args.keep.unwrap_or(cx.app.settings().data.versions_kept).max(1);
    let removed = data.gc(&data.lock()?, kept)?;
    let (leftovers, versions): (Vec<_>, Vec<_>) =
        removed.iter().map(String::as_str).partition(|name| name.ends_with(STAGING));
    if removed.is_empty() {
        return cx.out.line("Nothing to remove");
    }
    if !versions.is_empty() {
        cx.out.line(format!("Removed {}", versions.join(", ")))?;
    }
    if !leftovers.is_empty() {
        let folders = leftovers.join(", ");
        cx.out.line(format!("Removed what killed runs had left: {folders}"))?;
    }
    Ok(())
}
