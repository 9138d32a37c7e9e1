//! The definitions that differ between two versions of a file.

use std::collections::BTreeSet;

use crate::corpus::chunk::{Symbol, definitions};
use crate::corpus::git::{ChangedFile, changed_lines};
use crate::corpus::source::SourceFile;

/// How a definition differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DefinitionChange {
    Removed,
    Modified,
    Added,
}

impl DefinitionChange {
    /// As a lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Modified => "modified",
            Self::Added => "added",
        }
    }
}

/// A definition that one version has and the other has not, or has with other lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedDefinition {
    pub change: DefinitionChange,
    /// As it is after the change, or as it was if it is removed.
    pub symbol: Symbol,
}

/// The definitions of `file` that a change of lines touched: of nested ones the innermost. Those that
/// were removed come first, then the others, each from top to bottom.
pub fn changed_definitions(file: &ChangedFile) -> Vec<ChangedDefinition> {
    use DefinitionChange::{Added, Modified, Removed};
    let symbols = |text: &str| {
        let mut symbols = definitions(&SourceFile::from_text(file.path.as_str(), text));
        // The change of a field is one of its type.
        symbols.retain(|symbol| !symbol.kind.is_member());
        symbols
    };
    let (before, after) = (symbols(&file.before), symbols(&file.after));
    let (removed, added) = changed_lines(&file.before, &file.after);
    let same = |a: &Symbol, b: &Symbol| a.qualified == b.qualified && a.kind == b.kind;
    let mut touched: BTreeSet<usize> =
        added.iter().filter_map(|line| innermost(&after, *line)).collect();
    let mut gone = Vec::new();
    let lost: BTreeSet<usize> =
        removed.iter().filter_map(|line| innermost(&before, *line)).collect();
    for old in lost.into_iter().map(|i| &before[i]) {
        match after.iter().position(|new| same(old, new)) {
            Some(new) => drop(touched.insert(new)),
            None => gone.push(ChangedDefinition { change: Removed, symbol: old.clone() }),
        }
    }
    let kept = touched.into_iter().map(|i| {
        let symbol = after[i].clone();
        let change = if before.iter().any(|old| same(old, &symbol)) { Modified } else { Added };
        ChangedDefinition { change, symbol }
    });
    gone.into_iter().chain(kept).collect()
}

/// The smallest definition that contains a line.
fn innermost(symbols: &[Symbol], line: u32) -> Option<usize> {
    let contains =
        |(_, symbol): &(usize, &Symbol)| (symbol.start_line..=symbol.end_line).contains(&line);
    let containing = symbols.iter().enumerate().filter(contains);
    containing.min_by_key(|(_, symbol)| symbol.end_line - symbol.start_line).map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::source::RepoPath;

    fn changes(before: &str, after: &str) -> Vec<(&'static str, String)> {
        let path = RepoPath::new("a.rs");
        let file = ChangedFile { path, before: before.to_owned(), after: after.to_owned() };
        let changed = changed_definitions(&file).into_iter();
        changed.map(|c| (c.change.as_str(), c.symbol.qualified)).collect()
    }

    const BEFORE: &str = "fn one() {\n    1;\n}\n\nstruct Pool;\n\nimpl Pool {\n    fn get() {\n        2;\n    \
        }\n\n    fn put() {\n        3;\n    }\n}\n";

    #[test]
    fn the_innermost_definition_of_a_changed_line_is_named() {
        let edited = BEFORE.replace("2;", "22;");
        assert_eq!(changes(BEFORE, &edited), [("modified", "Pool::get".to_owned())]);
        assert_eq!(changes(BEFORE, BEFORE), []);
        let lines_only_moved = format!("// A comment.\n\n{BEFORE}");
        assert_eq!(changes(BEFORE, &lines_only_moved), []);
        let shorter = BEFORE.replace("    1;\n", "");
        assert_eq!(changes(BEFORE, &shorter), [("modified", "one".to_owned())]);
    }

    #[test]
    fn removed_and_added_definitions_are_told_apart_from_modified_ones() {
        let renamed = BEFORE.replace("fn put()", "fn put_back()");
        let expected = [("removed", "Pool::put"), ("added", "Pool::put_back")];
        assert_eq!(changes(BEFORE, &renamed), expected.map(|(c, name)| (c, name.to_owned())));
        assert_eq!(changes("", "fn one() {}\n"), [("added", "one".to_owned())]);
        assert_eq!(changes("fn one() {}\n", ""), [("removed", "one".to_owned())]);
    }
}
