//! Which texts are there to embed?

use std::path::Path;

use serde_json::Value;

use crate::base::error::Result;
use crate::cli::args::Format;
use crate::cli::lines::Lines;

/// Texts embedded together; the input is never held whole.
const TEXTS: usize = 512;

/// A text and what it is called; lines have no name.
pub struct Item {
    pub id: Option<Value>,
    pub text: String,
}

pub struct Input {
    lines: Lines,
    format: Format,
}

impl Input {
    /// The texts of a file, or of standard input. format: jsonl of a file that ends so when absent.
    pub fn open(path: Option<&Path>, format: Option<Format>) -> Result<Self> {
        let is_jsonl = |path: &Path| path.extension().is_some_and(|e| e == "jsonl");
        let given = match path.is_some_and(is_jsonl) {
            true => Format::Jsonl,
            false => Format::Lines,
        };
        Ok(Self { lines: Lines::open(path)?, format: format.unwrap_or(given) })
    }

    /// Gives all texts to `embed`, [`TEXTS`] at most at a time; the sum of what it gives back.
    pub fn for_each(
        &mut self,
        mut embed: impl FnMut(&[Item], &[&str]) -> Result<usize>,
    ) -> Result<usize> {
        let mut sum = 0;
        loop {
            let items = self.next_items()?;
            if items.is_empty() {
                return Ok(sum);
            }
            let texts: Vec<&str> = items.iter().map(|item| item.text.as_str()).collect();
            sum += embed(&items, &texts)?;
        }
    }

    /// The next texts, [`TEXTS`] at most; none at the end.
    pub fn next_items(&mut self) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        while items.len() < TEXTS {
            let Some(item) = self.next_item()? else { break };
            items.push(item);
        }
        Ok(items)
    }

    fn next_item(&mut self) -> Result<Option<Item>> {
        match self.format {
            Format::Lines => Ok(self.lines.read()?.map(|text| Item { id: None, text })),
            Format::Jsonl => Ok(self.lines.read_object(&["text"])?.map(|object| {
                let text = object["text"].as_str().unwrap_or_default().to_owned();
                Item { id: object.get("id").cloned(), text }
            })),
        }
    }
}
