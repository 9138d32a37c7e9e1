//! The columns of the table of languages: what a node of a syntax tree means.
//!
//! A path such as `value/body` leads from a node downwards. Each step is the name of a field, or else
//! the kind of a child.

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
    /// Paths to the body of a definition, at which its signature ends.
    pub bodies: &'static [&'static str],
    /// Whether a string at the start of a body is its documentation.
    pub docstrings: bool,
    /// Whether definitions of one name in a row are one: the signature of a function and its clauses.
    pub clauses: bool,
}

/// A kind of node that defines something.
pub(super) struct Definition {
    pub node: &'static str,
    /// `None` for a node that names what it contains without being a symbol, such as `impl` in Rust.
    pub kind: Option<SymbolKind>,
    pub name: Name,
    /// All of these hold.
    pub when: &'static [When],
}

/// Where the name of a definition is found.
#[derive(Clone, Copy)]
pub(super) enum Name {
    /// At the end of a path. What precedes `::` in it is the owner.
    Path(&'static str),
    /// At the end of a path. What precedes the last `.` or `:` in it is the owner.
    Dotted(&'static str),
    /// The first word at the end of a path.
    FirstWord(&'static str),
    /// The field `type`, without type arguments and path.
    TypeField,
    /// At the end of the chain of `declarator` fields, as in C. A field may have several.
    Declarator,
    /// In the field `name`; the type in the field `receiver` is the owner, as in Go.
    Receiver,
    /// At the end of a path; the type in the field `receiver` is the owner, as in Kotlin.
    Extension(&'static str),
    /// The first child of one of these kinds.
    Child(&'static [&'static str]),
    /// The text of a heading, which is the first child.
    Heading,
    /// The first argument of a call, without the parameters and guards of its own.
    Argument,
    /// The labels of a block of Terraform, as in its addresses.
    Labels,
    /// Several members: all children of these kinds of the node at the end of a path, by their field
    /// `name` if they have it.
    Each(&'static str, &'static [&'static str]),
}

/// A condition on the node of a definition.
#[derive(Clone, Copy)]
pub(super) enum When {
    /// A path leads to a node of one of these kinds.
    Is(&'static str, &'static [&'static str]),
    /// A path leads to one of these texts.
    TextIs(&'static str, &'static [&'static str]),
    /// A path leads to a node: a declaration without it defines nothing.
    Has(&'static str),
    /// Not inside a function and near the top of its scope, with a plain word as its name.
    Shallow,
    /// Longer than a line, and nested at most this deep.
    Outer(usize),
    /// Inside no definition.
    TopLevel,
    /// Not inside a function.
    OutsideFunctions,
    /// Directly inside a function of this name.
    InFunction(&'static str),
    /// Directly inside a definition of one of these kinds.
    Inside(&'static [Option<SymbolKind>]),
    /// Directly inside a node of one of these kinds.
    Parent(&'static [&'static str]),
}
