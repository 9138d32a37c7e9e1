//! Does each module import only what its row in ARCHITECTURE.md allows?

use std::collections::BTreeSet;

use super::Offence;
use super::source::Source;

/// What the architecture calls `vocabulary` in its table.
const VOCABULARY: [&str; 3] = ["error", "hit", "vector"];
const HEADER: [&str; 5] = ["rank", "module", "job", "public types", "may import"];

/// One row of the table.
#[derive(Debug, PartialEq)]
pub struct Row {
    pub line: usize,
    pub rank: u32,
    pub module: String,
    pub allowed: BTreeSet<String>,
}

/// Reads the table with the columns rank, module, job, public types, may import.
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

/// `vocabulary`, `ranks A to B` and `everything below` stand for several modules.
fn allowed_modules(cell: &str, rank: u32, ranks: &[(u32, String)]) -> BTreeSet<String> {
    let within = |low: u32, high: u32| {
        let inside = ranks.iter().filter(move |(rank, _)| (low..=high).contains(rank));
        inside.map(|(_, module)| module.clone()).collect::<Vec<_>>()
    };
    let mut modules = BTreeSet::new();
    for item in cell.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let span = item.strip_prefix("ranks ").and_then(|span| span.split_once(" to "));
        match (item, span.map(|(low, high)| (low.parse(), high.parse()))) {
            ("vocabulary", _) => modules.extend(VOCABULARY.map(str::to_owned)),
            ("everything below", _) => modules.extend(within(0, rank.saturating_sub(1))),
            (_, Some((Ok(low), Ok(high)))) => modules.extend(within(low, high)),
            _ => {
                modules.insert(item.to_owned());
            }
        }
    }
    modules
}

/// Every import goes to a lower rank, so there is no cycle, and names a module of the table.
pub fn check_table(table: &[Row]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for row in table {
        for name in &row.allowed {
            let what = match table.iter().find(|other| other.module == *name) {
                None => format!("{} may import {name}, which has no row", row.module),
                Some(other) if other.rank >= row.rank => {
                    format!("{} may import {name}, whose rank is not lower", row.module)
                }
                Some(_) => continue,
            };
            offences.push(Offence::new("ARCHITECTURE.md", row.line, what));
        }
    }
    offences
}

/// Every module of the tree has a row, and every row a module.
pub fn check_modules(table: &[Row], sources: &[Source]) -> Vec<Offence> {
    let real: BTreeSet<&str> = sources.iter().filter_map(Source::module).collect();
    let listed: BTreeSet<&str> = table.iter().map(|row| row.module.as_str()).collect();
    let missing = real.difference(&listed).map(|module| {
        Offence::new("ARCHITECTURE.md", 1, format!("module {module} has no row in the table"))
    });
    let gone = table.iter().filter(|row| !real.contains(row.module.as_str())).map(|row| {
        Offence::new("ARCHITECTURE.md", row.line, format!("there is no module {}", row.module))
    });
    missing.chain(gone).collect()
}

/// The imports of one file against the row of its module; tests may import what they like.
pub fn check_imports(table: &[Row], source: &Source) -> Vec<Offence> {
    let Some(module) = source.module() else { return Vec::new() };
    let Some(row) = table.iter().find(|row| row.module == module) else { return Vec::new() };
    let mut offences = Vec::new();
    for (line, imported) in imports(source) {
        let known = table.iter().any(|row| row.module == imported);
        if imported != module && known && !row.allowed.contains(&imported) {
            let what = format!("{module} imports {imported}, which its row does not allow");
            offences.push(Offence::new(&source.path, line, what));
        }
    }
    offences
}

/// The top-level modules that `crate::` and long enough chains of `super::` lead to, with lines.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut code = String::new();
    for (i, line) in source.code.iter().enumerate() {
        code += if source.is_test(i + 1) { "" } else { line };
        code.push('\n');
    }
    let to_root = format!("{}super::", "super::".repeat(source.depth() - 1));
    let mut found = Vec::new();
    for root in ["crate::", to_root.as_str()] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || before == ':' {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            let names = heads(&code[at + root.len()..]);
            found.extend(names.into_iter().map(|name| (line, name)));
        }
    }
    found
}

/// The first names of a path or of each member of a `{…}` group.
fn heads(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.trim_start().strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut names) = (1, vec![name(group)]);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(name(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn table(rows: &str) -> Vec<Row> {
    let head =
        "# Map\n| rank | module | job | public types | may import |\n|---|---|---|---|---|\n";
    parse_table(&format!("{head}{rows}\nafter")).unwrap()
}

#[test]
fn the_table_knows_its_short_forms() {
    let rows = table(
        "| 0 | error | x | y | |\n| 0 | `hit` | x | y | |\n| 1 | vector | x | y | error |\n\
         | 2 | index | x | y | vocabulary |\n| 3 | search | x | y | ranks 0 to 1, index |\n\
         | 4 | cli | x | y | everything below |",
    );
    let allowed: Vec<usize> = rows.iter().map(|row| row.allowed.len()).collect();
    assert_eq!(allowed, [0, 0, 1, 3, 4, 5]);
    assert_eq!(check_table(&rows), []);
    assert!(parse_table("no table").is_err());
}

#[test]
fn an_import_of_an_equal_or_higher_rank_is_refused_in_the_table() {
    let rows = table("| 0 | error | x | y | hit |\n| 0 | hit | x | y | nothing |");
    let what: Vec<String> = check_table(&rows).into_iter().map(|offence| offence.what).collect();
    assert!(what[0].contains("rank is not lower") && what[1].contains("has no row"), "{what:?}");
}

#[test]
fn a_module_without_a_row_and_a_row_without_a_module_are_found() {
    let rows = table("| 0 | error | x | y | |\n| 0 | hit | x | y | |");
    let sources = [Source::new("src/error.rs", ""), Source::new("src/new/mod.rs", "")];
    assert_eq!(check_modules(&rows, &sources).len(), 2);
    assert_eq!(check_modules(&rows[..1], &sources[..1]), []);
}

#[test]
fn forbidden_imports_are_found_however_they_are_written() {
    let rows = table(
        "| 0 | error | x | y | |\n| 1 | a | x | y | error |\n| 1 | b | x | y | error |\n\
         | 1 | c | x | y | error |",
    );
    let lines = |path: &str, code: &str| -> Vec<usize> {
        let source = Source::new(path, code);
        check_imports(&rows, &source).iter().map(|offence| offence.line).collect()
    };
    let bad = "use crate::error::Error;\nuse crate::b::B;\nuse crate::{\n    error::{Error, Kind},\n    \
               c::C,\n};\nfn f(x: crate::b::B) {}\n";
    assert_eq!(lines("src/a/mod.rs", bad), [2, 3, 7]);
    assert_eq!(lines("src/a/deep.rs", "use super::super::b::B;\nuse super::b::B;\n"), [1]);
    let clean = "use crate::error::Error;\nuse crate::a::x;\n// crate::b::B\n#[cfg(test)]\nmod tests \
                 {\n    use crate::b::B;\n}\npub(crate) fn f() {}\n";
    assert_eq!(lines("src/a/mod.rs", clean), [0usize; 0]);
}
