//! The chunks of a file add up to the file, each within its budget.

mod comments;
mod definitions;
mod languages;
mod long_lines;
mod members;

use proptest::prelude::*;

use super::languages::GRAMMARS;
use super::*;
use crate::corpus::source::{Language, RepoPath, SourceFile};

/// Counts words and punctuation, roughly as a model does. A line end does not count.
struct Words;

impl TokenCount for Words {
    fn count_lines(&self, lines: &[&str]) -> Vec<u32> {
        let count = |line: &&str| {
            let words = line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            let marks = line.chars().filter(|c| !c.is_alphanumeric() && !c.is_whitespace());
            (words.count() + marks.count()) as u32
        };
        lines.iter().map(count).collect()
    }
}

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile::from_text(name, text)
}

fn chunk(file: &SourceFile, tokens_max: usize) -> FileChunks {
    let made = Chunker::new(tokens_max, 2).chunk(file, &Words);
    check_partition(file, tokens_max, &made);
    made
}

/// Asserts that every line is in exactly one chunk, that a chunk exceeds the budget only if it is a
/// single line, and that all positions agree.
fn check_partition(file: &SourceFile, tokens_max: usize, made: &FileChunks) {
    let texts: Vec<&str> = made.chunks.iter().map(|chunk| chunk.text.as_str()).collect();
    assert_eq!(texts.concat(), file.text, "the chunks joined are the file");
    let (mut line, mut byte) = (1, 0);
    for chunk in &made.chunks {
        let lines: Vec<&str> = chunk.text.split_inclusive('\n').collect();
        assert_eq!((chunk.start_line, chunk.start_byte), (line, byte));
        assert_eq!(chunk.end_line, line + lines.len() as u32 - 1);
        assert_eq!(chunk.end_byte, byte + chunk.text.len() as u32);
        (line, byte) = (chunk.end_line + 1, chunk.end_byte);
        let filled = lines.iter().filter(|line| !line.trim().is_empty()).count();
        let over = chunk.tokens as usize > tokens_max;
        assert!(!over || filled <= 1, "{} > {tokens_max} in {:?}", chunk.tokens, chunk.text);
        assert!(filled > 0 || made.chunks.len() == 1 || chunk.start_line == 1, "a blank chunk");
        let counted = Words.count_lines(&[&chunk.embedded_text()])[0] + 2;
        assert_eq!(chunk.tokens, counted);
        assert_eq!(chunk.hash, *blake3::hash(chunk.embedded_text().as_bytes()).as_bytes());
    }
    for (i, symbol) in made.symbols.iter().enumerate() {
        let chunk = &made.chunks[symbol.chunk as usize];
        assert!((chunk.start_line..=chunk.end_line).contains(&symbol.start_line), "{symbol:?}");
        assert!(chunk.symbols.contains(&(i as u32)));
        assert!(symbol.start_line <= symbol.end_line, "{symbol:?}");
        assert!(symbol.signature.chars().count() <= 200);
    }
    for reference in &made.references {
        let chunk = &made.chunks[reference.chunk as usize];
        assert!((chunk.start_line..=chunk.end_line).contains(&reference.line));
        assert!(chunk.text.contains(&reference.name));
    }
}

#[test]
fn a_chunk_knows_what_it_is_inside_of() {
    let body: String = (0..40).map(|i| format!("        let value_{i} = call_{i}();\n")).collect();
    let text = format!(
        "impl Foo {{\n    /// Doc.\n    fn long(&self) {{\n{body}    }}\n\n    fn short() {{}}\n}}\n"
    );
    let made = chunk(&file("src/a.rs", &text), 80);
    assert!(made.chunks.len() > 3);
    let first = &made.chunks[0];
    assert!(first.text.starts_with("impl Foo {\n    /// Doc.\n    fn long(&self) {\n        let"));
    assert_eq!((first.header.as_str(), first.enclosing.len()), ("src/a.rs", 0));
    assert_eq!(first.signature.as_deref(), Some("fn long(&self)"));
    assert_eq!(first.doc.as_deref(), Some("Doc."));
    let second = &made.chunks[1];
    assert_eq!(second.enclosing, ["Foo", "long"]);
    assert_eq!(second.header, "src/a.rs\nFoo > long\nfn long(&self)");
    assert!(
        second.embedded_text().starts_with("src/a.rs\nFoo > long\nfn long(&self)\n        let")
    );
    assert_eq!(second.signature, None);
}

#[test]
fn comments_and_attributes_stay_with_their_definition() {
    let one = |name: &str| {
        format!(
            "/// About {name} and its many words.\n#[inline]\nfn {name}() {{\n    body();\n}}\n\n"
        )
    };
    let text: String = ["first", "second", "third", "fourth"].iter().map(|n| one(n)).collect();
    let made = chunk(&file("a.rs", &text), 36);
    assert_eq!(made.chunks.len(), 4);
    for chunk in &made.chunks {
        assert!(chunk.text.starts_with("/// About") && chunk.text.ends_with("}\n\n"), "{chunk:?}");
    }
}

#[test]
fn text_without_a_grammar_is_cut_at_blank_lines() {
    let text: String = (0..10).map(|i| format!("Paragraph {i} has\ntwo lines.\n\n\n")).collect();
    let made = chunk(&file("notes.txt", &text), 20);
    for chunk in &made.chunks {
        assert!(chunk.text.starts_with("Paragraph") && chunk.text.ends_with("\n\n\n"));
    }
    assert!(made.chunks.len() >= 5 && made.symbols.is_empty());
}

#[test]
fn a_text_of_nothing_has_no_chunk_and_a_blank_one_has_one() {
    assert_eq!(chunk(&file("a.rs", ""), 32), FileChunks::default());
    assert_eq!(chunk(&file("a.rs", "\n \n\r\n"), 32).chunks.len(), 1);
    assert_eq!(chunk(&file("a.txt", "\n"), 32).chunks.len(), 1);
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let deep = |open: &str, close: &str| open.repeat(20_000) + &close.repeat(20_000);
    for (name, text) in [
        ("a.json", deep("[", "]")),
        ("b.json", deep("[\n", "]\n")),
        ("c.rs", format!("fn a() {{ {} }}", deep("(\n", ")\n"))),
        ("d.py", deep("(\n", ")\n")),
        ("e.js", deep("{\n", "}\n")),
        ("f.rs", "mod a {\n".repeat(20_000)),
        ("g.c", format!("int {}x;", "*".repeat(20_000))),
        ("h.md", "> ".repeat(2_000)),
        ("i.html", deep("<p>\n", "</p>\n")),
    ] {
        chunk(&file(name, &text), 64);
    }
}

#[test]
fn a_line_of_half_a_megabyte_is_one_chunk() {
    for name in ["a.json", "a.js", "a.txt", "a.md"] {
        let made = chunk(&file(name, &"[1, 2], ".repeat(62_500)), 64);
        assert_eq!(made.chunks.len(), 1, "{name}");
    }
    let text = format!(
        "fn a() {{\n    b();\n}}\n\nconst T: &str = \"{}\";\n\nfn c() {{}}\n",
        "x ".repeat(900)
    );
    let made = chunk(&file("a.rs", &text), 64);
    assert!(made.chunks.iter().any(|chunk| chunk.text.trim().lines().count() == 1));
}

#[test]
fn a_tree_that_is_mostly_errors_still_gives_every_line() {
    let text = "fn a( {\n]]\nstruct {{{\n\nimpl\n".repeat(200);
    for grammar in &GRAMMARS {
        let mut file = file("x", &text);
        file.language = grammar.language;
        chunk(&file, 40);
    }
}

/// Pieces of source text in any order, which yield syntax trees with and without errors.
fn source_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,20}",
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\n\n  \n".to_owned()),
        Just("    ".to_owned()),
        Just("// note\n".to_owned()),
        Just("# Title\n".to_owned()),
        Just("fn a() {\n".to_owned()),
        Just("class A:\n  def f(self):\n".to_owned()),
        Just("}\n".to_owned()),
        Just("x = [1, 2,\n".to_owned()),
        Just("\"\"\"".to_owned()),
        Just("/*".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..Default::default() })]
    #[test]
    fn the_chunks_joined_are_the_file(
        text in source_text(), language in 0..GRAMMARS.len() + 1, tokens_max in 8_usize..64,
    ) {
        let mut file = file("some/folder/name.x", &text);
        file.path = RepoPath::new("some/folder/name.x");
        file.language = GRAMMARS.get(language).map_or(Language::Text, |grammar| grammar.language);
        chunk(&file, tokens_max);
    }
}
