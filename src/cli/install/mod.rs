//! `codeintel install` and `codeintel uninstall`: make an agent start `codeintel mcp`, or no longer.
//!
//! Two files of the project change: the client's configuration, and the instructions that agents read.
//! The change is shown first, and only the lines that are ours are removed again.

mod clients;
mod edit;

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::Context;
use super::out::{BAD, BOLD, DIM, GOOD, Out, paint};
use crate::base::error::{Error, Result};
use crate::base::output::OutputFile;
use clients::Client;

#[derive(clap::Args)]
pub struct InstallArgs {
    /// The agent that is to use codeintel
    pub client: Client,
    /// Folder of the project
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub project: PathBuf,
    /// Write without asking
    #[arg(long)]
    pub yes: bool,
}

/// A file as it is and as it will be; `None` if there is none.
struct Change {
    path: PathBuf,
    before: Option<String>,
    after: Option<String>,
}

pub fn install(cx: Context, args: InstallArgs) -> Result<()> {
    apply(cx, &args, true)
}

pub fn uninstall(cx: Context, args: InstallArgs) -> Result<()> {
    apply(cx, &args, false)
}

fn apply(mut cx: Context, args: &InstallArgs, add: bool) -> Result<()> {
    let project = args
        .project
        .canonicalize()
        .map_err(|_| Error::PathNotFound { path: args.project.clone() })?;
    let mut changes = Vec::new();
    for (path, edit) in args.client.files(&project, add)? {
        let before = read(&path)?;
        let after = edit(before.as_deref().unwrap_or_default())
            .map_err(|detail| Error::ConfigSyntax { path: path.clone(), detail })?;
        let after = Some(after).filter(|text| !text.trim().is_empty());
        if after != before {
            changes.push(Change { path, before, after });
        }
    }
    if changes.is_empty() {
        let state = if add { "is set up already" } else { "is not set up" };
        return cx.out.line(format!("{} {state}; nothing to change", args.client.title()));
    }
    changes.iter().try_for_each(|change| show(&mut cx.out, change))?;
    if !args.yes && !is_confirmed()? {
        let remedy = if add { "install" } else { "uninstall" };
        let line = format!("nothing was written; `codeintel {remedy} … --yes` writes it");
        return cx.out.line(paint(DIM, line));
    }
    changes.iter().try_for_each(write)?;
    let undo = if add { "; `codeintel uninstall` undoes it" } else { "" };
    cx.out.line(format!("{} {}{undo}", paint(GOOD, "written for"), args.client.title()))
}

fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::PathUnreadable { path: path.to_path_buf(), source }),
    }
}

fn write(change: &Change) -> Result<()> {
    let path = &change.path;
    let Some(after) = &change.after else {
        return std::fs::remove_file(path).map_err(|e| Error::io("remove", path, e));
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    }
    let mut output = OutputFile::create("client", Some(path), &[])?;
    output.append(after.as_bytes())?;
    output.finish()
}

/// Prints the lines that differ between the common beginning and the common end.
fn show(out: &mut Out, change: &Change) -> Result<()> {
    let verb = match (&change.before, &change.after) {
        (None, _) => "create",
        (_, None) => "remove",
        _ => "change",
    };
    out.line(format!("{verb} {}", paint(BOLD, change.path.display())))?;
    let lines = |text: &Option<String>| -> Vec<String> {
        text.as_deref().unwrap_or_default().lines().map(str::to_owned).collect()
    };
    let (before, after) = (lines(&change.before), lines(&change.after));
    let same = |pairs: &mut dyn Iterator<Item = (&String, &String)>| {
        pairs.take_while(|(a, b)| a == b).count()
    };
    let head = same(&mut before.iter().zip(&after));
    let tail = same(&mut before[head..].iter().rev().zip(after[head..].iter().rev()));
    for line in &before[head..before.len() - tail] {
        out.line(paint(BAD, format!("  - {line}")))?;
    }
    for line in &after[head..after.len() - tail] {
        out.line(paint(GOOD, format!("  + {line}")))?;
    }
    Ok(())
}

/// Asks on a terminal. Without one nobody can answer, so nothing is written.
fn is_confirmed() -> Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(false);
    }
    let asked = write!(std::io::stderr(), "write this? [y/N] ");
    asked.map_err(|e| Error::io("write", Path::new("standard error"), e))?;
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    read.map_err(|e| Error::io("read", Path::new("standard input"), e))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
