//! `codeintel status`: shows what the index holds.

use super::Context;
use super::out::{BOLD, DIM, GOOD, PATH, bytes, count, counted, paint};
use crate::base::error::Result;
use crate::index::catalog::Catalog;
use crate::tools::wire::StatusAnswer;

#[derive(clap::Args)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Compare every file of the index with its checksum
    #[arg(long)]
    pub verify: bool,
}

pub fn run(mut cx: Context, args: StatusArgs) -> Result<()> {
    let data = cx.app.data();
    let version = data.current()?;
    if args.verify {
        version.verify()?;
    }
    let catalog = Catalog::open(&version.folder.catalog())?;
    let status = StatusAnswer::new(data.path(), &version, &catalog)?;
    let out = &mut cx.out;
    if args.json {
        return out.json(&status);
    }
    out.line(format!("{} {}", paint(BOLD, "Index"), paint(PATH, &status.data)))?;
    out.line(format!("  version   {} of {}", status.version, status.indexed_at))?;
    out.line(format!("  roots     {}", status.roots.join(", ")))?;
    out.line(format!("  model     {} ({} dimensions)", status.model, status.dim))?;
    out.line(format!(
        "  holds     {}, {}, {}; {}",
        counted(status.files, "file"),
        counted(status.chunks, "chunk"),
        counted(status.symbols, "symbol"),
        bytes(status.bytes_on_disk),
    ))?;
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
