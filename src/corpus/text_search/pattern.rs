//! Pattern: a checked and compiled pattern, and the searchers that use it.

use grep_matcher::LineTerminator;
use grep_regex::{ErrorKind, RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder};
use regex_syntax::hir::{Hir, HirKind};

use super::{CaseMode, TextQuery};
use crate::base::error::{Error, Result};
use crate::base::text::prefix;

/// Memory of a compiled expression; Unicode classes such as `\w` need some 10 KB each.
const PROGRAM_BYTES_MAX: usize = 4 << 20;
/// Memory of one thread for states that are built while searching.
const STATES_BYTES_MAX: usize = 16 << 20;
/// The most characters of a match that an expression tells apart (`[ab]{9}c` has 10). In the worst
/// case each byte of the text is compared with each of them, some 50 million in a second.
const POSITIONS_MAX: usize = 1000;
/// The most comparisons between two looks at the clock.
const COMPARISONS_MAX: usize = 50_000_000;
/// The buffer of a searcher, which is never smaller.
const BUFFER_BYTES: usize = 64 << 10;
/// Bytes of a pattern that an error shows.
const SHOWN_BYTES_MAX: usize = 200;

/// A checked and compiled pattern.
pub(super) struct Pattern {
    pub matcher: RegexMatcher,
    pub multiline: bool,
    crlf: bool,
    /// The longest line, or with `multiline` the largest file, that is searched.
    bytes_max: usize,
}

impl Pattern {
    pub fn new(query: &TextQuery) -> Result<Self> {
        query.check()?;
        let across = !query.is_regex && query.pattern.contains('\n');
        let expression = if across { across_lines(&query.pattern) } else { query.pattern.clone() };
        let multiline = query.multiline || across;
        let mut builder = RegexMatcherBuilder::new();
        builder
            .multi_line(true)
            .fixed_strings(!query.is_regex && !across)
            .case_smart(query.case == CaseMode::Smart)
            .case_insensitive(query.case == CaseMode::Insensitive)
            .word(query.word)
            .size_limit(PROGRAM_BYTES_MAX)
            .dfa_size_limit(STATES_BYTES_MAX)
            .ban_byte(Some(0));
        // `$` matches before a carriage return, unless these are what is looked for.
        let crlf = !expression.contains("\\r") && !expression.contains('\r');
        builder.crlf(crlf);
        if multiline {
            builder.line_terminator(None);
        } else if !crlf {
            builder.line_terminator(Some(b'\n'));
        }
        let matcher = builder.build(&expression);
        let matcher = matcher.map_err(|error| explain(&query.pattern, query.is_regex, &error))?;
        let bytes_max = COMPARISONS_MAX / check_positions(query, &expression)?;
        let bytes_max = bytes_max.max(BUFFER_BYTES);
        Ok(Self { matcher, multiline, crlf, bytes_max })
    }

    /// A searcher that tells lines, with context.
    pub fn searcher(&self, context_lines: usize) -> Searcher {
        self.builder()
            .line_number(true)
            .before_context(context_lines)
            .after_context(context_lines)
            .build()
    }

    /// A searcher for counting.
    pub fn counter(&self) -> Searcher {
        self.builder().line_number(false).build()
    }

    fn builder(&self) -> SearcherBuilder {
        let mut builder = SearcherBuilder::new();
        if self.crlf {
            builder.line_terminator(LineTerminator::crlf());
        }
        builder
            .multi_line(self.multiline)
            .binary_detection(BinaryDetection::quit(0))
            .heap_limit(Some(self.bytes_max));
        builder
    }
}

/// The expression of a text with line feeds, in files with either line end.
fn across_lines(text: &str) -> String {
    let lines: Vec<String> =
        text.split('\n').map(|line| regex_syntax::escape(line.trim_end_matches('\r'))).collect();
    lines.join(r"\r?\n")
}

fn explain(pattern: &str, is_regex: bool, error: &grep_regex::Error) -> Error {
    let expected = match error.kind() {
        ErrorKind::NotAllowed(_) => {
            "an expression without line feeds, or one that may span lines (multiline)".to_owned()
        }
        ErrorKind::Banned(byte) => format!("a pattern without the byte {byte:#04x}"),
        _ => match syntax_error(pattern).filter(|_| is_regex) {
            Some(problem) => format!("a regular expression; {problem}"),
            None => format!(
                "a smaller expression: this one needs more than {PROGRAM_BYTES_MAX} bytes; repeat less, \
                 or use ASCII classes such as [a-z] or (?-u:\\w)"
            ),
        },
    };
    Error::Argument { name: "pattern", value: shown(pattern), expected }
}

/// The positions of a pattern, checked.
fn check_positions(query: &TextQuery, expression: &str) -> Result<usize> {
    let is_text = !query.is_regex && !query.pattern.contains('\n');
    let is_exact = match query.case {
        CaseMode::Sensitive => true,
        CaseMode::Smart => query.pattern.chars().any(char::is_uppercase),
        CaseMode::Insensitive => false,
    };
    let positions = if is_text && is_exact {
        1 // Found without an automaton.
    } else if is_text {
        expression.len()
    } else {
        let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(expression);
        parsed.map_or(1, |parsed| positions(&parsed))
    };
    if positions > POSITIONS_MAX {
        return Err(Error::Argument {
            name: "pattern",
            value: shown(&query.pattern),
            expected: format!(
                "a shorter pattern, or fewer repetitions: it tells {positions} characters apart, \
                 at most {POSITIONS_MAX} can be searched"
            ),
        });
    }
    Ok(positions.max(1))
}

/// The characters that an expression tells apart, as the positions of Glushkov's automaton.
fn positions(expression: &Hir) -> usize {
    match expression.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(_) => 1,
        HirKind::Repetition(repeated) => {
            let times = repeated.max.unwrap_or(repeated.min).max(1) as usize;
            positions(&repeated.sub).saturating_mul(times)
        }
        HirKind::Capture(group) => positions(&group.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(positions).fold(0, usize::saturating_add)
        }
    }
}

fn shown(pattern: &str) -> String {
    let mark = if pattern.len() > SHOWN_BYTES_MAX { "…" } else { "" };
    format!("{:?}{mark}", prefix(pattern, SHOWN_BYTES_MAX))
}

/// What is wrong with an expression, and at which character; `None` if it can be parsed.
fn syntax_error(pattern: &str) -> Option<String> {
    let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(pattern);
    let (problem, span) = match parsed.err()? {
        regex_syntax::Error::Parse(error) => (error.kind().to_string(), *error.span()),
        regex_syntax::Error::Translate(error) => (error.kind().to_string(), *error.span()),
        error => return Some(error.to_string()),
    };
    let character = pattern[..span.start.offset].chars().count() + 1;
    let rest = prefix(&pattern[span.start.offset..], 20);
    let place = if rest.is_empty() { "the end".to_owned() } else { format!("{rest:?}") };
    Some(format!("{problem}, at character {character} ({place})"))
}
