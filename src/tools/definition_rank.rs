//! Which of several definitions of a name is meant, by the text around its use.
//!
//! The weights were set on one repository and measured on it and on another one
//! (`benches/results/2026-11-29-symbol-precision.md`).

use std::collections::HashSet;

use super::identifier::Place;
use crate::corpus::chunk::SymbolKind;
use crate::index::catalog::SymbolRow;
use crate::index::words::{lower, parts, words};

/// The most lines of a chain of calls that are read.
const CHAIN_LINES_MAX: usize = 12;
/// The most folders of an import that count.
const IMPORT_HITS_MAX: usize = 3;
/// File names that stand for their folder.
const FOLDER_FILES: [&str; 5] = ["mod", "lib", "__init__", "index", "main"];
const OWN_TYPE: [&str; 5] = ["self", "Self", "this", "cls", "super"];
const SEPARATORS: [&str; 4] = ["::", "?.", "->", "."];
const IMPORTS: [&str; 6] = ["use ", "import ", "from ", "require", "#include", "using "];

/// The name is that of this definition itself.
const HERE: i32 = 1000;
const OWNER: i32 = 200;
const DECLARED: i32 = 120;
const MODULE: i32 = 120;
const CHAINED: i32 = 80;
const RECEIVER: i32 = 80;
const BARE_METHOD: i32 = -80;
const SAME_FILE: i32 = 50;
const SAME_FILE_OF_ANOTHER: i32 = 20;
const SAME_FOLDER: i32 = 20;
const IMPORT: i32 = 30;
const COMMON_FOLDERS: i32 = 30;

/// What the text around the use of a name says about its definition.
pub(super) struct Context<'a> {
    path: &'a str,
    line: u32,
    /// The word before `.` or `::`.
    qualifier: Option<&'a str>,
    separator: Option<&'a str>,
    /// The names of the definitions around the use.
    enclosing: Vec<&'a str>,
    /// The words of the expression that ends in the name.
    chain: HashSet<&'a str>,
    /// The words of the line that declares the qualifier.
    declaration: HashSet<&'a str>,
    /// The parts of the words of the import of the name, or of its qualifier, in lower case.
    import: HashSet<String>,
}

impl<'a> Context<'a> {
    /// path: the file of the use. symbols: the definitions of that file.
    pub fn new(path: &'a str, place: &'a Place, name: &str, symbols: &'a [SymbolRow]) -> Self {
        let lines: Vec<&str> = place.text.lines().collect();
        let at = place.line as usize - 1;
        let line = lines.get(at).copied().unwrap_or_default();
        let before = line.get(..place.start_byte).unwrap_or_default();
        let (separator, mut qualifier) = qualifier(before);
        let continues = |line: &str| line.trim_start().starts_with(['.', '?', '-']);
        let above = (0..=at).rev().take(CHAIN_LINES_MAX).take_while(|line| continues(lines[*line]));
        let root = above.last().map_or(at, |first| first.saturating_sub(1));
        let mut chain: HashSet<&str> = words(before).collect();
        chain.extend(lines[root.min(at)..at].iter().flat_map(|line| words(line)));
        if qualifier.is_none() && separator.is_some() && root < at {
            let end = lines[root].find('(').unwrap_or(lines[root].len());
            qualifier = words(&lines[root][..end]).last();
        }
        let contains = |row: &&SymbolRow| (row.start_line..=row.end_line).contains(&place.line);
        let around = symbols.iter().filter(contains);
        let imported =
            qualifier.map(|word| import_of(&lines, word)).filter(|found| !found.is_empty());
        Self {
            path,
            line: place.line,
            declaration: match (qualifier, separator) {
                (Some(word), Some(separator)) if separator != "::" => declaration(&lines, at, word),
                _ => HashSet::new(),
            },
            enclosing: around.flat_map(|row| words(&row.qualified)).collect(),
            import: imported.unwrap_or_else(|| import_of(&lines, name)),
            qualifier,
            separator,
            chain,
        }
    }

    /// Higher for a definition that is more likely meant. The unit is arbitrary.
    pub fn score(&self, row: &SymbolRow) -> i32 {
        let names: Vec<&str> = words(&row.qualified).collect();
        let owner = names.iter().rev().nth(1).copied();
        let modules = modules(&row.path);
        let is_own = self.qualifier.is_some_and(|word| OWN_TYPE.contains(&word));
        let is_here = row.path == self.path && row.start_line == self.line;
        let mut score = if is_here { HERE } else { 0 };
        if let Some(qualifier) = self.qualifier {
            if is_own {
                score += owner.filter(|owner| self.enclosing.contains(owner)).map_or(0, |_| OWNER);
            } else if owner == Some(qualifier) {
                score += OWNER;
            } else if modules.last().is_some_and(|module| module == qualifier) {
                score += MODULE;
            } else if modules.iter().any(|module| module == qualifier) {
                score += MODULE / 2;
            } else {
                score += owner.map_or(0, |owner| likeness(qualifier, owner));
            }
        }
        if let (Some(owner), true) = (owner, self.separator.is_some()) {
            let in_chain = self.qualifier != Some(owner) && self.chain.contains(owner);
            score += if in_chain { CHAINED } else { 0 };
            score += if self.declaration.contains(owner) { DECLARED } else { 0 };
        }
        let needs_owner = row.kind == SymbolKind::Method || row.kind.is_member();
        if self.separator.is_none() && needs_owner {
            score += BARE_METHOD;
        }
        let is_imported =
            |module: &&String| parts(module).all(|part| self.import.contains(&lower(part)));
        let hits = modules.iter().filter(is_imported).count().min(IMPORT_HITS_MAX);
        score + IMPORT * hits as i32 + self.nearness(&row.path, is_own)
    }

    fn nearness(&self, path: &str, is_own: bool) -> i32 {
        let (here, there) = (folders(self.path), folders(path));
        let common = here.iter().zip(&there).take_while(|(a, b)| a == b).count();
        let longest = here.len().max(there.len()).max(1);
        let is_imported = self.separator.is_none() && !self.import.is_empty();
        let file = if self.path != path || is_imported {
            0
        } else if self.separator.is_some() && !is_own {
            SAME_FILE_OF_ANOTHER
        } else {
            SAME_FILE
        };
        let folder = if here == there { SAME_FOLDER } else { 0 };
        file + folder + COMMON_FOLDERS * common as i32 / longest as i32
    }
}

fn folders(path: &str) -> Vec<&str> {
    path.rsplit_once('/').map_or(Vec::new(), |(folders, _)| folders.split('/').collect())
}

/// How well the name of a variable fits the name of a type: `searcher` and `Searcher`.
fn likeness(variable: &str, owner: &str) -> i32 {
    let of = |word| parts(word).map(lower).collect::<HashSet<_>>();
    let (variable, owner) = (of(variable), of(owner));
    match variable.intersection(&owner).count() {
        0 => 0,
        common if common == variable.len() => RECEIVER,
        _ => RECEIVER / 2,
    }
}

/// The separator at the end of `before`, and the word before it, without calls and indexes between.
fn qualifier(before: &str) -> (Option<&str>, Option<&str>) {
    let before = before.trim_end();
    let Some(separator) = SEPARATORS.into_iter().find(|mark| before.ends_with(mark)) else {
        return (None, None);
    };
    let mut rest = before[..before.len() - separator.len()].trim_end();
    while let Some(close) = rest.chars().next_back().filter(|c| ")]>?".contains(*c)) {
        let open = match close {
            ')' => '(',
            ']' => '[',
            '>' => '<',
            _ => {
                rest = &rest[..rest.len() - 1];
                continue;
            }
        };
        let mut depth = 0;
        let start = rest.char_indices().rev().find(|(_, c)| {
            depth += i32::from(*c == close) - i32::from(*c == open);
            depth == 0
        });
        let Some((start, _)) = start else { return (Some(separator), None) };
        rest = rest[..start].trim_end().trim_end_matches("::");
    }
    let ends_in_word = rest.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    (Some(separator), words(rest).last().filter(|_| ends_in_word))
}

/// The words of the nearest line, first above, that gives `variable` a type or a value.
fn declaration<'a>(lines: &[&'a str], at: usize, variable: &str) -> HashSet<&'a str> {
    let declares = |line: &&&str| {
        line.match_indices(variable).any(|(start, _)| {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let after = &line[start + variable.len()..];
            let is_word = !line[..start].ends_with(is_part) && !after.starts_with(is_part);
            let after = after.trim_start();
            let other = ["::", "==", "=>"].iter().any(|mark| after.starts_with(mark));
            is_word && after.starts_with([':', '=']) && !other
        })
    };
    let (above, below) = lines.split_at(at.min(lines.len()));
    let mut nearest = above.iter().rev().chain(below);
    nearest.find(declares).map(|line| words(line).collect()).unwrap_or_default()
}

/// The parts of the words with which the file imports `name`, without those of the name.
fn import_of(lines: &[&str], name: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    let (mut first, mut depth): (Option<&str>, i32) = (None, 0);
    for line in lines {
        if first.is_none() && is_import(line) {
            (first, depth) = (Some(*line), 0);
        }
        let Some(start) = first else { continue };
        if words(line).any(|word| word == name) {
            let others = words(start).chain(words(line)).filter(|word| *word != name);
            found.extend(others.flat_map(parts).map(lower));
        }
        let count = |marks: [char; 2]| line.matches(marks).count() as i32;
        depth += count(['(', '{']) - count([')', '}']);
        if depth <= 0 {
            first = None;
        }
    }
    found
}

fn is_import(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("pub").map_or(line, |rest| {
        rest.trim_start_matches("(crate)").trim_start_matches("(super)").trim_start()
    });
    IMPORTS.iter().any(|start| line.starts_with(start))
}

/// The folders of a path and the stem of its file, as an import names them.
fn modules(path: &str) -> Vec<String> {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.split_once('.').map_or(file, |(stem, _)| stem);
    let all = folders.split('/').chain([stem]).filter(|name| !name.is_empty());
    all.filter(|name| !FOLDER_FILES.contains(name)).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hit::ChunkId;

    fn row(path: &str, qualified: &str, kind: SymbolKind) -> SymbolRow {
        SymbolRow {
            name: words(qualified).last().unwrap().to_owned(),
            qualified: qualified.to_owned(),
            kind,
            signature: String::new(),
            doc: None,
            path: path.to_owned(),
            start_line: 1,
            end_line: 99,
            start_col: 0,
            chunk: ChunkId(0),
        }
    }

    /// The qualified name, and the path, of the definition that is meant where `text` has a `|`.
    fn meant<'a>(path: &str, text: &str, rows: &'a [SymbolRow], inside: &str) -> &'a SymbolRow {
        let before = text.split_once('|').unwrap().0;
        let text = text.replacen('|', "", 1);
        let line = before.lines().count();
        let start_byte = before.lines().last().unwrap().len();
        let place =
            Place { line: line as u32, column: 0, start_byte, is_indexed_state: true, text };
        let around = [row(path, inside, SymbolKind::Method)];
        let context = Context::new(path, &place, &rows[0].name, &around);
        let mut ranked: Vec<&SymbolRow> = rows.iter().collect();
        ranked.sort_by_key(|row| -context.score(row));
        ranked[0]
    }

    #[test]
    fn the_text_around_a_use_tells_which_definition_is_meant() {
        let rows = [
            row("src/pool.rs", "Pool::new", SymbolKind::Method),
            row("src/client.rs", "Client::new", SymbolKind::Method),
            row("src/net/retry_policy.rs", "RetryPolicy::new", SymbolKind::Method),
            row("src/queue.rs", "new", SymbolKind::Function),
        ];
        for (text, expected) in [
            ("let x = Client::|new();", "Client::new"),
            ("let x = Vec::<u8>::|new();", "RetryPolicy::new"),
            ("    Self::|new()", "RetryPolicy::new"),
            ("    self.|new()", "RetryPolicy::new"),
            ("let x = queue::|new();", "new"),
            ("let x = |new();", "new"),
            ("retry_policy.limit(3)?.|new()", "RetryPolicy::new"),
            ("let mut c: Client = make();\nlet d = other();\nc.|new()", "Client::new"),
            ("Pool::builder()\n    .limit(3)\n    .|new()", "Pool::new"),
        ] {
            let found = meant("src/net/retry.rs", text, &rows, "RetryPolicy::run");
            assert_eq!(found.qualified, expected, "{text}");
        }
    }

    #[test]
    fn an_import_tells_which_file_is_meant() {
        let rows = [
            row("a/errors.py", "Error", SymbolKind::Class),
            row("b/client/errors.py", "Error", SymbolKind::Class),
            row("app/views.py", "Error", SymbolKind::Class),
        ];
        for (text, expected) in [
            ("from b.client.errors import Error\nraise |Error()", "b/client/errors.py"),
            (
                "from b.client import (\n    One,\n    Error,\n)\nraise |Error()",
                "b/client/errors.py",
            ),
            ("import a.errors as e\nraise |Error()", "app/views.py"),
            ("from b import client\nraise client.|Error()", "b/client/errors.py"),
        ] {
            assert_eq!(meant("app/views.py", text, &rows, "View.get").path, expected, "{text}");
        }
    }

    #[test]
    fn a_qualifier_is_the_word_before_calls_and_indexes() {
        for (before, expected) in [
            ("a.b.", (Some("."), Some("b"))),
            ("a::<T>::", (Some("::"), Some("a"))),
            ("f(x, g(y))?.", (Some("?."), Some("f"))),
            ("a[1][2]->", (Some("->"), Some("a"))),
            ("    .", (Some("."), None)),
            ("\"é\".", (Some("."), None)),
            (").", (Some("."), None)),
            ("x = ", (None, None)),
            ("", (None, None)),
        ] {
            assert_eq!(qualifier(before), expected, "{before}");
        }
    }
}
