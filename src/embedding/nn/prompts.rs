//! The texts that a model wants before a text.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::error::{Error, Result};

/// The names that every model has; the prompt of one that its files do not name is empty.
const ALWAYS: [&str; 2] = ["query", "document"];

/// The texts that are put before a text, by its purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompts {
    by_name: BTreeMap<String, String>,
    /// Whether the tokens of a prompt are not pooled.
    pub left_out: bool,
}

impl Prompts {
    /// The prompts of `config_sentence_transformers.json` at `path`. One that is null is empty.
    pub(super) fn new(
        path: &Path,
        prompts: BTreeMap<String, Option<String>>,
        default: Option<String>,
    ) -> Result<Self> {
        let prompts = prompts.into_iter().map(|(name, text)| (name, text.unwrap_or_default()));
        let prompts = Self { by_name: prompts.collect(), left_out: false };
        match default {
            Some(name) if !prompts.names().contains(&name.as_str()) => {
                let detail =
                    format!("default_prompt_name is {name:?}, which is not one of its prompts");
                Err(Error::ModelBroken { path: path.to_path_buf(), detail })
            }
            _ => Ok(prompts),
        }
    }

    /// The prompt of that name; names in use are `query` and `document`. Empty if the model has
    /// none: as in sentence-transformers, its default prompt is for texts of no purpose.
    ///
    /// A document is also called `passage` or `corpus`.
    pub fn get(&self, name: &str) -> &str {
        let others: &[&str] = if name == "document" { &["passage", "corpus"] } else { &[] };
        let mut names = std::iter::once(&name).chain(others);
        names.find_map(|name| self.by_name.get(*name)).map_or("", String::as_str)
    }

    /// The prompt of that name, one of [`Prompts::names`].
    pub fn named(&self, name: &str) -> Result<&str> {
        let names = self.names();
        if names.contains(&name) {
            return Ok(self.get(name));
        }
        Err(Error::Argument {
            name: "prompt_name",
            value: name.to_owned(),
            expected: format!("a prompt of the model: {}", names.join(", ")),
        })
    }

    /// The names of the model's prompts, and those that every model has.
    pub fn names(&self) -> Vec<&str> {
        let own = self.by_name.keys().map(String::as_str);
        let always = ALWAYS.into_iter().filter(|name| !self.by_name.contains_key(*name));
        own.chain(always).collect()
    }
}
