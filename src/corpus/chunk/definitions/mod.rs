//! Which nodes of each language define something, and how each is named.

mod data;
mod functional;
mod objects;
mod scripts;
mod systems;

pub(super) use data::*;
pub(super) use functional::*;
pub(super) use objects::*;
pub(super) use scripts::*;
pub(super) use systems::*;

use super::SymbolKind::{self, *};
use super::grammar_spec::Definition;
use super::grammar_spec::Name::{self, *};
use super::grammar_spec::When::{self, *};

const fn def(node: &'static str, kind: SymbolKind, name: Name) -> Definition {
    Definition { node, kind: Some(kind), name, when: &[] }
}

const fn def_when(
    node: &'static str,
    kind: SymbolKind,
    name: Name,
    when: &'static [When],
) -> Definition {
    Definition { node, kind: Some(kind), name, when }
}

/// A node that names what it contains without being a symbol.
const fn scope(node: &'static str, name: Name, when: &'static [When]) -> Definition {
    Definition { node, kind: None, name, when }
}

const NAME: Name = Path("name");
