//! The tool outline: the definitions of a file.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::open_file;
use super::symbol_search::{SymbolItem, symbol_lines};
use super::{App, FileLink, ToolAnswer, ToolSpec};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;

pub const SPEC: ToolSpec = ToolSpec {
    name: "outline",
    title: "Outline of a file",
    description: "List the definitions of a file with their lines and signatures. Much shorter than the \
                  file: call it before open_file on a long file.",
    label: Tool::Outline,
    ..ToolSpec::READS_INDEX
};

/// The most definitions of one answer.
const SYMBOLS_MAX: usize = 500;

/// The arguments of outline.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutlineInput {
    /// A path of the index, such as `src/main.rs`.
    pub path: String,
}

/// The answer of outline.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OutlineAnswer {
    pub path: String,
    /// Lines of the file when it was indexed.
    pub lines: u32,
    /// From top to bottom, at most 500.
    pub symbols: Vec<SymbolItem>,
    /// All definitions of the file, without fields and variants.
    pub total: usize,
    pub notes: Vec<String>,
}

impl ToolAnswer for OutlineAnswer {
    fn text(&self) -> String {
        let mut text = format!("{}: {} definitions, {} lines\n", self.path, self.total, self.lines);
        self.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
        text + &symbol_lines(&self.symbols, false)
    }

    fn links(&self) -> Vec<FileLink> {
        self.symbols.first().and_then(SymbolItem::link).into_iter().collect()
    }
}

pub(super) fn run(
    app: &App,
    input: OutlineInput,
    _: &RunContext,
) -> Result<OutlineAnswer, Arc<Error>> {
    let searcher = app.searcher()?;
    let file = open_file::open(&searcher, &input.path)?;
    let mut symbols = searcher.catalog().symbols_in(&file.row.path)?;
    let all = symbols.len();
    symbols.retain(|symbol| !symbol.kind.is_member());
    let total = symbols.len();
    let items = symbols.into_iter().take(SYMBOLS_MAX);
    let items = items.map(|row| SymbolItem::new(row, &searcher, &file.row.language)).collect();
    let mut notes = file.notes;
    if total == 0 {
        let (language, lines) =
            (&file.row.language, super::counted(file.row.lines as usize, "line"));
        notes.push(format!(
            "no definitions were found in this {language} file; open_file shows its {lines}"
        ));
    }
    if total > SYMBOLS_MAX {
        notes.push(format!("{} more definitions were left out", total - SYMBOLS_MAX));
    }
    if all > total {
        notes.push(format!(
            "without {} of types; symbol_search finds fields and variants by name",
            super::counted(all - total, "member")
        ));
    }
    if !file.is_indexed_state {
        notes.push("the lines are those of the indexed file".to_owned());
    }
    Ok(OutlineAnswer { path: file.row.path, lines: file.row.lines, symbols: items, total, notes })
}
