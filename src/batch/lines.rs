//! Lines of text and of JSON, read with their numbers so that an error can name the line.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::base::error::{Error, Result};
use crate::base::output::{FileId, OutputFile};

/// The longest line, in bytes. No model reads as much text.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// Characters of an invalid line that an error message quotes.
const SHOWN_MAX: usize = 80;

/// The lines of a file, or of standard input.
pub struct Lines {
    reader: Box<dyn BufRead>,
    name: PathBuf,
    /// The file that is read, unless it is a pipe or a terminal.
    id: Option<FileId>,
    /// The number of the line read last, from 1.
    number: usize,
}

impl Lines {
    /// Standard input for no path, and for `-`.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path.filter(|path| *path != "-") else {
            let reader = Box::new(std::io::stdin().lock());
            let id = FileId::at(Path::new("/dev/stdin"));
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

    /// The next line without its line break; `None` after the last.
    pub fn read(&mut self) -> Result<Option<String>> {
        self.number += 1;
        let mut bytes = Vec::new();
        let failed = |e| Error::io("read", &self.name, e);
        let read = self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
        if read.map_err(failed)? == 0 {
            return Ok(None);
        }
        if bytes.len() as u64 == LINE_BYTES_MAX {
            return Err(self.wrong("a line", format!("fewer than {LINE_BYTES_MAX} bytes")));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| self.wrong("bytes that are not UTF-8", "UTF-8 text".to_owned()))?;
        Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
    }

    /// The next line that is not empty, as a JSON object in which each of `fields` is a string.
    pub fn read_object(&mut self, fields: &[&str]) -> Result<Option<Value>> {
        loop {
            let Some(line) = self.read()? else { return Ok(None) };
            if line.trim().is_empty() {
                continue;
            }
            let object: Option<Value> = serde_json::from_str(&line).ok();
            let is_whole = |object: &Value| fields.iter().all(|field| object[*field].is_string());
            return match object.filter(is_whole) {
                Some(object) => Ok(Some(object)),
                None => {
                    let fields: Vec<_> = fields.iter().map(|f| format!("{f:?}: \"...\"")).collect();
                    let expected = format!("an object {{{}}}", fields.join(", "));
                    Err(self.wrong(&line, expected))
                }
            };
        }
    }

    /// An error that quotes `found` and names the line read last.
    fn wrong(&self, found: &str, expected: String) -> Error {
        let found: String = found.chars().take(SHOWN_MAX).collect();
        let value = format!("{found} (line {} of {})", self.number, self.name.display());
        Error::Argument { name: "input", value, expected }
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
