//! `codeintel status`: shows what the index holds.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Context;
use super::out::{BOLD, DIM, GOOD, PATH, bytes, count, counted, paint};
use super::status_files::{self, PageArgs};
use crate::base::error::Result;
use crate::corpus::source::Repo;
use crate::index::catalog::Catalog;
use crate::ingest::changed_files;
use crate::tools::wire::StatusAnswer;

/// How long the files that have changed are counted.
const COUNT_MAX: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Compare every file of the index with its checksum
    #[arg(long)]
    pub verify: bool,
    /// List each indexed file with its kind, how it is found and why
    #[arg(long, conflicts_with_all = ["verify", "skipped"])]
    pub files: bool,
    /// List each file under the roots that is not indexed, with the reason
    #[arg(long, conflicts_with = "verify")]
    pub skipped: bool,
    #[command(flatten)]
    pub page: PageArgs,
}

pub fn run(mut cx: Context, args: StatusArgs) -> Result<()> {
    let data = cx.app.data();
    let version = data.current()?;
    if args.verify {
        version.verify()?;
    }
    let catalog = Catalog::open(&version.folder.catalog())?;
    if args.files {
        return status_files::files(&mut cx, &catalog, &args.page, args.json);
    }
    if args.skipped {
        let roots: Vec<_> = version.manifest.roots.iter().map(PathBuf::from).collect();
        return status_files::skipped(&mut cx, &catalog, &roots, &args.page, args.json);
    }
    let mut status = StatusAnswer::new(data.path(), &version, &catalog)?;
    let roots = version.manifest.roots.iter().map(PathBuf::from);
    let repo = Repo::open(&roots.collect::<Vec<_>>(), cx.app.settings());
    status.dirty_files = match repo {
        Ok(repo) => changed_files(&repo, &catalog, Instant::now() + COUNT_MAX)?,
        // The index may be on another machine than its files.
        Err(_) => None,
    };
    let out = &mut cx.out;
    if args.json {
        return out.json(&status);
    }
    out.line(format!("{} {}", paint(BOLD, "Index"), paint(PATH, &status.data)))?;
    out.line(format!("  version   {} of {}", status.version, status.indexed_at))?;
    out.line(format!("  roots     {}", status.roots.join(", ")))?;
    out.line(format!("  model     {} ({} dimensions)", status.model, status.dim))?;
    if let Some(model) = &status.sparse_model {
        out.line(format!("  sparse    {model}"))?;
    }
    out.line(format!(
        "  holds     {}, {}, {}; {}",
        counted(status.files, "file"),
        counted(status.chunks, "chunk"),
        counted(status.symbols, "symbol"),
        bytes(status.bytes_on_disk),
    ))?;
    let changed = match status.dirty_files {
        None => "unknown".to_owned(),
        Some(files) => format!("{} since then", counted(files, "file")),
    };
    out.line(format!("  changed   {changed}"))?;
    let delta = status.total_chunks - status.base_chunks;
    let deleted = status.total_chunks - status.chunks;
    out.line(format!(
        "  vectors   {} ({} base, {delta} delta, {deleted} deleted)",
        status.dense_kind, status.base_chunks
    ))?;
    for language in status.languages.iter().take(12) {
        let (files, chunks) = (count(language.files), count(language.chunks));
        let line = format!("    {:<12} {files:>8} files {chunks:>9} chunks", language.name);
        out.line(paint(DIM, line))?;
    }
    if args.verify {
        let line = format!("  {} every file matches its checksum", paint(GOOD, "verified:"));
        out.line(line)?;
    }
    Ok(())
}
