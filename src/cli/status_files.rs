//! `codeintel status --files` and `--skipped`: what was decided about each file.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::Serialize;

use super::Context;
use super::out::{DIM, PATH, count, counted, paint};
use crate::base::error::Result;
use crate::corpus::source::{Channels, Repo};
use crate::index::catalog::{Catalog, FileRow};

/// Which part of a list is printed.
#[derive(clap::Args)]
pub struct PageArgs {
    /// Maximum number of files that --files or --skipped prints
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub limit: usize,
    /// Begin after this path, the last one of the page before
    #[arg(long, value_name = "PATH")]
    pub after: Option<String>,
}

/// A part of a list, sorted by path.
#[derive(Serialize)]
struct Page<T> {
    files: Vec<T>,
    /// Of the whole list.
    total: usize,
    /// The value of --after for the next part; null if there is none.
    next: Option<String>,
}

#[derive(Serialize)]
struct IndexedFile {
    path: String,
    language: String,
    kind: &'static str,
    channels: &'static str,
    /// What decided the channels; null if the kind did.
    why: Option<String>,
    /// The attributes of git that mark the file.
    attributes: Option<String>,
    /// Null for UTF-8.
    encoding: Option<String>,
    chunks: u32,
}

#[derive(Serialize)]
struct SkippedFile {
    path: String,
    reason: &'static str,
}

impl PageArgs {
    /// all: sorted by path.
    fn page<T>(&self, mut all: Vec<T>, path: impl Fn(&T) -> &str) -> Page<T> {
        let total = all.len();
        let after = self.after.as_deref();
        let first = after.map_or(0, |after| all.partition_point(|one| path(one) <= after));
        all.drain(..first);
        let has_more = all.len() > self.limit;
        all.truncate(self.limit);
        let next = all.last().filter(|_| has_more).map(|one| path(one).to_owned());
        Page { files: all, total, next }
    }
}

/// Prints the files of the index.
pub fn files(cx: &mut Context, catalog: &Catalog, args: &PageArgs, json: bool) -> Result<()> {
    let page = args.page(catalog.files()?, |row| &row.path);
    let page = Page {
        files: page.files.into_iter().map(indexed).collect(),
        total: page.total,
        next: page.next,
    };
    if json {
        return cx.out.json(&page);
    }
    for file in &page.files {
        let words = if file.channels == Channels::Words.as_str() { ", by words only" } else { "" };
        let notes = file.why.iter().chain(&file.encoding).map(|note| format!("; {note}"));
        let notes: String = notes.collect();
        let about =
            format!("{}{words}{notes}; {}", file.kind, counted(file.chunks as usize, "chunk"));
        cx.out.line(format!("{}  {}", paint(PATH, &file.path), paint(DIM, about)))?;
    }
    end(cx, "file", page.files.len(), page.total, page.next.as_deref())
}

fn indexed(row: FileRow) -> IndexedFile {
    let marks = row.marks.trim().to_owned();
    IndexedFile {
        path: row.path,
        language: row.language,
        kind: row.kind.as_str(),
        channels: row.channels.as_str(),
        why: Some(row.why).filter(|why| !why.is_empty()),
        attributes: Some(marks).filter(|marks| !marks.is_empty()),
        encoding: row.encoding,
        chunks: row.chunk_count,
    }
}

/// Prints the files under the roots that the index does not have, and the folders that rules exclude.
pub fn skipped(
    cx: &mut Context,
    catalog: &Catalog,
    roots: &[PathBuf],
    args: &PageArgs,
    json: bool,
) -> Result<()> {
    let repo = Repo::open(roots, cx.app.settings())?;
    let known: HashSet<&str> =
        catalog.file_spans()?.iter().map(|span| span.path.as_str()).collect();
    let listing = repo.list_until(&|| false)?;
    let mut all: Vec<(String, &'static str)> =
        listing.left_out.into_iter().map(|left| (left.path, left.reason.as_str())).collect();
    for entry in listing.entries.iter().filter(|entry| !known.contains(entry.path.as_str())) {
        let reason = match repo.read(entry)? {
            Ok(_) => "new since the index was made",
            Err(reason) => reason.as_str(),
        };
        all.push((entry.path.as_str().to_owned(), reason));
    }
    all.sort();
    let page = args.page(all, |(path, _)| path);
    let (total, next) = (page.total, page.next);
    let files = page.files.into_iter().map(|(path, reason)| SkippedFile { path, reason });
    let page = Page { files: files.collect(), total, next };
    if json {
        return cx.out.json(&page);
    }
    for file in &page.files {
        cx.out.line(format!("{}  {}", paint(PATH, &file.path), paint(DIM, file.reason)))?;
    }
    end(cx, "skipped file or folder", page.files.len(), page.total, page.next.as_deref())
}

fn end(cx: &mut Context, what: &str, shown: usize, total: usize, next: Option<&str>) -> Result<()> {
    match next {
        None if total == 0 => cx.out.line(format!("No {what}")),
        None => Ok(()),
        Some(last) => {
            let (shown, total) = (count(shown), count(total));
            let line = format!("{shown} of {total} are shown; --after {last:?} continues");
            cx.out.line(paint(DIM, line))
        }
    }
}
