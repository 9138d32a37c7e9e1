//! Outline: the levels, definitions and references found in one walk over a syntax tree.

use std::collections::HashSet;
use std::ops::Range;

use tree_sitter::{Node, Tree};

use super::SymbolKind;
use super::grammar::Grammar;
use super::grammar_spec::{Definition, Name, When};
use super::levels::{Mark, NEVER, first_of_run};
use super::lines::Lines;
use super::symbol::{clean_doc, clean_docstring, one_line};
use super::type_names::{bare_path, bare_type, is_word, receiver_type};
use crate::base::text::prefix;

/// The deepest nesting of scopes; deeper definitions belong to the deepest scope.
const NESTING_MAX: usize = 12;
pub(super) const NAME_CHARS_MAX: usize = 120;
const SIGNATURE_CHARS_MAX: usize = 200;
/// The most bytes examined for a signature, so that a large constant costs nothing.
const SIGNATURE_BYTES_MAX: usize = 2000;
/// The most levels of the tree between a scope and a constant that belongs to it.
const SHALLOW_MAX: usize = 4;

/// What a syntax tree says about a file.
pub(super) struct Outline {
    /// The depth of the outermost node that starts a line, or [`NEVER`]: `[lines]`.
    pub levels: Vec<u32>,
    /// `[lines]`
    pub marks: Vec<Mark>,
    /// In the order of the text, so a scope follows the one that encloses it.
    pub scopes: Vec<Scope>,
    pub uses: Vec<Use>,
    /// The bytes of comments and docstrings, in the order of the text; they do not overlap.
    pub comments: Vec<Range<u32>>,
}

/// A definition, or a node that names the definitions inside it. Lines count from 0, both inclusive.
pub(super) struct Scope {
    pub name: String,
    /// A name between the enclosing ones and its own: the type of a method that is written outside it.
    pub owner: Option<String>,
    /// `None` if it is not a symbol.
    pub kind: Option<SymbolKind>,
    pub signature: String,
    pub doc: Option<String>,
    /// The first line, attributes included.
    pub first_line: usize,
    /// The first line after the attributes.
    pub start_line: usize,
    pub start_col: usize,
    pub end_line: usize,
    pub parent: Option<usize>,
}

/// The use of a name: its bytes and its line, counted from 0.
pub(super) struct Use {
    pub start: u32,
    pub end: u32,
    pub line: u32,
}

impl Outline {
    /// The outline of a text without a syntax tree.
    pub fn plain(lines: &Lines<'_>) -> Self {
        Self {
            levels: vec![NEVER; lines.len()],
            marks: vec![Mark::None; lines.len()],
            scopes: Vec::new(),
            uses: Vec::new(),
            comments: Vec::new(),
        }
    }

    pub fn from_tree(tree: &Tree, grammar: &Grammar, lines: &Lines<'_>) -> Self {
        let mut walk = Walk {
            lines,
            grammar,
            out: Self::plain(lines),
            open: Vec::new(),
            named: HashSet::new(),
        };
        if grammar.has_docstrings()
            && let Some(string) = docstring_of(&tree.root_node())
        {
            walk.comment(&string);
        }
        let mut cursor = tree.walk();
        let mut depth = 0;
        loop {
            if walk.enter(cursor.node(), depth) && cursor.goto_first_child() {
                depth += 1;
                continue;
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    // A docstring is found before the comments above it.
                    walk.out.comments.sort_by_key(|range| range.start);
                    return walk.out;
                }
                depth -= 1;
            }
        }
    }
}

struct Walk<'a> {
    lines: &'a Lines<'a>,
    grammar: &'a Grammar,
    out: Outline,
    /// The scopes around the current node, outermost first.
    open: Vec<OpenScope>,
    /// The bytes at which names of definitions start: these are not uses.
    named: HashSet<u32>,
}

/// A scope that the walk has entered and not left.
struct OpenScope {
    end_byte: usize,
    /// Its index in [`Outline::scopes`].
    scope: usize,
    depth: usize,
}

impl Walk<'_> {
    /// Records one node. Returns whether to visit its children.
    fn enter(&mut self, node: Node<'_>, depth: usize) -> bool {
        if !node.is_named() {
            return false;
        }
        let start = node.start_position();
        if self.lines.starts_at(start.row, start.column) {
            let level = &mut self.out.levels[start.row];
            *level = (*level).min(depth as u32);
        }
        let role = self.grammar.role(&node);
        if role.comment {
            self.comment(&node);
        }
        if role.comment || role.attribute {
            self.mark(&node, if role.comment { Mark::Comment } else { Mark::Attribute });
            return role.attribute;
        }
        if !role.definitions.is_empty() {
            while self.open.last().is_some_and(|open| open.end_byte <= node.start_byte()) {
                self.open.pop();
            }
            self.define(&node, &role.definitions, depth);
        }
        if role.identifier && !self.named.contains(&(node.start_byte() as u32)) {
            let (start_byte, end) = (node.start_byte() as u32, node.end_byte() as u32);
            self.out.uses.push(Use { start: start_byte, end, line: start.row as u32 });
        }
        let in_line = start.row == node.end_position().row;
        !(in_line && self.grammar.skips_lines() && !may_hold_comment(self.text(&node)))
    }

    fn comment(&mut self, node: &Node<'_>) {
        self.out.comments.push(node.start_byte() as u32..node.end_byte() as u32);
    }

    fn mark(&mut self, node: &Node<'_>, mark: Mark) {
        let (start, end) = (node.start_position(), node.end_position());
        let last = last_line(node);
        let whole_end = end.column == 0 || self.lines.ends_at(last, end.column);
        if self.lines.starts_at(start.row, start.column) && whole_end {
            self.out.marks[start.row..=last].fill(mark);
        }
    }

    fn define(&mut self, node: &Node<'_>, rows: &[&'static Definition], depth: usize) {
        let fits = |row: &&&Definition| self.fits(node, row, depth);
        let Some(row) = rows.iter().find(fits) else { return };
        let Some((name_at, name, owner)) = self.name(node, row.name) else { return };
        if matches!(row.when, When::Shallow) && !is_word(&name) {
            return;
        }
        if !self.named.insert(name_at as u32) {
            return;
        }
        let parent = self.open.last().map(|open| open.scope);
        let inside = parent.map(|scope| self.out.scopes[scope].kind);
        let holder = |kind: Option<SymbolKind>| kind.is_none_or(SymbolKind::holds_methods);
        let is_method = owner.is_some() || inside.is_some_and(holder);
        let kind = match row.kind {
            Some(SymbolKind::Function) if is_method => Some(SymbolKind::Method),
            kind => kind,
        };
        let first_line = node.start_position().row;
        let start = after_attributes(node, self.grammar).unwrap_or(*node).start_position();
        let docstring = docstring(node).filter(|_| self.grammar.has_docstrings());
        docstring.iter().for_each(|string| self.comment(string));
        let scope = Scope {
            signature: self.signature(node, kind),
            doc: match docstring {
                Some(string) => clean_docstring(self.text(&string)),
                None => self.doc(first_line, start.row),
            },
            name,
            owner,
            kind,
            first_line,
            start_line: start.row,
            start_col: start.column,
            end_line: last_line(node).max(start.row),
            parent,
        };
        self.out.scopes.push(scope);
        if self.open.len() < NESTING_MAX {
            let scope = self.out.scopes.len() - 1;
            self.open.push(OpenScope { end_byte: node.end_byte(), scope, depth });
        }
    }

    fn fits(&self, node: &Node<'_>, row: &Definition, depth: usize) -> bool {
        let field = |name: &str| node.child_by_field_name(name);
        match row.when {
            When::Always => true,
            When::FieldIs(name, kinds) => field(name).is_some_and(|f| kinds.contains(&f.kind())),
            When::Has(name) => field(name).is_some(),
            When::Outer(depth_max) => {
                self.open.len() < depth_max && node.start_position().row < last_line(node)
            }
            When::Shallow => {
                let in_function = |open: &OpenScope| {
                    self.out.scopes[open.scope].kind.is_some_and(SymbolKind::is_function)
                };
                let scope_depth = self.open.last().map_or(0, |open| open.depth);
                depth <= scope_depth + SHALLOW_MAX && !self.open.iter().any(in_function)
            }
        }
    }

    /// Where the name starts, the name, and the owner before it.
    fn name(&self, node: &Node<'_>, name: Name) -> Option<(usize, String, Option<String>)> {
        let (found, mut owner) = match name {
            Name::Field(field) => (node.child_by_field_name(field)?, None),
            Name::TypeField => (node.child_by_field_name("type")?, None),
            Name::Declarator => (declarator(*node)?, None),
            Name::Receiver => {
                let receiver = node.child_by_field_name("receiver")?;
                (node.child_by_field_name("name")?, receiver_type(self.text(&receiver)))
            }
            Name::Child(kinds) => (child_of(node, kinds)?, None),
            Name::Heading => {
                let heading = node.named_child(0)?;
                (heading.child_by_field_name("heading_content")?, None)
            }
        };
        let text = self.text(&found);
        let mut word = match name {
            Name::TypeField => bare_type(text),
            Name::Heading => one_line(text, NAME_CHARS_MAX),
            _ => one_line(text.trim_matches(['"', '\'', '`']), NAME_CHARS_MAX),
        };
        if matches!(name, Name::Declarator | Name::Field(_))
            && let Some((before, last)) = word.rsplit_once("::")
        {
            owner = Some(bare_path(before)).filter(|owner| !owner.is_empty());
            word = last.trim().to_owned();
        }
        (!word.is_empty()).then(|| (last_identifier(found).start_byte(), word, owner))
    }

    /// The text up to the body, on one line.
    fn signature(&self, node: &Node<'_>, kind: Option<SymbolKind>) -> String {
        let text = self.lines.text;
        let first = after_attributes(node, self.grammar).unwrap_or(*node);
        let row = first.start_position().row;
        let (line_start, mut start) = (self.lines.starts[row] as usize, first.start_byte());
        // Words before the node on its line are part of the signature: `export default`, `const`.
        let before = &text[line_start..start];
        if before.chars().all(|c| c.is_ascii_alphabetic() || c == ' ' || c == '\t') {
            start = line_start;
        }
        let mut end = match body(node) {
            Some(body) if body.start_byte() > first.start_byte() => body.start_byte(),
            _ => node.end_byte(),
        };
        let titles = [SymbolKind::Section, SymbolKind::Key, SymbolKind::Rule];
        if kind.is_some_and(|kind| titles.contains(&kind)) {
            end = end.min(self.lines.starts[row + 1] as usize);
        }
        let text = prefix(&text[start..end.max(start)], SIGNATURE_BYTES_MAX);
        let line = one_line(text, SIGNATURE_CHARS_MAX);
        line.trim_end_matches("=>").trim_end_matches(['{', ':', '=', ' ', ';']).to_owned()
    }

    /// The text of the comments above a definition.
    fn doc(&self, first_line: usize, start_line: usize) -> Option<String> {
        let marks = &self.out.marks;
        let top = first_of_run(first_line, marks, self.lines);
        // Attributes may stand between the comment and the definition.
        let is_comment = |line: &usize| marks[*line] == Mark::Comment;
        let comment: String =
            (top..start_line).filter(is_comment).map(|line| self.lines.line(line)).collect();
        // `//!` documents the enclosing file.
        if comment.trim_start().starts_with("//!") { None } else { clean_doc(&comment) }
    }

    fn text(&self, node: &Node<'_>) -> &str {
        self.lines.text.get(node.byte_range()).unwrap_or_default()
    }
}

/// The last line that contains a part of the node: some nodes end at the start of the next line.
fn last_line(node: &Node<'_>) -> usize {
    let (start, end) = (node.start_position(), node.end_position());
    if end.column == 0 && end.row > start.row { end.row - 1 } else { end.row }
}

fn body<'t>(node: &Node<'t>) -> Option<Node<'t>> {
    let value = || node.child_by_field_name("value")?.child_by_field_name("body");
    let inner = || node.child_by_field_name("type")?.child_by_field_name("body");
    node.child_by_field_name("body").or_else(value).or_else(inner)
}

/// The first part of a definition that is not an attribute.
fn after_attributes<'t>(node: &Node<'t>, grammar: &Grammar) -> Option<Node<'t>> {
    let mut cursor = node.walk();
    if !cursor.goto_first_child() {
        return None;
    }
    loop {
        let child = cursor.node();
        let skip = grammar.role(&child).attribute || grammar.role(&child).comment;
        let modifiers = child.kind() == "modifiers";
        if modifiers && let Some(inner) = after_attributes(&child, grammar) {
            return Some(inner);
        }
        if !skip && !modifiers {
            return Some(child);
        }
        if !cursor.goto_next_sibling() {
            return None;
        }
    }
}

fn docstring<'t>(node: &Node<'t>) -> Option<Node<'t>> {
    docstring_of(&node.child_by_field_name("body")?)
}

/// The string with which a body or a module begins.
fn docstring_of<'t>(body: &Node<'t>) -> Option<Node<'t>> {
    let mut cursor = body.walk();
    let first = body.named_children(&mut cursor).find(|child| child.kind() != "comment")?;
    let string = if first.kind() == "string" { first } else { first.named_child(0)? };
    (string.kind() == "string" && matches!(first.kind(), "string" | "expression_statement"))
        .then_some(string)
}

fn declarator(node: Node<'_>) -> Option<Node<'_>> {
    let mut inner = node.child_by_field_name("declarator")?;
    // A loop, because declarators nest as deep as the text does.
    loop {
        let next = inner.child_by_field_name("declarator").or_else(|| {
            inner.kind().ends_with("_declarator").then(|| inner.named_child(0)).flatten()
        });
        match next {
            Some(next) => inner = next,
            None => return Some(inner),
        }
    }
}

fn child_of<'t>(node: &Node<'t>, kinds: &[&str]) -> Option<Node<'t>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).find(|child| kinds.contains(&child.kind()))
}

/// The part of a name that is an identifier in the tree: `c` of `a::b::c`.
fn last_identifier(mut node: Node<'_>) -> Node<'_> {
    while let Some(inner) = node.child_by_field_name("name") {
        node = inner;
    }
    node
}

/// Whether a comment of some language may begin in `text`.
fn may_hold_comment(text: &str) -> bool {
    ["#", "//", "/*", "<!--"].iter().any(|mark| text.contains(mark))
}
