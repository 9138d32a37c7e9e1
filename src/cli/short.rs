//! The short commands that people type: each calls one tool and prints its text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::Context;
use crate::base::error::{Error, Result};
use crate::base::telemetry::Caller;
use crate::tools::{JsonObject, ToolSet};

/// The flags of every short command.
#[derive(clap::Args)]
pub struct Printing {
    /// Print the answer of the tool as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(clap::Args)]
pub struct GrepArgs {
    /// The text to find
    pub pattern: String,
    /// Read the pattern as a regular expression
    #[arg(short = 'e', long)]
    pub regex: bool,
    /// Match whole words only
    #[arg(short, long)]
    pub word: bool,
    /// Ignore case; by default case counts if the pattern has a capital letter
    #[arg(short, long, conflicts_with = "case_sensitive")]
    pub ignore_case: bool,
    /// Case counts
    #[arg(short = 's', long)]
    pub case_sensitive: bool,
    /// Let the regular expression match across lines
    #[arg(short = 'U', long)]
    pub multiline: bool,
    /// Show lines around each match
    #[arg(short = 'C', long, default_value_t = 0, value_name = "LINES")]
    pub context: usize,
    /// Search only paths that match; a leading ! excludes those that match
    #[arg(short, long, value_name = "GLOB")]
    pub glob: Vec<String>,
    /// Search only these languages, such as rust,python
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub lang: Vec<String>,
    /// The most matches that are printed; all are counted
    #[arg(short, long, default_value_t = 50, value_name = "N")]
    pub limit: usize,
    /// Continue after an earlier page
    #[arg(long)]
    pub cursor: Option<String>,
    #[command(flatten)]
    pub printing: Printing,
}

#[derive(clap::Args)]
pub struct SymbolsArgs {
    /// A name, such as acquire or Pool::acquire; prefixes and typing mistakes are found, too
    pub name: String,
    /// Only this kind, such as function, method, class or struct
    #[arg(long)]
    pub kind: Option<String>,
    /// Only this language
    #[arg(long, value_name = "NAME")]
    pub lang: Option<String>,
    #[arg(short, long, default_value_t = 20, value_name = "N", help = "The most definitions")]
    pub limit: usize,
    #[command(flatten)]
    pub printing: Printing,
}

#[derive(clap::Args)]
pub struct RefsArgs {
    /// The name of a symbol
    pub name: String,
    #[arg(short, long, default_value_t = 100, value_name = "N", help = "The most references")]
    pub limit: usize,
    #[command(flatten)]
    pub printing: Printing,
}

#[derive(clap::Args)]
pub struct LinesArgs {
    /// A file, and the lines: src/main.rs, src/main.rs:7, src/main.rs:7-20, src/main.rs:7-
    #[arg(value_name = "PATH[:A-B]")]
    pub place: String,
    #[command(flatten)]
    pub printing: Printing,
}

#[derive(clap::Args)]
pub struct LogArgs {
    /// A file
    pub path: String,
    #[arg(short, long, default_value_t = 50, value_name = "N", help = "The most commits")]
    pub limit: usize,
    #[command(flatten)]
    pub printing: Printing,
}

#[derive(clap::Args)]
pub struct MapArgs {
    /// The size of the map in tokens
    #[arg(short, long, default_value_t = 2000, value_name = "N")]
    pub tokens: usize,
    #[command(flatten)]
    pub files: FilesArgs,
    #[command(flatten)]
    pub printing: Printing,
}

#[derive(clap::Args)]
pub struct FactsArgs {
    /// overview, hotspots, owners, documentation or configuration
    #[arg(default_value = "overview")]
    pub what: String,
    #[arg(short, long, default_value_t = 20, value_name = "N", help = "The most rows")]
    pub limit: usize,
    #[command(flatten)]
    pub files: FilesArgs,
    #[command(flatten)]
    pub printing: Printing,
}

#[derive(clap::Args)]
pub struct RelatedArgs {
    /// A file and a line of it: src/main.rs:7
    #[arg(value_name = "PATH:LINE")]
    pub place: String,
    #[arg(short, long, default_value_t = 10, value_name = "N", help = "The most results")]
    pub limit: usize,
    #[command(flatten)]
    pub printing: Printing,
}

#[derive(clap::Args)]
pub struct ImpactArgs {
    /// A commit, branch or tag to compare the files with
    #[arg(default_value = "HEAD")]
    pub base: String,
    /// Read a unified diff from this file instead, or from standard input (-)
    #[arg(long, value_name = "FILE")]
    pub diff: Option<PathBuf>,
    /// 1 for direct callers, more for callers of callers
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub depth: usize,
    #[arg(
        short,
        long,
        default_value_t = 50,
        value_name = "N",
        help = "The most callers, and tests"
    )]
    pub limit: usize,
    #[command(flatten)]
    pub printing: Printing,
}

/// The flags of commands that look at a part of the index.
#[derive(clap::Args)]
pub struct FilesArgs {
    /// Only paths that match; a leading ! excludes those that match
    #[arg(short, long, value_name = "GLOB")]
    pub glob: Vec<String>,
    /// Only these languages, such as rust,python
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub lang: Vec<String>,
}

pub fn map(cx: Context, args: MapArgs) -> Result<(), Arc<Error>> {
    let FilesArgs { glob, lang } = args.files;
    let arguments = json!({ "max_tokens": args.tokens, "scope": scope(glob, lang) });
    call(cx, "repo_map", arguments, &args.printing)
}

pub fn facts(cx: Context, args: FactsArgs) -> Result<(), Arc<Error>> {
    let FilesArgs { glob, lang } = args.files;
    let scope = scope(glob, lang);
    let arguments = json!({ "what": args.what, "limit": args.limit, "scope": scope });
    call(cx, "repo_facts", arguments, &args.printing)
}

pub fn grep(cx: Context, args: GrepArgs) -> Result<(), Arc<Error>> {
    let case_sensitive = match (args.case_sensitive, args.ignore_case) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let scope =
        (!args.glob.is_empty() || !args.lang.is_empty()).then(|| scope(args.glob, args.lang));
    let arguments = json!({
        "query": args.pattern,
        "regex": args.regex || args.multiline,
        "word": args.word,
        "case_sensitive": case_sensitive,
        "multiline": args.multiline,
        "context_lines": args.context,
        "scope": scope,
        "max_results": args.limit,
        "cursor": args.cursor,
    });
    call(cx, "search_text", arguments, &args.printing)
}

fn scope(globs: Vec<String>, languages: Vec<String>) -> Value {
    json!({ "globs": globs, "languages": languages })
}

pub fn symbols(cx: Context, args: SymbolsArgs) -> Result<(), Arc<Error>> {
    let SymbolsArgs { name, kind, lang, limit, printing } = args;
    let arguments = json!({ "query": name, "kind": kind, "language": lang, "limit": limit });
    call(cx, "symbol_search", arguments, &printing)
}

pub fn refs(cx: Context, args: RefsArgs) -> Result<(), Arc<Error>> {
    let arguments = json!({ "name": args.name, "limit": args.limit });
    call(cx, "references_at", arguments, &args.printing)
}

pub fn blame(cx: Context, args: LinesArgs) -> Result<(), Arc<Error>> {
    call_for_lines(cx, "blame_range", &args)
}

pub fn open(cx: Context, args: LinesArgs) -> Result<(), Arc<Error>> {
    call_for_lines(cx, "open_file", &args)
}

pub fn log(cx: Context, args: LogArgs) -> Result<(), Arc<Error>> {
    cx.app.open(false)?;
    let arguments = json!({ "path": indexed_path(&cx, &args.path)?, "limit": args.limit });
    call(cx, "file_history", arguments, &args.printing)
}

pub fn related(cx: Context, args: RelatedArgs) -> Result<(), Arc<Error>> {
    cx.app.open(false)?;
    let RelatedArgs { place, limit, printing } = args;
    let (path, Some(line), _) = split_lines(&place) else {
        let expected = "a file and a line of it, such as src/main.rs:7".to_owned();
        return Err(Error::Argument { name: "PATH:LINE", value: place, expected }.into());
    };
    let arguments = json!({ "path": indexed_path(&cx, path)?, "line": line, "limit": limit });
    call(cx, "find_related", arguments, &printing)
}

pub fn impact(cx: Context, args: ImpactArgs) -> Result<(), Arc<Error>> {
    let ImpactArgs { base, diff, depth, limit, printing } = args;
    let diff = diff.map(|file| read(&file)).transpose()?;
    let arguments = json!({ "base": base, "diff": diff, "depth": depth, "limit": limit });
    call(cx, "impact", arguments, &printing)
}

/// The text of a file, or of standard input for `-`.
fn read(file: &Path) -> Result<String> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|source| Error::PathUnreadable { path: file.to_path_buf(), source })
}

fn call_for_lines(cx: Context, tool: &str, args: &LinesArgs) -> Result<(), Arc<Error>> {
    cx.app.open(false)?;
    let (path, start, end) = split_lines(&args.place);
    let path = indexed_path(&cx, path)?;
    let arguments = json!({ "path": path, "start_line": start, "end_line": end });
    call(cx, tool, arguments, &args.printing)
}

/// Splits `PATH:7`, `PATH:7-20`, `PATH:7-` or `PATH`. What is no line number belongs to the path.
fn split_lines(place: &str) -> (&str, Option<usize>, Option<usize>) {
    let parsed = place.rsplit_once(':').and_then(|(path, lines)| {
        let number = |text: &str| text.parse::<usize>().ok();
        let (start, end) = match lines.split_once('-') {
            None => (number(lines)?, Some(number(lines)?)),
            Some((start, "")) => (number(start)?, None),
            Some((start, end)) => (number(start)?, Some(number(end)?)),
        };
        Some((path, Some(start), end))
    });
    parsed.unwrap_or((place, None, None))
}

/// The path in the index of a file as it is typed: from the current folder, or as the index has it.
fn indexed_path(cx: &Context, typed: &str) -> Result<String, Arc<Error>> {
    let searcher = cx.app.searcher()?;
    if searcher.catalog().file(typed)?.is_some() {
        return Ok(typed.to_owned());
    }
    let absolute = Path::new(typed).canonicalize().ok();
    let indexed = absolute.and_then(|file| searcher.roots().name_of(&file));
    Ok(indexed.unwrap_or_else(|| typed.to_owned()))
}

/// Calls a tool that needs no engine and prints its answer.
fn call(
    mut cx: Context,
    name: &str,
    arguments: Value,
    printing: &Printing,
) -> Result<(), Arc<Error>> {
    let tool = ToolSet::all().find(name)?;
    let arguments: JsonObject = match arguments {
        Value::Object(fields) => fields,
        other => unreachable!("arguments are an object, not {other}"),
    };
    if cx.app.searcher().is_err() {
        cx.app.open(tool.spec.needs_engine)?;
    }
    let run = tool.spec.begin(&cx.app, Caller::nobody(), None);
    let result = tool.run(&cx.app, arguments, &run);
    cx.print_report(&run);
    let answer = result?;
    if printing.json {
        cx.out.json(&answer.json)?;
    } else {
        cx.out.line(answer.text.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_after_a_path_are_split_from_it() {
        assert_eq!(split_lines("a/b.rs"), ("a/b.rs", None, None));
        assert_eq!(split_lines("a/b.rs:7"), ("a/b.rs", Some(7), Some(7)));
        assert_eq!(split_lines("a/b.rs:7-20"), ("a/b.rs", Some(7), Some(20)));
        assert_eq!(split_lines("a/b.rs:7-"), ("a/b.rs", Some(7), None));
        assert_eq!(split_lines("c:x.rs"), ("c:x.rs", None, None));
        assert_eq!(split_lines("a.rs:x-3"), ("a.rs:x-3", None, None));
    }
}
