//! The columns of the table of languages: what a node of a syntax tree means.

use super::SymbolKind;
use crate::corpus::source::Language;

/// One row of the table of languages.
pub(super) struct GrammarSpec {
    pub language: Language,
    pub load: fn() -> tree_sitter::Language,
    /// Joins the names of a qualified name.
    pub separator: &'static str,
    /// The first definition that fits a node wins.
    pub definitions: &'static [Definition],
    pub comments: &'static [&'static str],
    /// Nodes that belong to the definition after them: attributes, decorators, annotations.
    pub attributes: &'static [&'static str],
    pub identifiers: &'static [&'static str],
    /// Whether a string at the start of a body is its documentation.
    pub docstrings: bool,
}

/// A kind of node that defines something.
pub(super) struct Definition {
    pub node: &'static str,
    /// `None` for a node that names what it contains without being a symbol, such as `impl` in Rust.
    pub kind: Option<SymbolKind>,
    pub name: Name,
    pub when: When,
}

/// Where the name of a definition is found.
#[derive(Clone, Copy)]
pub(super) enum Name {
    Field(&'static str),
    /// The field `type`, without type arguments and path.
    TypeField,
    /// At the end of the chain of `declarator` fields, as in C.
    Declarator,
    /// In the field `name`; the type in the field `receiver` is the owner, as in Go.
    Receiver,
    /// The first child of one of these kinds.
    Child(&'static [&'static str]),
    /// The text of a heading, which is the first child.
    Heading,
}

/// A condition on the node of a definition.
#[derive(Clone, Copy)]
pub(super) enum When {
    Always,
    /// The field holds a node of one of these kinds.
    FieldIs(&'static str, &'static [&'static str]),
    /// The field exists: a declaration without it defines nothing.
    Has(&'static str),
    /// Not inside a function and near the top of its scope, with a plain word as its name.
    Shallow,
    /// Longer than a line, and nested at most this deep.
    Outer(usize),
}
