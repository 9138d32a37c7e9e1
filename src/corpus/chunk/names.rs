//! Names: where the name of a definition stands in its node, and what owns it.

use tree_sitter::Node;

use super::grammar_spec::Name;
use super::symbol::one_line;
use super::type_names::{bare_path, bare_type, receiver_type};

pub(super) const NAME_CHARS_MAX: usize = 120;

/// The name of a definition.
pub(super) struct Named<'t> {
    /// The part of the definition that has this name: all of it unless it defines several members.
    pub node: Node<'t>,
    /// The byte at which the name starts.
    pub start_byte: usize,
    pub word: String,
    /// A name between the enclosing ones and its own: the type of a method that is written outside it.
    pub owner: Option<String>,
}

/// The names that `node` defines; several only for members.
pub(super) fn names<'t>(node: Node<'t>, name: Name, text: &str) -> Vec<Named<'t>> {
    match name {
        Name::Each(path, kinds) => {
            let Some(list) = at(node, path) else { return Vec::new() };
            let mut cursor = list.walk();
            let children = list.named_children(&mut cursor);
            let element = |child: Node<'t>| {
                let found = child.child_by_field_name("name").unwrap_or(child);
                named(child, found, name, None, text)
            };
            children.filter(|child| kinds.contains(&child.kind())).filter_map(element).collect()
        }
        Name::Declarator => {
            let mut cursor = node.walk();
            let declarators = node.children_by_field_name("declarator", &mut cursor);
            declarators.filter_map(|d| named(node, innermost(d), name, None, text)).collect()
        }
        Name::Labels => labels(node, text).into_iter().collect(),
        _ => {
            let Some(found) = found(node, name, text) else { return Vec::new() };
            let receiver = || node.child_by_field_name("receiver").map(|r| text_of(&r, text));
            let owner = match name {
                Name::Receiver => receiver().and_then(receiver_type),
                Name::Extension(_) => receiver().map(bare_type),
                _ => None,
            };
            named(node, found, name, owner, text).into_iter().collect()
        }
    }
}

/// The node with the name.
fn found<'t>(node: Node<'t>, name: Name, text: &str) -> Option<Node<'t>> {
    match name {
        Name::Path(path) | Name::Dotted(path) | Name::FirstWord(path) | Name::Extension(path) => {
            at(node, path)
        }
        Name::TypeField => node.child_by_field_name("type"),
        Name::Receiver => node.child_by_field_name("name"),
        Name::Child(kinds) => child_of(node, kinds),
        Name::Heading => node.named_child(0)?.child_by_field_name("heading_content"),
        Name::Argument => {
            let head = head(node, text)?;
            Some(if head.kind() == "call" { head.child_by_field_name("target")? } else { head })
        }
        Name::Declarator | Name::Labels | Name::Each(..) => None,
    }
}

fn named<'t>(
    node: Node<'t>,
    found: Node<'t>,
    name: Name,
    owner: Option<String>,
    text: &str,
) -> Option<Named<'t>> {
    let mut written = text_of(&found, text);
    // These marks are no part of a name: `:size` in Ruby, `$size` in PHP, `#size` in JavaScript.
    if matches!(found.kind(), "simple_symbol" | "variable_name" | "private_property_identifier") {
        written = written.trim_start_matches([':', '$', '#']);
    }
    let word = match name {
        Name::TypeField => bare_type(written),
        Name::Heading => one_line(written, NAME_CHARS_MAX),
        Name::FirstWord(_) => {
            let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '\'';
            let word = written.split(|c| !is_part(c)).find(|word| !word.is_empty());
            word.unwrap_or_default().to_owned()
        }
        // `(+)` in Haskell.
        Name::Path(_) if written.starts_with('(') => written.trim_matches(['(', ')']).to_owned(),
        // Selectors, keys and the like keep their marks.
        _ => one_line(written.trim_matches(['"', '\'', '`']), NAME_CHARS_MAX),
    };
    let split = match name {
        Name::Declarator | Name::Path(_) => word.rsplit_once("::"),
        Name::Dotted(_) | Name::Argument => word.rsplit_once(['.', ':']),
        _ => None,
    };
    let (owner, word) = match split {
        Some((before, last)) => (
            Some(bare_path(before)).filter(|owner| !owner.is_empty()),
            last.trim().trim_matches(['"', '`', '[', ']']).to_owned(),
        ),
        None => (owner, word),
    };
    let start_byte = last_identifier(found).start_byte();
    (!word.is_empty()).then_some(Named { node, start_byte, word, owner })
}

/// `aws_s3_bucket.logs` of `resource "aws_s3_bucket" "logs"`, `var.size` of `variable "size"`.
fn labels<'t>(node: Node<'t>, text: &str) -> Option<Named<'t>> {
    let mut cursor = node.walk();
    let children = node.named_children(&mut cursor);
    let labels: Vec<Node<'t>> = children.filter(|child| child.kind() == "string_lit").collect();
    let (last, before) = labels.split_last()?;
    let word = |node: &Node<'t>| text_of(node, text).trim_matches('"').to_owned();
    let kind = match word(&node.named_child(0)?).as_str() {
        "resource" => None,
        "variable" => Some("var".to_owned()),
        kind => Some(kind.to_owned()),
    };
    let owner: Vec<String> = kind.into_iter().chain(before.iter().map(word)).collect();
    let (word, owner) = (word(last), Some(owner.join(".")).filter(|owner| !owner.is_empty()));
    (!word.is_empty()).then(|| Named { node, start_byte: last.start_byte(), word, owner })
}

/// What a call such as `def run(x) when x > 0` defines: its first argument without its guard.
fn head<'t>(node: Node<'t>, text: &str) -> Option<Node<'t>> {
    let mut head = at(node, "arguments")?.named_child(0)?;
    while head.kind() == "binary_operator" {
        let operator = head.child_by_field_name("operator")?;
        if text_of(&operator, text) != "when" {
            return Some(operator);
        }
        head = head.child_by_field_name("left")?;
    }
    Some(head)
}

/// The number of parameters that a call such as `def run(x)` gives to what it defines.
pub(super) fn arity(node: Node<'_>, text: &str) -> usize {
    let parameters = head(node, text).and_then(|head| at(head, "arguments"));
    parameters.map_or(0, |parameters| parameters.named_child_count())
}

/// The node at the end of a path: each step is a field, or else the kind of a child.
pub(super) fn at<'t>(node: Node<'t>, path: &str) -> Option<Node<'t>> {
    let mut steps = path.split('/').filter(|step| !step.is_empty());
    steps.try_fold(node, |node, step| {
        node.child_by_field_name(step).or_else(|| child_of(node, &[step]))
    })
}

fn child_of<'t>(node: Node<'t>, kinds: &[&str]) -> Option<Node<'t>> {
    let mut cursor = node.walk();
    node.children(&mut cursor).find(|child| kinds.contains(&child.kind()))
}

/// The name at the end of a chain of declarators.
fn innermost(mut declarator: Node<'_>) -> Node<'_> {
    // A loop, because declarators nest as deep as the text does.
    loop {
        let next = declarator.child_by_field_name("declarator").or_else(|| {
            declarator.kind().ends_with("_declarator").then(|| declarator.named_child(0)).flatten()
        });
        match next {
            Some(next) => declarator = next,
            None => return declarator,
        }
    }
}

/// The part of a name that is an identifier in the tree: `c` of `a::b::c`.
fn last_identifier(mut node: Node<'_>) -> Node<'_> {
    while let Some(inner) =
        ["name", "field", "method"].iter().find_map(|field| node.child_by_field_name(field))
    {
        node = inner;
    }
    node
}

pub(super) fn text_of<'a>(node: &Node<'_>, text: &'a str) -> &'a str {
    text.get(node.byte_range()).unwrap_or_default()
}
