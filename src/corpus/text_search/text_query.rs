//! TextQuery: what a text search is asked for.

use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::corpus::source::{Language, RepoPath};

/// The longest pattern.
const PATTERN_BYTES_MAX: usize = 16 << 10;
/// Most matches in one answer, and most lines around each: at some 500 bytes a line an answer has
/// at most 20 MB.
const MATCHES_MAX: usize = 1000;
const CONTEXT_LINES_MAX: usize = 20;

/// What a text search is asked for.
#[derive(Debug, Clone)]
pub struct TextQuery {
    pub pattern: String,
    /// Whether the pattern is a regular expression, in the syntax of the crate `regex`.
    pub is_regex: bool,
    pub case: CaseMode,
    /// Whether a match must begin and end at the edge of a word.
    pub word: bool,
    /// Whether a match may span lines. A text with line feeds does in any case.
    pub multiline: bool,
    /// As in [`GlobList`](crate::corpus::source::GlobList); none means all files.
    pub globs: Vec<String>,
    /// None means all languages.
    pub languages: Vec<Language>,
    /// Lines before and after each match.
    pub context_lines: usize,
    /// The most matches that are returned. All are counted.
    pub matches_max: usize,
    /// Only matches after this path and line are returned. All are counted.
    pub after: Option<(RepoPath, u32)>,
    /// The longest time, when the deadline of the run is later.
    pub time_max: Duration,
}

/// Whether `a` matches `A`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CaseMode {
    /// Only if the pattern has no capital letter.
    #[default]
    Smart,
    Sensitive,
    Insensitive,
}

impl Default for TextQuery {
    fn default() -> Self {
        Self {
            pattern: String::new(),
            is_regex: false,
            case: CaseMode::default(),
            word: false,
            multiline: false,
            globs: Vec::new(),
            languages: Vec::new(),
            context_lines: 0,
            matches_max: 50,
            after: None,
            time_max: Duration::from_secs(10),
        }
    }
}

impl TextQuery {
    /// The lines of files that contain `text`.
    pub fn literal(text: impl Into<String>) -> Self {
        Self { pattern: text.into(), ..Self::default() }
    }

    /// The lines of files that match the regular expression `pattern`.
    pub fn regex(pattern: impl Into<String>) -> Self {
        Self { pattern: pattern.into(), is_regex: true, ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<()> {
        let between = |name, value: usize, least: usize, most: usize| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            let expected = format!("{least} to {most}");
            Err(Error::Argument { name, value: value.to_string(), expected })
        };
        if self.pattern.is_empty() {
            let expected = "a text or a regular expression".to_owned();
            return Err(Error::Argument { name: "pattern", value: "\"\"".to_owned(), expected });
        }
        if self.pattern.len() > PATTERN_BYTES_MAX {
            return Err(Error::Argument {
                name: "pattern",
                value: format!("({} bytes)", self.pattern.len()),
                expected: format!("at most {PATTERN_BYTES_MAX} bytes"),
            });
        }
        between("matches_max", self.matches_max, 1, MATCHES_MAX)?;
        between("context_lines", self.context_lines, 0, CONTEXT_LINES_MAX)
    }
}
