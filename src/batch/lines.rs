//! Lines of a file with their numbers, and lines of JSON.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::error::{Error, Result};
use crate::base::output::{FileId, OutputFile};
use crate::base::text::without_byte_order_mark;

/// The longest line, in bytes. No model reads as much text.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// The lines of a file, or of standard input.
pub struct Lines {
    reader: Box<dyn BufRead>,
    name: PathBuf,
    /// The file that is read, unless it is a pipe or a terminal.
    id: Option<FileId>,
    /// The number of the line read last, from 1.
    number: usize,
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Defect {
    /// The character, from 1.
    pub column: Option<usize>,
    pub detail: String,
}

impl Defect {
    pub fn new(detail: impl Into<String>) -> Self {
        Self { column: None, detail: detail.into() }
    }

    /// With the position of byte `at` of `line`.
    pub fn at(line: &str, at: usize, detail: impl Into<String>) -> Self {
        let before = crate::base::text::prefix(line, at);
        Self { column: Some(before.chars().count() + 1), detail: detail.into() }
    }
}

impl Lines {
    /// Standard input for no path, and for `-`.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path.filter(|path| *path != "-") else {
            let reader = Box::new(std::io::stdin().lock());
            let id = std::fs::metadata("/dev/stdin").ok().and_then(|stdin| FileId::new(&stdin));
            return Ok(Self { reader, name: PathBuf::from("standard input"), id, number: 0 });
        };
        let file = File::open(path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => Error::PathNotFound { path: path.into() },
            _ => Error::PathUnreadable { path: path.into(), source },
        })?;
        let id = file.metadata().ok().and_then(|metadata| FileId::new(&metadata));
        Ok(Self { reader: Box::new(BufReader::new(file)), name: path.into(), id, number: 0 })
    }

    /// The file that is read, unless it is a pipe or a terminal.
    pub fn id(&self) -> Option<&FileId> {
        self.id.as_ref()
    }

    /// The number of the line read last, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The next line without its line break; `None` after the last. A defect is in this line alone.
    pub fn read(&mut self) -> Result<Option<std::result::Result<String, Defect>>> {
        let failed = |e| Error::io("read", &self.name, e);
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
        if read.map_err(failed)? == 0 {
            return Ok(None);
        }
        let is_cut = bytes.len() as u64 == LINE_BYTES_MAX && bytes.last() != Some(&b'\n');
        self.number += 1;
        if self.number == 1 {
            let text = without_byte_order_mark(&bytes);
            let text = text.map_err(|detail| self.wrong(Defect::new(detail)))?;
            let mark = bytes.len() - text.len();
            bytes.drain(..mark);
            if bytes.is_empty() {
                return Ok(None);
            }
        }
        if is_cut {
            self.reader.skip_until(b'\n').map_err(failed)?;
            let detail = format!("the line has more than {LINE_BYTES_MAX} bytes; shorten it");
            return Ok(Some(Err(Defect::new(detail))));
        }
        bytes.pop_if(|last| *last == b'\n');
        bytes.pop_if(|last| *last == b'\r');
        Ok(Some(String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let byte = error.as_bytes()[at];
            let before = String::from_utf8_lossy(&error.as_bytes()[..at]);
            let detail =
                format!("byte {} (0x{byte:02x}) is not UTF-8; convert it to UTF-8", at + 1);
            Defect::at(&before, at, detail)
        })))
    }

    /// The error for a defect of the line read last.
    pub fn wrong(&self, defect: Defect) -> Error {
        let Defect { column, detail } = defect;
        Error::InputLine { path: self.name.clone(), line: self.number, column, detail }
    }
}

/// Lines of JSON, to a file or to standard output.
pub struct JsonLines(OutputFile);

impl JsonLines {
    pub fn new(output: OutputFile) -> Self {
        Self(output)
    }

    /// Writes one line.
    pub fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(line).map_err(Error::library("serde_json", "write"))?;
        text.push(b'\n');
        self.0.append(&text)
    }

    /// Hands what was written so far to whoever reads it.
    pub fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }

    pub fn finish(self) -> Result<()> {
        self.0.finish()
    }
}
