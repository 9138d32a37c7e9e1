//! Grammar: parses a language and knows the role of each kind of node.

use std::ops::ControlFlow;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tree_sitter::{Node, ParseOptions, ParseState, Parser, Range, Tree};

use super::chunker::CHUNKER_VERSION;
use super::grammar_spec::{Definition, GrammarSpec};
use super::header::HEADER_VERSION;
use super::languages::GRAMMARS;
use crate::corpus::source::Language;

/// Larger files are split at blank lines: their trees take much memory and are of little use.
const PARSE_BYTES_MAX: usize = 1 << 20;
/// A parse that takes longer is abandoned, and the file is split at blank lines.
const PARSE_MAX: Duration = Duration::from_secs(2);

/// What a kind of node means.
#[derive(Default)]
pub(super) struct Role {
    pub comment: bool,
    pub attribute: bool,
    pub identifier: bool,
    pub definitions: Vec<&'static Definition>,
}

/// The grammar of one language.
pub(super) struct Grammar {
    spec: &'static GrammarSpec,
    language: tree_sitter::Language,
    /// By node kind id.
    roles: Vec<Role>,
    no_role: Role,
}

/// The tree-sitter grammar of `language`, if there is one.
pub fn grammar(language: Language) -> Option<tree_sitter::Language> {
    GRAMMARS.iter().find(|spec| spec.language == language).map(|spec| (spec.load)())
}

/// A fingerprint of everything that decides how a file is cut, apart from its text and the
/// tokenizer: another release with another fingerprint may cut files into other chunks.
pub fn fingerprint() -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&CHUNKER_VERSION.to_le_bytes()).update(&HEADER_VERSION.to_le_bytes());
    for spec in &GRAMMARS {
        let language = (spec.load)();
        let size = [
            language.abi_version(),
            language.node_kind_count(),
            language.field_count(),
            language.parse_state_count(),
            spec.definitions.len(),
        ];
        hasher.update(spec.language.name().as_bytes());
        for n in size {
            hasher.update(&(n as u64).to_le_bytes());
        }
        let defined = spec.definitions.iter().map(|row| row.node);
        for node in defined.chain(spec.comments.iter().chain(spec.attributes).copied()) {
            hasher.update(node.as_bytes()).update(&[0]);
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

impl Grammar {
    /// The grammar of `language`, if there is one. It is loaded once per process.
    pub fn for_language(language: Language) -> Option<&'static Self> {
        static LOADED: [OnceLock<Grammar>; GRAMMARS.len()] =
            [const { OnceLock::new() }; GRAMMARS.len()];
        let row = GRAMMARS.iter().position(|spec| spec.language == language)?;
        Some(LOADED[row].get_or_init(|| Self::new(&GRAMMARS[row])))
    }

    fn new(spec: &'static GrammarSpec) -> Self {
        let language = (spec.load)();
        let mut roles = Vec::new();
        roles.resize_with(language.node_kind_count(), Role::default);
        // Several ids may have one name; each of them gets the role.
        for id in 0..language.node_kind_count() as u16 {
            let Some(kind) = language.node_kind_for_id(id) else { continue };
            if !language.node_kind_is_named(id) {
                continue;
            }
            let role = &mut roles[id as usize];
            role.comment = spec.comments.contains(&kind);
            role.attribute = spec.attributes.contains(&kind);
            role.identifier = spec.identifiers.contains(&kind);
            role.definitions = spec.definitions.iter().filter(|row| row.node == kind).collect();
        }
        Self { spec, language, roles, no_role: Role::default() }
    }

    /// What joins the names of a qualified name.
    pub fn separator(&self) -> &'static str {
        self.spec.separator
    }

    /// Whether a string at the start of a body is its documentation.
    pub fn has_docstrings(&self) -> bool {
        self.spec.docstrings
    }

    /// Whether definitions of one name in a row are one.
    pub fn has_clauses(&self) -> bool {
        self.spec.clauses
    }

    /// Paths from a definition to its body.
    pub fn bodies(&self) -> &'static [&'static str] {
        self.spec.bodies
    }

    pub fn role(&self, node: &Node<'_>) -> &Role {
        self.roles.get(node.kind_id() as usize).unwrap_or(&self.no_role)
    }

    /// Whether nodes within one line can be skipped: the language has no references, and its definitions
    /// are longer than a line.
    pub fn skips_lines(&self) -> bool {
        self.spec.identifiers.is_empty()
    }

    /// The syntax tree of the parts of `text` at `ranges`, or of all of it if there are none; `None` if
    /// the text is too large or parsing takes too long.
    pub fn parse(&self, text: &str, ranges: &[Range]) -> Option<Tree> {
        if text.len() > PARSE_BYTES_MAX {
            return None;
        }
        let mut parser = Parser::new();
        parser.set_language(&self.language).ok()?;
        parser.set_included_ranges(ranges).ok()?;
        let start = Instant::now();
        let mut progress = |_: &ParseState| {
            if start.elapsed() > PARSE_MAX {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let options = ParseOptions::new().progress_callback(&mut progress);
        let bytes = text.as_bytes();
        let mut read = |at: usize, _| bytes.get(at..).unwrap_or_default();
        parser.parse_with_options(&mut read, None, Some(options))
    }
}
