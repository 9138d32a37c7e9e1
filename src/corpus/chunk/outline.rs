//! Outline: the levels, definitions and references found in one walk over a syntax tree.

use std::collections::HashSet;
use std::ops::Range;

use tree_sitter::{Node, Tree};

use super::SymbolKind;
use super::grammar::Grammar;
use super::grammar_spec::{Definition, Name, When};
use super::levels::{Mark, NEVER, first_of_run};
use super::lines::{LINE_BYTES_MAX, Lines};
use super::names::{Named, arity, at, names, text_of};
use super::node_parts::{
    after_attributes, body, docstring, docstring_of, last_line, may_hold_comment,
};
use super::symbol::{clean_doc, clean_docstring, one_line};
use super::type_names::is_word;
use crate::base::text::prefix;

/// The deepest nesting of scopes; deeper definitions belong to the deepest scope.
const NESTING_MAX: usize = 12;
const SIGNATURE_CHARS_MAX: usize = 200;
/// The most bytes examined for a signature, so that a large constant costs nothing.
const SIGNATURE_BYTES_MAX: usize = 2000;
/// The most levels of the tree between a scope and a constant that belongs to it.
const SHALLOW_MAX: usize = 4;
/// What a variable that only names an imported module, or the enclosing type, is assigned.
const IMPORTS: [&str; 4] = ["@import(", "require(", "require ", "@This("];

/// What a syntax tree says about a file.
pub(super) struct Outline {
    /// The depth of the outermost node that starts a line, or [`NEVER`]: `[lines]`.
    pub levels: Vec<u32>,
    /// `[lines]`
    pub marks: Vec<Mark>,
    /// In the order of the text, so a scope follows the one that encloses it.
    pub scopes: Vec<Scope>,
    /// Fields and variants: they enclose nothing, so they are no scopes of chunks.
    pub members: Vec<Scope>,
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
    /// The number of its parameters where that tells definitions of one name apart.
    arity: usize,
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
            members: Vec::new(),
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
            members: HashSet::new(),
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
    /// The members found so far, by their scope and name.
    members: HashSet<(Option<usize>, String)>,
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
        if start.column > LINE_BYTES_MAX {
            return node.end_position().row > start.row;
        }
        if self.lines.starts_at(start.row, start.column) {
            let level = &mut self.out.levels[start.row];
            *level = (*level).min(depth as u32);
        }
        let role = self.grammar.role(&node);
        let mark = self.mark_of(&node);
        if mark != Mark::None {
            if mark == Mark::Comment {
                self.comment(&node);
            }
            self.mark(&node, mark);
            return mark == Mark::Attribute;
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

    /// Whether a node is a comment or an attribute. The operators of Elixir are the latter where they are
    /// `@name value`, and documentation where they are `@doc "..."`.
    fn mark_of(&self, node: &Node<'_>) -> Mark {
        let role = self.grammar.role(node);
        if role.comment {
            Mark::Comment
        } else if role.attribute && node.kind() == "unary_operator" {
            let text = self.text(node);
            let is_doc = text.starts_with("@doc ") && text.contains('"');
            match (is_doc, text.starts_with('@')) {
                (true, _) => Mark::Comment,
                (false, true) => Mark::Attribute,
                (false, false) => Mark::None,
            }
        } else if role.attribute {
            Mark::Attribute
        } else {
            Mark::None
        }
    }

    fn define(&mut self, node: &Node<'_>, rows: &[&'static Definition], depth: usize) {
        let fits = |row: &&&Definition| row.when.iter().all(|when| self.fits(node, when, depth));
        let Some(row) = rows.iter().find(fits) else { return };
        if row.kind.is_some_and(SymbolKind::is_member) {
            return self.define_members(node, row);
        }
        let Some(named) = names(*node, row.name, self.lines.text).into_iter().next() else {
            return;
        };
        let is_variable = row.when.iter().any(|when| matches!(when, When::Shallow));
        if is_variable && (!is_word(&named.word) || self.is_import(node)) {
            return;
        }
        if !self.named.insert(named.start_byte as u32) {
            return;
        }
        if let When::TextIs(path, _) = row.when.first().unwrap_or(&When::TopLevel) {
            // `def` is no use of a name.
            self.named.extend(at(*node, path).map(|word| word.start_byte() as u32));
        }
        let parent = self.open.last().map(|open| open.scope);
        let inside = parent.map(|scope| self.out.scopes[scope].kind);
        let holder = |kind: Option<SymbolKind>| kind.is_none_or(SymbolKind::holds_methods);
        let is_owned =
            named.owner.is_some() && !matches!(row.name, Name::Dotted(_) | Name::Argument);
        let kind = match row.kind {
            Some(SymbolKind::Function) if is_owned || inside.is_some_and(holder) => {
                Some(SymbolKind::Method)
            }
            kind => kind,
        };
        let mut scope = self.scope(node, named, kind, parent);
        if self.grammar.has_clauses() && kind.is_some_and(SymbolKind::is_function) {
            scope.arity = arity(*node, self.lines.text);
            let before = self.out.scopes.iter().rposition(|before| before.parent == parent);
            let key = |scope: &Scope| (scope.kind, scope.arity, scope.name.clone());
            if let Some(before) = before.filter(|i| key(&self.out.scopes[*i]) == key(&scope)) {
                self.out.scopes[before].end_line = scope.end_line;
                return self.open(node, before, depth);
            }
        }
        self.out.scopes.push(scope);
        self.open(node, self.out.scopes.len() - 1, depth);
    }

    fn open(&mut self, node: &Node<'_>, scope: usize, depth: usize) {
        if self.open.len() < NESTING_MAX {
            self.open.push(OpenScope { end_byte: node.end_byte(), scope, depth });
        }
    }

    /// Records the fields or variants that a node defines; their scope is that of the type around them.
    fn define_members(&mut self, node: &Node<'_>, row: &Definition) {
        let kind_of = |open: &OpenScope| self.out.scopes[open.scope].kind;
        let is_type = |open: &&OpenScope| kind_of(open) != Some(SymbolKind::Method);
        let parent = self.open.iter().rev().find(is_type).map(|open| open.scope);
        for named in names(*node, row.name, self.lines.text) {
            let is_new = is_word(&named.word) && self.named.insert(named.start_byte as u32);
            if is_new && self.members.insert((parent, named.word.clone())) {
                let whole = if row.kind == Some(SymbolKind::Field) { *node } else { named.node };
                let mut member = self.scope(&whole, named, row.kind, parent);
                // What is written above a type of one line is about the type.
                let above = parent.map(|parent| self.out.scopes[parent].start_line);
                member.doc = member.doc.filter(|_| above < Some(member.start_line));
                self.out.members.push(member);
            }
        }
    }

    fn scope(
        &mut self,
        node: &Node<'_>,
        named: Named<'_>,
        kind: Option<SymbolKind>,
        parent: Option<usize>,
    ) -> Scope {
        let first_line = node.start_position().row;
        let start = after_attributes(node, self.grammar).unwrap_or(*node).start_position();
        let docstring = docstring(node, self.lines.text).filter(|_| self.grammar.has_docstrings());
        docstring.iter().for_each(|string| self.comment(string));
        Scope {
            signature: self.signature(node, kind),
            doc: match docstring {
                Some(string) => clean_docstring(self.text(&string)),
                None => self.doc(first_line, start.row),
            },
            name: named.word,
            owner: named.owner,
            kind,
            first_line,
            start_line: start.row,
            start_col: start.column,
            end_line: last_line(node).max(start.row),
            parent,
            arity: 0,
        }
    }

    /// Whether a variable is assigned an imported module.
    fn is_import(&self, node: &Node<'_>) -> bool {
        let value = self.text(node).split_once('=').map_or("", |(_, value)| value.trim_start());
        IMPORTS.iter().any(|import| value.starts_with(import))
    }

    fn fits(&self, node: &Node<'_>, when: &When, depth: usize) -> bool {
        let kind_of = |open: &OpenScope| self.out.scopes[open.scope].kind;
        let in_function =
            || self.open.iter().any(|open| kind_of(open).is_some_and(SymbolKind::is_function));
        match *when {
            When::Is(path, kinds) => at(*node, path).is_some_and(|f| kinds.contains(&f.kind())),
            When::TextIs(path, texts) => {
                at(*node, path).is_some_and(|f| texts.contains(&self.text(&f)))
            }
            When::Has(path) => at(*node, path).is_some(),
            When::Outer(depth_max) => {
                self.open.len() < depth_max && node.start_position().row < last_line(node)
            }
            When::Shallow => {
                let scope_depth = self.open.last().map_or(0, |open| open.depth);
                depth <= scope_depth + SHALLOW_MAX && !in_function()
            }
            When::TopLevel => self.open.is_empty(),
            When::OutsideFunctions => !in_function(),
            When::InFunction(name) => {
                self.open.last().is_some_and(|open| self.out.scopes[open.scope].name == name)
            }
            When::Inside(kinds) => {
                let is_inside = |open: &OpenScope| {
                    depth <= open.depth + SHALLOW_MAX && kinds.contains(&kind_of(open))
                };
                self.open.last().is_some_and(is_inside)
            }
            When::Parent(kinds) => {
                node.parent().is_some_and(|parent| kinds.contains(&parent.kind()))
            }
        }
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
        let mut end = match body(node, self.grammar) {
            Some(body) if body.start_byte() > first.start_byte() => body.start_byte(),
            _ if kind.is_some_and(SymbolKind::holds_methods) => {
                start + text[start..node.end_byte()].find('{').unwrap_or(node.end_byte() - start)
            }
            _ => node.end_byte(),
        };
        let titles = [SymbolKind::Section, SymbolKind::Key, SymbolKind::Rule];
        if kind.is_some_and(|kind| titles.contains(&kind)) {
            end = end.min(self.lines.starts[row + 1] as usize);
        }
        let text = prefix(&text[start..end.max(start)], SIGNATURE_BYTES_MAX);
        let line = one_line(text, SIGNATURE_CHARS_MAX);
        let line = line.trim_end_matches("=>").trim_end_matches(" where");
        line.trim_end_matches(['{', ':', '=', ' ', ';', ',']).to_owned()
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
        text_of(node, self.lines.text)
    }
}
