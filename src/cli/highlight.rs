//! Syntax colours of snippets.

use anstyle::{AnsiColor, Style};
use tree_sitter_highlight::{Highlight, HighlightConfiguration, HighlightEvent};

use crate::corpus::chunk::grammar;
use crate::corpus::source::Language;

/// The capture names of the grammars' highlight queries, each with its style.
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

    /// `text` with colours, or unchanged if the language has no grammar.
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
    let known = Language::from_name(language)?;
    let query = queries(known)?.concat();
    let mut configuration =
        HighlightConfiguration::new(grammar(known)?, language, &query, "", "").ok()?;
    configuration.configure(&STYLES.map(|(name, _)| name));
    Some(configuration)
}

/// The highlight queries of the grammars. If there are two, the second is the base.
fn queries(language: Language) -> Option<Vec<&'static str>> {
    Some(match language {
        Language::Rust => vec![tree_sitter_rust::HIGHLIGHTS_QUERY],
        Language::Python => vec![tree_sitter_python::HIGHLIGHTS_QUERY],
        Language::TypeScript | Language::Tsx => {
            vec![tree_sitter_typescript::HIGHLIGHTS_QUERY, tree_sitter_javascript::HIGHLIGHT_QUERY]
        }
        Language::JavaScript => vec![tree_sitter_javascript::HIGHLIGHT_QUERY],
        Language::Go => vec![tree_sitter_go::HIGHLIGHTS_QUERY],
        Language::Java => vec![tree_sitter_java::HIGHLIGHTS_QUERY],
        Language::C => vec![tree_sitter_c::HIGHLIGHT_QUERY],
        Language::Cpp => vec![tree_sitter_cpp::HIGHLIGHT_QUERY, tree_sitter_c::HIGHLIGHT_QUERY],
        Language::CSharp => vec![tree_sitter_c_sharp::HIGHLIGHTS_QUERY],
        Language::Ruby => vec![tree_sitter_ruby::HIGHLIGHTS_QUERY],
        Language::Php => vec![tree_sitter_php::HIGHLIGHTS_QUERY],
        Language::Bash => vec![tree_sitter_bash::HIGHLIGHT_QUERY],
        Language::Json => vec![tree_sitter_json::HIGHLIGHTS_QUERY],
        Language::Yaml => vec![tree_sitter_yaml::HIGHLIGHTS_QUERY],
        Language::Toml => vec![tree_sitter_toml_ng::HIGHLIGHTS_QUERY],
        Language::Html => vec![tree_sitter_html::HIGHLIGHTS_QUERY],
        Language::Css => vec![tree_sitter_css::HIGHLIGHTS_QUERY],
        Language::Scala => vec![tree_sitter_scala::HIGHLIGHTS_QUERY],
        Language::Swift => vec![tree_sitter_swift::HIGHLIGHTS_QUERY],
        Language::Lua => vec![tree_sitter_lua::HIGHLIGHTS_QUERY],
        Language::Elixir => vec![tree_sitter_elixir::HIGHLIGHTS_QUERY],
        Language::Haskell => vec![tree_sitter_haskell::HIGHLIGHTS_QUERY],
        Language::Zig => vec![tree_sitter_zig::HIGHLIGHTS_QUERY],
        Language::Sql => vec![tree_sitter_sequel::HIGHLIGHTS_QUERY],
        Language::Dockerfile => vec![tree_sitter_containerfile::HIGHLIGHTS_QUERY],
        Language::Make => vec![tree_sitter_make::HIGHLIGHTS_QUERY],
        Language::Markdown => vec![tree_sitter_md::HIGHLIGHT_QUERY_BLOCK],
        _ => return None,
    })
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
                // Lines are printed one by one, so a style must end with its line.
                for line in text.get(start..end)?.split_inclusive('\n') {
                    let bare = line.trim_end_matches('\n');
                    painted += &format!("{style}{bare}{style:#}{}", &line[bare.len()..]);
                }
            }
        }
    }
    Some(painted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_compiles_and_only_colours_are_added() {
        let mut highlighter = Highlighter::new();
        let text = "fn main() {\n    let s = \"x\"; // why\n}\n";
        let painted = highlighter.highlight("rust", text);
        assert!(painted.contains("\x1b["), "{painted:?}");
        assert_eq!(anstream::adapter::strip_str(&painted).to_string(), text);
        for language in Language::ALL.iter().filter(|l| queries(**l).is_some()) {
            assert!(configure(language.name()).is_some(), "{}", language.name());
        }
    }
}
