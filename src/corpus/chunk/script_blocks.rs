//! The scripts in a component of Vue or Svelte: where they are, and in which language.

use tree_sitter::{Point, Range};

use super::levels::NEVER;
use super::lines::Lines;
use crate::corpus::source::{Language, SourceFile};

/// More scripts in one file are text.
const SCRIPTS_MAX: usize = 16;

/// The parts of a file in which a grammar applies.
pub(super) struct ScriptBlocks {
    pub language: Language,
    pub ranges: Vec<Range>,
}

/// The scripts of a component; `None` if the file is none or has none.
pub(super) fn script_blocks(file: &SourceFile, lines: &Lines<'_>) -> Option<ScriptBlocks> {
    if !matches!(file.language, Language::Vue | Language::Svelte) {
        return None;
    }
    let mut blocks = ScriptBlocks { language: Language::JavaScript, ranges: Vec::new() };
    let mut from = 0;
    while blocks.ranges.len() < SCRIPTS_MAX
        && let Some(tag) = find_tag(lines.text, from)
    {
        let start = tag + lines.text[tag..].find('>')? + 1;
        let length = lines.text[start..].find("</script");
        let end = length.map_or(lines.text.len(), |length| start + length);
        let attributes = lines.text[tag..start].replace('\'', "\"");
        for (written, language) in [("ts", Language::TypeScript), ("tsx", Language::Tsx)] {
            if attributes.contains(&format!("lang=\"{written}\"")) {
                blocks.language = language;
            }
        }
        let (start_point, end_point) = (point(start, lines), point(end, lines));
        blocks.ranges.push(Range { start_byte: start, end_byte: end, start_point, end_point });
        from = end;
    }
    (!blocks.ranges.is_empty()).then_some(blocks)
}

/// Makes each section of a component, such as its template, a node of the outermost level.
///
/// levels: `[lines]`.
pub(super) fn level_sections(levels: &mut [u32], lines: &Lines<'_>) {
    for (row, level) in levels.iter_mut().enumerate() {
        let line = lines.line(row);
        if ["<script", "<template", "<style"].iter().any(|tag| line.starts_with(tag)) {
            *level = 0;
        } else if *level != NEVER {
            *level = (*level).max(1);
        }
    }
}

/// The next `<script` that begins a line.
fn find_tag(text: &str, from: usize) -> Option<usize> {
    let starts_line = |at: &usize| *at == 0 || text.as_bytes()[at - 1] == b'\n';
    text[from..].match_indices("<script").map(|(at, _)| from + at).find(starts_line)
}

fn point(byte: usize, lines: &Lines<'_>) -> Point {
    let row = lines.starts.partition_point(|start| *start as usize <= byte) - 1;
    let row = row.min(lines.len() - 1);
    Point { row, column: byte - lines.starts[row] as usize }
}
