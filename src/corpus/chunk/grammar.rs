//! What does a node of a syntax tree mean in its language?

use std::ops::ControlFlow;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tree_sitter::{Node, ParseOptions, ParseState, Parser, Tree};

use super::SymbolKind;
use super::languages::GRAMMARS;
use crate::corpus::source::Language;

/// Larger files are cut at blank lines instead: their trees take much memory and tell little.
const PARSE_BYTES_MAX: usize = 1 << 20;
/// A parse that takes longer is given up, and the file is cut at blank lines.
const PARSE_MAX: Duration = Duration::from_secs(2);

/// One row of the table of languages.
pub(super) struct Grammar {
    pub language: Language,
    pub load: fn() -> tree_sitter::Language,
    /// Joins the names of a qualified name.
    pub separator: &'static str,
    /// The first row that fits a node wins.
    pub definitions: &'static [Definition],
    pub comments: &'static [&'static str],
    /// Nodes that belong to the definition behind them: attributes, decorators, annotations.
    pub attributes: &'static [&'static str],
    pub identifiers: &'static [&'static str],
    /// Whether a string that opens a body documents it.
    pub docstrings: bool,
}

/// A kind of node that defines something.
pub(super) struct Definition {
    pub node: &'static str,
    /// `None`: names what is inside, and is no symbol itself, such as `impl` in Rust.
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
    /// Down the `declarator` fields, as in C.
    Declarator,
    /// The field `name`; the type of the field `receiver` is the owner, as in Go.
    Receiver,
    /// The first child of one of these kinds.
    Child(&'static [&'static str]),
    /// The words of a heading, the first child.
    Heading,
}

/// A condition on the node of a definition.
#[derive(Clone, Copy)]
pub(super) enum When {
    Always,
    /// The field holds a node of one of these kinds.
    FieldIs(&'static str, &'static [&'static str]),
    /// The field is there: a declaration without it defines nothing.
    Has(&'static str),
    /// Not inside a function, and near the top of its scope; the name is a plain word.
    Shallow,
    /// Longer than a line, and inside at most this many others.
    Outer(usize),
}

/// What a kind of node is.
#[derive(Default)]
pub(super) struct Role {
    pub comment: bool,
    pub attribute: bool,
    pub identifier: bool,
    pub definitions: Vec<&'static Definition>,
}

/// A row of the table, ready for use.
pub(super) struct Compiled {
    pub grammar: &'static Grammar,
    language: tree_sitter::Language,
    /// By node kind id.
    roles: Vec<Role>,
    no_role: Role,
}

/// The grammar of `language`, where there is one.
pub fn grammar(language: Language) -> Option<tree_sitter::Language> {
    GRAMMARS.iter().find(|grammar| grammar.language == language).map(|grammar| (grammar.load)())
}

impl Compiled {
    /// The grammar of `language`, where there is one. Made once a process.
    pub fn of(language: Language) -> Option<&'static Self> {
        static MADE: [OnceLock<Compiled>; GRAMMARS.len()] =
            [const { OnceLock::new() }; GRAMMARS.len()];
        let row = GRAMMARS.iter().position(|grammar| grammar.language == language)?;
        Some(MADE[row].get_or_init(|| Self::new(&GRAMMARS[row])))
    }

    fn new(grammar: &'static Grammar) -> Self {
        let language = (grammar.load)();
        let mut roles = Vec::new();
        roles.resize_with(language.node_kind_count(), Role::default);
        // Several ids may carry one name; each of them gets the role.
        for id in 0..language.node_kind_count() as u16 {
            let Some(kind) = language.node_kind_for_id(id) else { continue };
            if !language.node_kind_is_named(id) {
                continue;
            }
            let role = &mut roles[id as usize];
            role.comment = grammar.comments.contains(&kind);
            role.attribute = grammar.attributes.contains(&kind);
            role.identifier = grammar.identifiers.contains(&kind);
            role.definitions = grammar.definitions.iter().filter(|row| row.node == kind).collect();
        }
        Self { grammar, language, roles, no_role: Role::default() }
    }

    pub fn role(&self, node: &Node<'_>) -> &Role {
        self.roles.get(node.kind_id() as usize).unwrap_or(&self.no_role)
    }

    /// Whether nodes within one line say nothing: no names are used, and definitions are longer.
    pub fn skips_lines(&self) -> bool {
        self.grammar.identifiers.is_empty()
    }

    /// The syntax tree of `text`; `None` when it is too large or takes too long.
    pub fn parse(&self, text: &str) -> Option<Tree> {
        if text.len() > PARSE_BYTES_MAX {
            return None;
        }
        let mut parser = Parser::new();
        parser.set_language(&self.language).ok()?;
        let start = Instant::now();
        let mut progress = |_: &ParseState| match start.elapsed() > PARSE_MAX {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let options = ParseOptions::new().progress_callback(&mut progress);
        let bytes = text.as_bytes();
        let mut read = |at: usize, _| bytes.get(at..).unwrap_or_default();
        parser.parse_with_options(&mut read, None, Some(options))
    }
}
