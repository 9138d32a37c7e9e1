//! The parts of a definition's node: its body, its attributes, its docstring.

use tree_sitter::Node;

use super::grammar::Grammar;
use super::names::{at, text_of};

/// The last line that contains a part of the node: some nodes end at the start of the next line.
pub(super) fn last_line(node: &Node<'_>) -> usize {
    let (start, end) = (node.start_position(), node.end_position());
    if end.column == 0 && end.row > start.row { end.row - 1 } else { end.row }
}

pub(super) fn body<'t>(node: &Node<'t>, grammar: &Grammar) -> Option<Node<'t>> {
    let paths = ["body", "value/body", "type/body"].iter().chain(grammar.bodies());
    paths.copied().find_map(|path| at(*node, path))
}

/// The first part of a definition that is not an attribute.
pub(super) fn after_attributes<'t>(node: &Node<'t>, grammar: &Grammar) -> Option<Node<'t>> {
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

pub(super) fn docstring<'t>(node: &Node<'t>, text: &str) -> Option<Node<'t>> {
    let Some(block) = at(*node, "do_block") else {
        return docstring_of(&node.child_by_field_name("body")?);
    };
    let first = block.named_child(0).filter(|first| text_of(first, text).starts_with("@moduledoc"));
    at(first?, "operand/arguments/string")
}

/// The string with which a body or a module begins.
pub(super) fn docstring_of<'t>(body: &Node<'t>) -> Option<Node<'t>> {
    let mut cursor = body.walk();
    let first = body.named_children(&mut cursor).find(|child| child.kind() != "comment")?;
    let string = if first.kind() == "string" { first } else { first.named_child(0)? };
    (string.kind() == "string" && matches!(first.kind(), "string" | "expression_statement"))
        .then_some(string)
}

/// Whether a comment of some language may begin in `text`.
pub(super) fn may_hold_comment(text: &str) -> bool {
    ["#", "//", "/*", "<!--"].iter().any(|mark| text.contains(mark))
}
