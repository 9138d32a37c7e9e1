//! The tool open_file: lines of a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, FileLink, ToolAnswer, ToolSpec, file_uri};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::base::text::prefix;
use crate::corpus::source::decode;
use crate::index::catalog::{Catalog, FileRow};
use crate::search::Searcher;

pub const SPEC: ToolSpec = ToolSpec {
    name: "open_file",
    title: "Read a file",
    description: "Read lines of an indexed file as it is on disk now. Give start_line and end_line to \
                  read a part, such as the lines of a search result; outline shows which part matters. \
                  Says if the file has changed since it was indexed.",
    label: Tool::OpenFile,
    ..ToolSpec::READS_INDEX
};

/// Bounds of one answer.
const LINES_MAX: usize = 2000;
const CONTENT_BYTES_MAX: usize = 128 << 10;
/// A file that has grown beyond this is not read.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Longer lines are cut; they are data more often than code.
const LINE_BYTES_MAX: usize = 2000;

/// The arguments of open_file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenFileInput {
    /// A path of the index, such as `src/main.rs`.
    pub path: String,
    /// The first line, from 1.
    #[schemars(range(min = 1))]
    pub start_line: Option<usize>,
    /// The last line, inclusive; at most 2000 lines are returned.
    #[schemars(range(min = 1))]
    pub end_line: Option<usize>,
}

/// The answer of open_file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FileAnswer {
    pub path: String,
    pub language: String,
    /// The first and the last line of the content; 0 for an empty file.
    pub start_line: usize,
    pub end_line: usize,
    /// Lines of the whole file.
    pub lines: usize,
    /// Bytes of the whole file.
    pub size_bytes: usize,
    pub content: String,
    /// What differs from the file as it was asked for: content that was cut, or another state than
    /// the index has.
    pub notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

impl ToolAnswer for FileAnswer {
    fn text(&self) -> String {
        let FileAnswer { path, start_line, end_line, lines, content, notes, .. } = self;
        let mut text = format!("{path}:{start_line}-{end_line} of {lines} lines\n");
        notes.iter().for_each(|note| text += &format!("note: {note}\n"));
        text + content
    }

    fn links(&self) -> Vec<FileLink> {
        let link = |uri: &String| FileLink { uri: uri.clone(), path: self.path.clone() };
        self.uri.iter().map(link).collect()
    }
}

/// A file of the index, with its text.
pub(super) struct OpenedFile {
    pub row: FileRow,
    pub text: String,
    /// Whether the text is that of the index.
    pub is_indexed_state: bool,
    pub uri: Option<String>,
    pub notes: Vec<String>,
}

pub(super) fn run(
    app: &App,
    input: OpenFileInput,
    _: &RunContext,
) -> Result<FileAnswer, Arc<Error>> {
    let OpenedFile { row, text, uri, mut notes, .. } = open(&*app.searcher()?, &input.path)?;
    let lines: Vec<&str> = text.lines().collect();
    let refuse =
        |name, value: usize, expected| Error::Argument { name, value: value.to_string(), expected };
    let start = input.start_line.unwrap_or(1);
    let last = lines.len().max(1);
    if !(1..=last).contains(&start) {
        let expected = format!("1 to {last}, because {} has {} lines", row.path, lines.len());
        return Err(refuse("start_line", start, expected).into());
    }
    let end = input.end_line.unwrap_or(last);
    if end < start {
        return Err(refuse("end_line", end, format!("{start} (start_line) or more")).into());
    }
    let end = end.min(lines.len());
    let mut content = String::new();
    let mut shown = start - 1;
    for line in lines.iter().take(end).skip(start - 1).take(LINES_MAX) {
        let head = prefix(line, LINE_BYTES_MAX);
        if content.len() + head.len() >= CONTENT_BYTES_MAX {
            break;
        }
        content += head;
        content += if head.len() < line.len() { " …[cut]\n" } else { "\n" };
        shown += 1;
    }
    if shown < end {
        let more = end - shown;
        notes.push(format!(
            "{more} more lines were left out; continue with start_line {}",
            shown + 1
        ));
    }
    if lines.iter().take(shown).skip(start - 1).any(|line| line.len() > LINE_BYTES_MAX) {
        notes.push(format!("lines of more than {LINE_BYTES_MAX} bytes were cut"));
    }
    Ok(FileAnswer {
        start_line: start.min(lines.len()),
        end_line: shown,
        lines: lines.len(),
        size_bytes: text.len(),
        path: row.path,
        language: row.language,
        content,
        notes,
        uri,
    })
}

/// Opens a file of the index: as it is on disk, else as it was indexed.
///
/// A path that the index does not have is an error, so that no other file of the machine can be read.
pub(super) fn open(searcher: &Searcher, path: &str) -> Result<OpenedFile> {
    let catalog = searcher.catalog();
    let asked = path.strip_prefix("./").unwrap_or(path);
    let Some(row) = catalog.file(asked)? else { return Err(unknown_path(catalog, path)?) };
    let on_disk = searcher.roots().find(&row.path);
    let mut notes = Vec::new();
    let text = on_disk.as_deref().map(read).transpose()?.flatten();
    let (text, is_indexed_state) = match text {
        Some(bytes) => {
            let is_indexed_state = *blake3::hash(&bytes).as_bytes() == row.hash;
            if !is_indexed_state {
                notes.push("the file has changed since it was indexed".to_owned());
            }
            let lossy = String::from_utf8_lossy(&bytes).into_owned();
            (decode(bytes).map_or(lossy, |decoded| decoded.text), is_indexed_state)
        }
        None => {
            notes.push("the file is no longer on disk; this is its indexed text".to_owned());
            (indexed_text(catalog, &row)?, true)
        }
    };
    let uri = on_disk.as_deref().and_then(|file| file_uri(file, None));
    Ok(OpenedFile { row, text, is_indexed_state, uri, notes })
}

/// The bytes of a regular file; `None` if it is gone.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => Err(Error::Argument {
            name: "path",
            value: path.display().to_string(),
            expected: format!(
                "a file of at most {FILE_BYTES_MAX} bytes; search_text finds its lines"
            ),
        }),
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::PathUnreadable { path: path.to_path_buf(), source }),
    }
}

fn indexed_text(catalog: &Catalog, row: &FileRow) -> Result<String> {
    let ids = row.first_chunk.0..row.first_chunk.0 + row.chunk_count;
    Ok(catalog.rows_in(ids)?.into_iter().map(|chunk| chunk.text).collect())
}

/// The error for a path that is not in the index, with the nearest paths.
pub(super) fn unknown_path(catalog: &Catalog, path: &str) -> Result<Error> {
    const NAMED_MAX: usize = 3;
    let wanted = path.rsplit('/').next().unwrap_or(path);
    let mut near: Vec<(usize, &str)> = Vec::new();
    for span in catalog.file_spans()? {
        let name = span.path.rsplit('/').next().unwrap_or(&span.path);
        if name == wanted || span.path.ends_with(path) {
            near.push((strsim::damerau_levenshtein(path, &span.path), &span.path));
        }
    }
    near.sort_unstable();
    let named = near.iter().take(NAMED_MAX).map(|(_, path)| *path).collect::<Vec<_>>().join(", ");
    let expected = if near.is_empty() {
        "a path of the index; list_paths shows them".to_owned()
    } else {
        format!("a path of the index, such as {named}")
    };
    Ok(Error::Argument { name: "path", value: format!("{:?}", prefix(path, 200)), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_grown_beyond_the_bound_is_refused_and_a_missing_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        assert_eq!(read(&path).unwrap(), None);
        let file = File::create(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        assert_eq!(read(&path).unwrap().unwrap().len(), 1 << 20);
        // A file without blocks takes no room on disk.
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("log.txt") && message.contains("search_text"), "{message}");
    }
}
