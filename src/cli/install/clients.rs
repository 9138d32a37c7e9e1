//! The agents that can start `codeintel mcp`, and where each keeps its configuration.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::edit;
use crate::base::error::{Error, Result};

/// A client of the Model Context Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Client {
    ClaudeCode,
    Cursor,
    Vscode,
    Codex,
    Gemini,
    Zed,
}

/// Computes the new text of a file from its text; an error says why that is not possible.
pub type Edit = Box<dyn Fn(&str) -> std::result::Result<String, String>>;

/// How a client's configuration lists its servers.
enum Format {
    /// An object in a JSON file, by server.
    Json(&'static str),
    /// A table in a TOML file, by server.
    Toml(&'static str),
}

impl Client {
    pub fn title(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code",
            Self::Cursor => "Cursor",
            Self::Vscode => "VS Code",
            Self::Codex => "Codex",
            Self::Gemini => "Gemini CLI",
            Self::Zed => "Zed",
        }
    }

    /// The files of the project that change, with how. add: whether to add our part or to remove it.
    pub fn files(self, project: &Path, add: bool) -> Result<Vec<(PathBuf, Edit)>> {
        let (configuration, format) = match self {
            Self::ClaudeCode => (".mcp.json", Format::Json("mcpServers")),
            Self::Cursor => (".cursor/mcp.json", Format::Json("mcpServers")),
            Self::Vscode => (".vscode/mcp.json", Format::Json("servers")),
            Self::Codex => (".codex/config.toml", Format::Toml("mcp_servers")),
            Self::Gemini => (".gemini/settings.json", Format::Json("mcpServers")),
            Self::Zed => (".zed/settings.json", Format::Json("context_servers")),
        };
        let instructions = match self {
            Self::ClaudeCode => "CLAUDE.md",
            Self::Gemini => "GEMINI.md",
            Self::Cursor | Self::Vscode | Self::Codex | Self::Zed => "AGENTS.md",
        };
        let entry = self.entry(&program()?);
        let configured: Edit = Box::new(move |text| match format {
            Format::Json(key) => edit::json_entry(text, key, NAME, add.then_some(&entry)),
            Format::Toml(key) => edit::toml_table(text, key, NAME, add.then_some(&entry)),
        });
        let instructed: Edit =
            Box::new(move |text| Ok(edit::block(text, add.then_some(INSTRUCTIONS))));
        Ok(vec![
            (project.join(configuration), configured),
            (project.join(instructions), instructed),
        ])
    }

    /// What the configuration says about codeintel.
    fn entry(self, program: &str) -> Value {
        match self {
            Self::Vscode => json!({ "type": "stdio", "command": program, "args": ["mcp"] }),
            Self::Zed => json!({ "source": "custom", "command": program, "args": ["mcp"] }),
            _ => json!({ "command": program, "args": ["mcp"] }),
        }
    }
}

/// The name of the server in configurations.
const NAME: &str = "codeintel";

const INSTRUCTIONS: &str = "\
## Code search

The MCP server `codeintel` has an index of this repository. Prefer it to reading whole files:
`semantic_search` for a question, `symbol_search` for a name, `outline` and `open_file` to read,
`references_at` before a function changes. Paths are relative, lines count from 1.";

/// The command that starts this program: its name if a shell would find this file by it, else its
/// path.
fn program() -> Result<String> {
    let this = std::env::current_exe()
        .and_then(|path| path.canonicalize())
        .map_err(|error| Error::io("find", Path::new("the program itself"), error))?;
    let path = crate::base::config::process_env("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(NAME)).find(|p| p.is_file());
    let is_this = found.and_then(|path| path.canonicalize().ok()).is_some_and(|path| path == this);
    Ok(if is_this { NAME.to_owned() } else { this.display().to_string() })
}
