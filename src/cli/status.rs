//! `codeintel status` and `codeintel config`: the state of the index, and the settings.

use super::Context;
use super::args::{ConfigArgs, StatusArgs};
use super::out::{BOLD, DIM, GOOD, PATH, bytes, count, counted, paint};
use crate::base::config::{KEYS, default_file};
use crate::base::error::Result;
use crate::base::telemetry::catalogue;
use crate::index::catalog::Catalog;
use crate::tools::wire::StatusAnswer;

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

pub fn config(mut cx: Context, args: ConfigArgs) -> Result<()> {
    if args.defaults {
        return cx.out.raw(default_file().as_bytes());
    }
    if args.telemetry {
        return cx.out.raw(catalogue::markdown().as_bytes());
    }
    for key in KEYS {
        let value = key.value(cx.app.settings());
        let changed = if value == (key.default)() { "" } else { "  (default: " };
        let default = if changed.is_empty() { String::new() } else { (key.default)() + ")" };
        let note = paint(DIM, format!("{changed}{default}"));
        cx.out.line(format!("{} = {value}{note}", paint(BOLD, key.name)))?;
        cx.out.line(paint(DIM, format!("    {}. {}", key.help, key.env())))?;
    }
    Ok(())
}
