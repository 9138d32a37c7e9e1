//! The texts of an input, a block at a time.

use std::path::Path;

use serde_json::Value;

use super::lines::Lines;
use crate::base::error::Result;
use crate::base::output::FileId;

/// Texts that are embedded together; the input is never held in memory whole.
const BLOCK_TEXTS: usize = 512;

/// What a line of the input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    /// One text a line.
    Lines,
    /// `{"id", "text"}` a line; `id` may be missing and may be any JSON value.
    Jsonl,
}

/// A text and its id; texts of plain lines have none.
pub struct Item {
    pub id: Option<Value>,
    pub text: String,
}

/// A file of texts, or standard input.
pub struct Input {
    lines: Lines,
    format: InputFormat,
}

impl Input {
    /// Opens a file, or standard input for `None` and `-`. Without a format a file whose name ends in
    /// `.jsonl` is JSON lines, anything else is plain lines.
    pub fn open(path: Option<&Path>, format: Option<InputFormat>) -> Result<Self> {
        let is_jsonl = path.and_then(Path::extension).is_some_and(|extension| extension == "jsonl");
        let by_name = if is_jsonl { InputFormat::Jsonl } else { InputFormat::Lines };
        Ok(Self { lines: Lines::open(path)?, format: format.unwrap_or(by_name) })
    }

    /// The file that is read, unless it is a pipe or a terminal.
    pub fn id(&self) -> Option<&FileId> {
        self.lines.id()
    }

    /// The next texts, at most [`BLOCK_TEXTS`]; empty at the end.
    pub fn next_block(&mut self) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        while items.len() < BLOCK_TEXTS {
            let Some(item) = self.next_item()? else { break };
            items.push(item);
        }
        Ok(items)
    }

    fn next_item(&mut self) -> Result<Option<Item>> {
        match self.format {
            InputFormat::Lines => Ok(self.lines.read()?.map(|text| Item { id: None, text })),
            InputFormat::Jsonl => Ok(self.lines.read_object(&["text"])?.map(|object| {
                let text = object["text"].as_str().unwrap_or_default().to_owned();
                Item { id: object.get("id").cloned(), text }
            })),
        }
    }
}
