//! The rows of an input, a block at a time.

use std::path::Path;

use serde_json::value::RawValue;

use super::json_row::JsonRow;
use super::lines::{Defect, Lines};
use crate::base::error::Result;
use crate::base::output::FileId;

/// Rows that are computed together; the input is never held in memory whole.
const BLOCK_ROWS: usize = 512;
/// A block ends early when its rows have this many bytes. With the last line of at most 64 MiB, it
/// has at most twice as many.
const BLOCK_BYTES: usize = 64 << 20;

const TEXT: &str = r#"{"text": "..."}"#;
const PAIR: &str = r#"{"query": "...", "text": "..."}"#;

/// What a line of the input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    /// One text a line.
    Lines,
    /// `{"id", "text"}` a line; `id` may be missing and may be any JSON value.
    Jsonl,
}

/// A row of the input.
pub struct Row<T> {
    /// The number of its line, from 1.
    pub line: usize,
    /// As it was written, byte for byte.
    pub id: Option<Box<RawValue>>,
    /// What is computed, or what is wrong with the line.
    pub content: Result<T>,
}

/// The id and the content of a line.
struct Parsed<T> {
    id: Option<Box<RawValue>>,
    content: Result<T, Defect>,
}

/// A file of texts or of pairs (query, text), or standard input.
pub struct Input<T> {
    lines: Lines,
    parse: fn(String) -> Parsed<T>,
    skips_blank: bool,
}

impl Input<String> {
    /// Opens a file of texts, or standard input for `None` and `-`. Without a format a file whose name
    /// ends in `.jsonl` is JSON lines, anything else is plain lines.
    pub fn open(path: Option<&Path>, format: Option<InputFormat>) -> Result<Self> {
        let is_jsonl = path.and_then(Path::extension).is_some_and(|extension| extension == "jsonl");
        let by_name = if is_jsonl { InputFormat::Jsonl } else { InputFormat::Lines };
        let lines = Lines::open(path)?;
        Ok(match format.unwrap_or(by_name) {
            InputFormat::Lines => Self { lines, parse: plain, skips_blank: false },
            InputFormat::Jsonl => Self { lines, parse: text, skips_blank: true },
        })
    }
}

impl Input<(String, String)> {
    /// Opens a file of lines `{"query", "text"}`, or standard input for `None` and `-`.
    pub fn open_pairs(path: Option<&Path>) -> Result<Self> {
        Ok(Self { lines: Lines::open(path)?, parse: pair, skips_blank: true })
    }
}

fn plain(line: String) -> Parsed<String> {
    Parsed { id: None, content: Ok(line) }
}

fn text(line: String) -> Parsed<String> {
    match JsonRow::parse(&line, TEXT) {
        Ok(row) => Parsed { id: row.id(), content: row.text() },
        Err(defect) => Parsed { id: None, content: Err(defect) },
    }
}

fn pair(line: String) -> Parsed<(String, String)> {
    match JsonRow::parse(&line, PAIR) {
        Ok(row) => {
            let content = row.query().and_then(|query| Ok((query, row.text()?)));
            Parsed { id: row.id(), content }
        }
        Err(defect) => Parsed { id: None, content: Err(defect) },
    }
}

impl<T> Input<T> {
    /// The file that is read, unless it is a pipe or a terminal.
    pub fn id(&self) -> Option<&FileId> {
        self.lines.id()
    }

    /// The next rows, at most [`BLOCK_ROWS`]; empty at the end.
    pub fn next_block(&mut self) -> Result<Vec<Row<T>>> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        while rows.len() < BLOCK_ROWS && bytes < BLOCK_BYTES {
            let Some(line) = self.lines.read()? else { break };
            let parsed = match line {
                Ok(line) if self.skips_blank && line.trim().is_empty() => continue,
                Ok(line) => {
                    bytes += line.len();
                    (self.parse)(line)
                }
                Err(defect) => Parsed { id: None, content: Err(defect) },
            };
            let Parsed { id, content } = parsed;
            let content = content.map_err(|defect| self.lines.wrong(defect));
            rows.push(Row { line: self.lines.number(), id, content });
        }
        Ok(rows)
    }
}
