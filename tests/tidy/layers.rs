//! The import table of ARCHITECTURE.md: every module imports only what its row allows.

use std::collections::BTreeSet;

use super::Offence;
use super::source::Source;

const HEADER: [&str; 5] = ["rank", "module", "job", "public types", "may import"];

/// One row of the table.
#[derive(Debug, PartialEq)]
pub struct Row {
    pub line: usize,
    pub rank: u32,
    /// Such as `index` or `embedding/nn`. A module belongs to the row with the longest match.
    pub module: String,
    pub allowed: BTreeSet<String>,
}

/// Parses the table with the columns rank, module, job, public types, may import.
pub fn parse_table(markdown: &str) -> Result<Vec<Row>, String> {
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split('|').map(|cell| cell.trim().replace('`', "")).collect()
    };
    let mut lines = markdown.lines().enumerate().skip_while(|(_, line)| cells(line) != HEADER);
    lines.next().ok_or("the table rank, module, job, public types, may import is missing")?;
    let mut rows = Vec::new();
    for (i, line) in lines.skip(1).take_while(|(_, line)| line.trim().starts_with('|')) {
        let [rank, module, _, _, allowed]: [String; 5] =
            cells(line).try_into().map_err(|_| format!("line {}: not five cells", i + 1))?;
        let rank = rank.parse().map_err(|_| format!("line {}: rank {rank:?}", i + 1))?;
        rows.push((i + 1, rank, module, allowed));
    }
    let ranks: Vec<(u32, String)> = rows.iter().map(|row| (row.1, row.2.clone())).collect();
    let resolve = |(line, rank, module, allowed): (usize, u32, String, String)| {
        let allowed = allowed_modules(&allowed, rank, &ranks);
        Row { line, rank, module, allowed }
    };
    Ok(rows.into_iter().map(resolve).collect())
}

/// The modules of a cell: a folder means all rows inside it, `ranks A to B` and `everything below`
/// mean the rows of these ranks.
fn allowed_modules(cell: &str, rank: u32, ranks: &[(u32, String)]) -> BTreeSet<String> {
    let within = |low: u32, high: u32| {
        let inside = ranks.iter().filter(move |(rank, _)| (low..=high).contains(rank));
        inside.map(|(_, module)| module.clone()).collect::<Vec<_>>()
    };
    let mut modules = BTreeSet::new();
    for item in cell.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let span = item.strip_prefix("ranks ").and_then(|span| span.split_once(" to "));
        match (item, span.map(|(low, high)| (low.parse(), high.parse()))) {
            ("everything below", _) => modules.extend(within(0, rank.saturating_sub(1))),
            (_, Some((Ok(low), Ok(high)))) => modules.extend(within(low, high)),
            _ => {
                let inside = ranks.iter().filter(|(_, module)| is_inside(module, item));
                let inside: Vec<String> = inside.map(|(_, module)| module.clone()).collect();
                modules.extend(if inside.is_empty() { vec![item.to_owned()] } else { inside });
            }
        }
    }
    modules
}

/// Whether `module` is `folder` or is inside it.
fn is_inside(module: &str, folder: &str) -> bool {
    module.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The row of a module, such as `embedding/nn/family`.
fn owner<'a>(table: &'a [Row], path: &str) -> Option<&'a Row> {
    let holds = |row: &&Row| is_inside(path, &row.module);
    table.iter().filter(holds).max_by_key(|row| row.module.len())
}

/// Finds rows that allow imports of unknown modules or of modules whose rank is not lower. Without
/// those there is no cycle.
pub fn check_table(table: &[Row]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for row in table {
        for name in &row.allowed {
            let message = match table.iter().find(|other| other.module == *name) {
                None => format!("{} may import {name}, which has no row", row.module),
                Some(other) if other.rank >= row.rank => {
                    format!("{} may import {name}, whose rank is not lower", row.module)
                }
                Some(_) => continue,
            };
            offences.push(Offence::new("ARCHITECTURE.md", row.line, message));
        }
    }
    offences
}

/// Finds modules without a row, and rows without a module.
pub fn check_modules(table: &[Row], sources: &[Source]) -> Vec<Offence> {
    let real: BTreeSet<String> = sources.iter().filter_map(Source::module).collect();
    // A folder whose modules have rows needs none.
    let has_row = |module: &str| {
        owner(table, module).is_some() || table.iter().any(|row| is_inside(&row.module, module))
    };
    let missing = real.iter().filter(|module| !has_row(module)).map(|module| {
        Offence::new("ARCHITECTURE.md", 1, format!("module {module} has no row in the table"))
    });
    let is_gone = |row: &&Row| !real.iter().any(|module| is_inside(module, &row.module));
    let gone = table.iter().filter(is_gone).map(|row| {
        Offence::new("ARCHITECTURE.md", row.line, format!("there is no module {}", row.module))
    });
    missing.chain(gone).collect()
}

/// Finds imports of one file that the row of its module does not allow. Tests may import anything.
pub fn check_imports(table: &[Row], source: &Source) -> Vec<Offence> {
    let Some(row) = source.module().and_then(|module| owner(table, &module)) else {
        return Vec::new();
    };
    let mut offences = Vec::new();
    for (line, path) in imports(source) {
        let Some(imported) = owner(table, &path) else { continue };
        if imported.module != row.module && !row.allowed.contains(&imported.module) {
            let summary = format!("{} imports {path}, which its row does not allow", row.module);
            offences.push(Offence::new(&source.path, line, summary));
        }
    }
    offences
}

/// The module paths from the root of the crate that follow `crate::` and `super::`, with lines.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut code = String::new();
    for (i, line) in source.code.iter().enumerate() {
        code += if source.is_test(i + 1) { "" } else { line };
        code.push('\n');
    }
    let own: Vec<String> =
        source.module().unwrap_or_default().split('/').map(str::to_owned).collect();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        if before.is_alphanumeric() || before == '_' || before == ':' {
            continue;
        }
        let mut rest = &code[at..];
        let mut base = Vec::new();
        if let Some(inside) = rest.strip_prefix("crate::") {
            rest = inside;
        } else {
            base.clone_from(&own);
            while let Some(above) = rest.strip_prefix("super::") {
                rest = above;
                base.pop();
            }
        }
        let line = code[..at].matches('\n').count() + 1;
        found.extend(paths(&base, rest).into_iter().map(|path| (line, path.join("/"))));
    }
    found
}

/// The module path that `text` appends to `base`, or one for each member of a `{…}` group.
fn paths(base: &[String], text: &str) -> Vec<Vec<String>> {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        return members(group).into_iter().flat_map(|member| paths(base, member)).collect();
    }
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let is_module = name.starts_with(|c: char| c.is_lowercase());
    if !is_module {
        return vec![base.to_vec()];
    }
    let path = [base, std::slice::from_ref(&name)].concat();
    match text[name.len()..].strip_prefix("::") {
        Some(rest) => paths(&path, rest),
        None => vec![path],
    }
}

/// The members of a group, up to the brace that ends it.
fn members(group: &str) -> Vec<&str> {
    let mut depth = 1;
    let mut begin = 0;
    let mut members = Vec::new();
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            members.push(group[begin..at].trim());
            begin = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    members.retain(|member| !member.is_empty());
    members
}

fn table(rows: &str) -> Vec<Row> {
    let head =
        "# Map\n| rank | module | job | public types | may import |\n|---|---|---|---|---|\n";
    parse_table(&format!("{head}{rows}\nafter")).unwrap()
}

#[test]
fn the_short_forms_of_the_table_are_expanded() {
    let rows = table(
        "| 0 | base/error | x | y | |\n| 1 | base/hit | x | y | base/error |\n\
         | 2 | `index` | x | y | base |\n| 3 | search | x | y | ranks 0 to 1, index |\n\
         | 4 | cli | x | y | everything below |",
    );
    let allowed: Vec<usize> = rows.iter().map(|row| row.allowed.len()).collect();
    assert_eq!(allowed, [0, 1, 2, 3, 4]);
    assert_eq!(check_table(&rows), []);
    assert!(parse_table("no table").is_err());
}

#[test]
fn a_row_that_allows_an_equal_or_higher_rank_is_found() {
    let rows = table("| 0 | error | x | y | hit |\n| 0 | hit | x | y | nothing |");
    let messages: Vec<String> =
        check_table(&rows).into_iter().map(|offence| offence.message).collect();
    assert!(messages[0].contains("rank is not lower"), "{messages:?}");
    assert!(messages[1].contains("has no row"), "{messages:?}");
}

#[test]
fn a_module_without_a_row_and_a_row_without_a_module_are_found() {
    let rows = table("| 0 | base/error | x | y | |\n| 0 | hit | x | y | |");
    let sources = [Source::new("src/base/error.rs", ""), Source::new("src/new/mod.rs", "")];
    assert_eq!(check_modules(&rows, &sources).len(), 2);
    assert_eq!(check_modules(&rows[..1], &sources[..1]), []);
}

#[test]
fn forbidden_imports_are_found_however_they_are_written() {
    let rows = table(
        "| 0 | base/error | x | y | |\n| 1 | a | x | y | base |\n| 1 | b | x | y | base |\n\
         | 1 | c | x | y | base |\n| 1 | d/e | x | y | base |\n| 2 | d | x | y | d/e |",
    );
    let lines = |path: &str, code: &str| -> Vec<usize> {
        let source = Source::new(path, code);
        check_imports(&rows, &source).iter().map(|offence| offence.line).collect()
    };
    let bad = "use crate::base::error::Error;\nuse crate::b::B;\nuse crate::{\n    \
               base::error::{Error, Kind},\n    c::C,\n};\nfn f(x: crate::b::B) {}\n";
    assert_eq!(lines("src/a/mod.rs", bad), [2, 3, 7]);
    assert_eq!(lines("src/a/deep.rs", "use super::super::b::B;\nuse super::b::B;\n"), [1]);
    assert_eq!(lines("src/d/e/x.rs", "use super::super::D;\nuse super::y;\n"), [1]);
    assert_eq!(lines("src/d/e.rs", "use crate::d::{D, e};\nuse super::f::{g, h::I};\n"), [1, 2, 2]);
    assert_eq!(lines("src/d/f.rs", "use super::e::E;\nuse crate::d::g;\n"), [0usize; 0]);
    let clean = "use crate::base::error::Error;\nuse crate::a::x;\n// crate::b::B\n#[cfg(test)]\n\
                 mod tests {\n    use crate::b::B;\n}\npub(crate) fn f() {}\n";
    assert_eq!(lines("src/a/mod.rs", clean), [0usize; 0]);
}
