//! Which words of a snippet get which colour?

use anstyle::{AnsiColor, Style};
use tree_sitter_highlight::{Highlight, HighlightConfiguration, HighlightEvent};

use crate::chunk::highlight_queries;

/// Capture names of the grammars' own highlight queries, with the style of each.
const STYLES: [(&str, Style); 12] = [
    ("comment", Style::new().dimmed()),
    ("string", AnsiColor::Green.on_default()),
    ("number", AnsiColor::Yellow.on_default()),
    ("constant", AnsiColor::Yellow.on_default()),
    ("keyword", AnsiColor::Magenta.on_default()),
    ("function", AnsiColor::Blue.on_default()),
    ("type", AnsiColor::Cyan.on_default()),
    ("constructor", AnsiColor::Cyan.on_default()),
    ("attribute", AnsiColor::Yellow.on_default()),
    ("property", Style::new()),
    ("tag", AnsiColor::Blue.on_default()),
    ("text.title", Style::new().bold()),
];

/// Colours snippets; keeps each language's compiled query.
pub struct Highlighter {
    inner: tree_sitter_highlight::Highlighter,
    configurations: Vec<(String, Option<HighlightConfiguration>)>,
}

impl Highlighter {
    pub fn new() -> Self {
        Self { inner: tree_sitter_highlight::Highlighter::new(), configurations: Vec::new() }
    }

    /// `text` with colours; as it is when the language has no grammar here.
    pub fn highlight(&mut self, language: &str, text: &str) -> String {
        if !self.configurations.iter().any(|(name, _)| name == language) {
            self.configurations.push((language.to_owned(), configure(language)));
        }
        let found = self.configurations.iter().find(|(name, _)| name == language);
        let Some((_, Some(configuration))) = found else { return text.to_owned() };
        paint(&mut self.inner, configuration, text).unwrap_or_else(|| text.to_owned())
    }
}

fn configure(language: &str) -> Option<HighlightConfiguration> {
    let (grammar, query) = highlight_queries(language)?;
    let mut configuration =
        HighlightConfiguration::new(grammar, language, query, "", "").ok()?;
    configuration.configure(&STYLES.map(|(name, _)| name));
    Some(configuration)
}

fn paint(
    highlighter: &mut tree_sitter_highlight::Highlighter,
    configuration: &HighlightConfiguration,
    text: &str,
) -> Option<String> {
    let events = highlighter.highlight(configuration, text.as_bytes(), None, |_| None).ok()?;
    let mut painted = String::with_capacity(text.len() * 2);
    let mut styles: Vec<Style> = Vec::new();
    for event in events {
        match event.ok()? {
            HighlightEvent::HighlightStart(Highlight(i)) => styles.push(STYLES[i].1),
            HighlightEvent::HighlightEnd => {
                styles.pop();
            }
            HighlightEvent::Source { start, end } => {
                let style = styles.last().copied().unwrap_or_default();
                // Lines are printed one by one, so no style may reach over a line's end.
                for line in text.get(start..end)?.split_inclusive('\n') {
                    let bare = line.trim_end_matches('\n');
                    painted += &format!("{style}{bare}{style:#}{}", &line[bare.len()..]);
                }
            }
        }
    }
    Some(painted)
}
