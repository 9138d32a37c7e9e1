//! The files of the index by their `file:` URIs.

use std::path::Path;
use std::sync::Arc;

use url::Url;

use super::cursor::Pages;
use super::{App, open_file};
use crate::base::error::{Error, Result};
use crate::index::catalog::ScopeSpec;

/// Some files of the index.
pub struct FilePage {
    pub files: Vec<IndexedFile>,
    pub next_cursor: Option<String>,
}

/// A file of the index that is on this machine.
pub struct IndexedFile {
    pub uri: String,
    pub path: String,
    pub language: String,
    pub size_bytes: u64,
}

/// A `file:` URI, of all lines or some: `file:///a/b%20c.rs#L3-L9`.
pub(super) fn file_uri(file: &Path, lines: Option<(u32, u32)>) -> Option<String> {
    let mut uri = Url::from_file_path(file).ok()?;
    if let Some((start, end)) = lines {
        uri.set_fragment(Some(&format!("L{start}-L{end}")));
    }
    Some(uri.into())
}

/// At most `n` files, sorted by path.
pub fn list(app: &App, cursor: Option<&str>, n: usize) -> Result<FilePage, Arc<Error>> {
    let searcher = app.index_when_open()?;
    let pages = Pages::new(&searcher.version().manifest.version, &"resources");
    let offset = pages.offset(cursor)?;
    let all = searcher.catalog().files_in(&ScopeSpec::default())?;
    let total = all.len();
    let page = all.into_iter().skip(offset).take(n);
    let files = page.filter_map(|row| {
        let uri = file_uri(&searcher.roots().find(&row.path)?, None)?;
        let (path, language, size_bytes) = (row.path, row.language, row.size_bytes);
        Some(IndexedFile { uri, path, language, size_bytes })
    });
    let next_cursor = (offset + n < total).then(|| pages.next(offset + n));
    Ok(FilePage { files: files.collect(), next_cursor })
}

/// The text of an indexed file.
pub fn read(app: &App, uri: &str) -> Result<String, Arc<Error>> {
    let searcher = app.index_when_open()?;
    let path = Url::parse(uri).ok().filter(|uri| uri.scheme() == "file");
    let path = path.and_then(|uri| uri.to_file_path().ok());
    let Some(path) = path else {
        let value = format!("{:?}", crate::base::text::prefix(uri, 200));
        let expected = "a file: URI of an indexed file".to_owned();
        return Err(Error::Argument { name: "uri", value, expected }.into());
    };
    let missing = || Error::PathNotFound { path: path.clone() };
    let indexed = searcher.roots().name_of(&path).ok_or_else(missing)?;
    if searcher.catalog().file(&indexed)?.is_none() {
        return Err(missing().into());
    }
    Ok(open_file::open(&searcher, &indexed)?.text)
}
