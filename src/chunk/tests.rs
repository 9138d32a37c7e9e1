//! Are the chunks of a file the file, and are its definitions found?

use proptest::prelude::*;

use super::languages::GRAMMARS;
use super::*;
use crate::source::{Language, RepoPath, SourceFile};

/// Counts words and marks, somewhat as a model does; a line end counts nothing.
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

/// Every line is in exactly one chunk, within the budget where lines allow, and all places agree.
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

/// `expected`: `kind qualified` of every symbol, in order.
fn check(name: &str, text: &str, expected: &[&str]) -> FileChunks {
    let file = file(name, text);
    let made = chunk(&file, 1000);
    let found: Vec<String> =
        made.symbols.iter().map(|symbol| format!("{} {}", symbol.kind, symbol.qualified)).collect();
    assert_eq!(found, expected, "{name}");
    for tokens_max in [16, 24, 40, 80] {
        chunk(&file, tokens_max);
    }
    made
}

fn signature_and_doc<'a>(made: &'a FileChunks, name: &str) -> (&'a str, Option<&'a str>) {
    let symbol = made.symbols.iter().find(|symbol| symbol.name == name).unwrap();
    (&symbol.signature, symbol.doc.as_deref())
}

#[test]
fn rust_definitions_are_found() {
    let text = "//! Of the file.\n\nuse std::fmt;\n\n/// A point.\n#[derive(Debug)]\npub struct \
                Point<T> {\n    x: T,\n}\n\nimpl<T> fmt::Display for Point<T> {\n    /// Writes.\n    \
                fn fmt(&self,\n        f: &mut F) -> R {\n        write(self.x)\n    }\n}\n\nmod inner \
                {\n    pub const LIMIT: usize = 3;\n    macro_rules! m { () => {} }\n}\n\ntrait Shape \
                {\n    type Unit;\n    fn area(&self) -> f32;\n}\nenum E { A }\nstatic S: u8 = 1;\ntype \
                Alias = u8;\nfn free() {}\n";
    let made = check(
        "a.rs",
        text,
        &[
            "struct Point",
            "method Point::fmt",
            "module inner",
            "constant inner::LIMIT",
            "macro inner::m",
            "trait Shape",
            "type Shape::Unit",
            "method Shape::area",
            "enum E",
            "constant S",
            "type Alias",
            "function free",
        ],
    );
    let point = signature_and_doc(&made, "Point");
    assert_eq!(point, ("pub struct Point<T>", Some("A point.")));
    assert_eq!(signature_and_doc(&made, "fmt"), ("fn fmt(&self, f: &mut F) -> R", Some("Writes.")));
    assert_eq!(signature_and_doc(&made, "LIMIT"), ("pub const LIMIT: usize = 3", None));
    let used: Vec<&str> = made.references.iter().map(|r| r.name.as_str()).collect();
    assert!(used.contains(&"write") && used.contains(&"Display"), "{used:?}");
    assert!(!used.contains(&"free") && !used.contains(&"Shape"), "{used:?}");
}

#[test]
fn python_definitions_are_found() {
    let text = "import os\n\nLIMIT = 3\nx.y = 2\n\n@decorate(1)\nclass Foo(Base):\n    \"\"\"A foo.\n\n    \
                More.\n    \"\"\"\n    KIND = 1\n\n    @property\n    def bar(self, a: int) -> str:\n        \
                '''Bars.'''\n        local = 1\n        def inner():\n            pass\n        return \
                baz(a)\n\n# Does it.\nasync def free():\n    pass\n";
    let made = check(
        "a.py",
        text,
        &[
            "constant LIMIT",
            "class Foo",
            "constant Foo.KIND",
            "method Foo.bar",
            "function Foo.bar.inner",
            "function free",
        ],
    );
    assert_eq!(signature_and_doc(&made, "Foo"), ("class Foo(Base)", Some("A foo.\n\nMore.")));
    assert_eq!(signature_and_doc(&made, "bar"), ("def bar(self, a: int) -> str", Some("Bars.")));
    assert_eq!(signature_and_doc(&made, "free"), ("async def free()", Some("Does it.")));
}

#[test]
fn typescript_and_javascript_definitions_are_found() {
    let text = "import a from 'a';\n\n/** Adds. */\nexport function add(a: number): number {\n  const \
                local = 1;\n  return a;\n}\n\nexport const LIMIT = 3;\nexport const arrow = async (x: \
                string) => {\n  run(x);\n};\n\nexport default class Foo extends Bar {\n  @input() size = \
                1;\n  handler = () => { this.x(); };\n  method(): void {}\n}\n\ninterface Shape {\n  \
                area(): number;\n}\nenum Color { Red }\ntype Id = string;\nnamespace Space {\n  export \
                function inSpace() {}\n}\n";
    let expected = [
        "function add",
        "constant LIMIT",
        "function arrow",
        "class Foo",
        "method Foo.handler",
        "method Foo.method",
        "trait Shape",
        "method Shape.area",
        "enum Color",
        "type Id",
        "module Space",
        "function Space.inSpace",
    ];
    for name in ["a.ts", "a.tsx"] {
        let made = check(name, text, &expected);
        assert_eq!(
            signature_and_doc(&made, "add"),
            ("export function add(a: number): number", Some("Adds."))
        );
        assert_eq!(signature_and_doc(&made, "arrow").0, "export const arrow = async (x: string)");
        assert_eq!(signature_and_doc(&made, "Foo").0, "export default class Foo extends Bar");
    }
    let text = "function* gen() {}\nconst f = function () {};\nclass A {\n  #x = 1;\n  go() {}\n}\nlet \
                {a, b} = f();\ndescribe(() => {\n  const inCallback = 1;\n});\n";
    check("a.js", text, &["function gen", "function f", "class A", "method A.go"]);
}

#[test]
fn go_java_and_csharp_definitions_are_found() {
    let text = "package main\n\nimport \"fmt\"\n\n// Server serves.\ntype Server[T any] struct {\n\tx \
                T\n}\n\ntype Shape interface {\n\tArea() int\n}\ntype Id = string\nconst Limit = 3\nvar (\n\tA \
                = 1\n)\n\n// Run runs.\nfunc (s *Server[T]) Run(n int) error {\n\treturn \
                fmt.Errorf(\"x\")\n}\n\nfunc main() {\n\tvar local = 1\n}\n";
    let made = check(
        "a.go",
        text,
        &[
            "struct Server",
            "trait Shape",
            "type Id",
            "constant Limit",
            "constant A",
            "method Server.Run",
            "function main",
        ],
    );
    assert_eq!(
        signature_and_doc(&made, "Run"),
        ("func (s *Server[T]) Run(n int) error", Some("Run runs."))
    );
    let text = "package a;\n\n/**\n * A foo.\n */\n@Entity\npublic class Foo<T> extends Bar {\n  public \
                Foo() {}\n  @Override\n  public String toString() { return x(); }\n  interface Inner { \
                void f(); }\n  enum E { A }\n}\nrecord P(int x) {}\n";
    let made = check(
        "A.java",
        text,
        &[
            "class Foo",
            "method Foo.Foo",
            "method Foo.toString",
            "trait Foo.Inner",
            "method Foo.Inner.f",
            "enum Foo.E",
            "class P",
        ],
    );
    assert_eq!(
        signature_and_doc(&made, "Foo"),
        ("public class Foo<T> extends Bar", Some("A foo."))
    );
    assert_eq!(signature_and_doc(&made, "toString").0, "public String toString()");
    let text = "namespace A.B {\n  /// <summary>A foo.</summary>\n  [Serializable]\n  public class Foo : \
                Bar {\n    public Foo() {}\n    public int Run(int x) { return x; }\n  }\n  struct S {}\n  \
                interface I { void F(); }\n  enum E { A }\n  record R(int X);\n  delegate void D();\n}\n";
    check(
        "a.cs",
        text,
        &[
            "module A.B",
            "class A.B.Foo",
            "method A.B.Foo.Foo",
            "method A.B.Foo.Run",
            "struct A.B.S",
            "trait A.B.I",
            "method A.B.I.F",
            "enum A.B.E",
            "class A.B.R",
            "type A.B.D",
        ],
    );
}

#[test]
fn c_and_cpp_definitions_are_found() {
    let text = "#include <a.h>\n#define LIMIT 3\n#define MAX(a, b) a\n\n/* A point. */\nstruct point {\n  \
                int x;\n};\ntypedef struct { int y; } other_t;\nenum color { RED };\nint declared(int \
                a);\n\n// Adds.\nstatic int *add(struct point *p, int b) {\n  return \
                call(p->x);\n}\nstruct point global;\n";
    let made = check(
        "a.c",
        text,
        &[
            "macro LIMIT",
            "macro MAX",
            "struct point",
            "type other_t",
            "enum color",
            "function declared",
            "function add",
        ],
    );
    assert_eq!(
        signature_and_doc(&made, "add"),
        ("static int *add(struct point *p, int b)", Some("Adds."))
    );
    let text = "namespace a::b {\ntemplate <typename T>\nclass Foo : public Bar {\n public:\n  Foo();\n  \
                ~Foo() {}\n  int run(int x) const;\n};\n\ntemplate <typename T>\nint Foo<T>::run(int x) \
                const {\n  return x;\n}\nusing Id = int;\nenum class E { A };\n}\nint main() { return \
                0; }\n";
    check(
        "a.cpp",
        text,
        &[
            "module a::b",
            "class a::b::Foo",
            "method a::b::Foo::Foo",
            "method a::b::Foo::~Foo",
            "method a::b::Foo::run",
            "method a::b::Foo::run",
            "type a::b::Id",
            "enum a::b::E",
            "function main",
        ],
    );
}

#[test]
fn ruby_php_and_bash_definitions_are_found() {
    let text = "require 'x'\n\n# A foo.\nmodule A\n  class Foo < Bar\n    LIMIT = 3\n    # Runs.\n    def \
                run(x)\n      go(x)\n    end\n\n    def self.make\n    end\n  end\nend\n\ndef free; \
                end\n";
    let made = check(
        "a.rb",
        text,
        &[
            "module A",
            "class A.Foo",
            "constant A.Foo.LIMIT",
            "method A.Foo.run",
            "method A.Foo.make",
            "function free",
        ],
    );
    assert_eq!(signature_and_doc(&made, "run"), ("def run(x)", Some("Runs.")));
    let text = "<?php\nnamespace A\\B;\n\n/** A foo. */\n#[Attr]\nfinal class Foo extends Bar {\n  const \
                LIMIT = 3;\n  public function run(int $x): string { return go($x); }\n}\ninterface I {}\n\
                trait T {}\nenum E { case A; }\nfunction free() {}\n";
    let made = check(
        "a.php",
        text,
        &[
            "module A\\B",
            "class Foo",
            "constant Foo.LIMIT",
            "method Foo.run",
            "trait I",
            "trait T",
            "enum E",
            "function free",
        ],
    );
    assert_eq!(signature_and_doc(&made, "Foo"), ("final class Foo extends Bar", Some("A foo.")));
    let text = "#!/bin/bash\nset -e\nLIMIT=3\n\n# Runs.\nrun() {\n  local x=1\n  y=2\n  go \"$x\"\n}\n\nfunction \
                other {\n  run\n}\n";
    let made = check("a.sh", text, &["constant LIMIT", "function run", "function other"]);
    assert_eq!(signature_and_doc(&made, "run"), ("run()", Some("Runs.")));
}

#[test]
fn keys_rules_and_headings_are_found() {
    check(
        "a.json",
        "{\n  \"scripts\": {\n    \"build\": {\n      \"deep\": [\n        1\n      ]\n    },\n    \
         \"short\": 1\n  }\n}\n",
        &["key scripts", "key scripts.build"],
    );
    check(
        "a.yaml",
        "# About.\non: push\njobs:\n  test:\n    steps:\n      - run: x\n      - run: y\n",
        &["key jobs", "key jobs.test"],
    );
    check(
        "a.toml",
        "x = 1\n\n# About.\n[package]\nname = \"a\"\n\n[dependencies.b]\nversion = 1\n\n[[bin]]\nname = 2\n",
        &["key package", "key dependencies.b", "key bin"],
    );
    check(
        "a.css",
        ".a > b {\n  color: red;\n}\n\n@keyframes spin {\n  from {}\n}\n",
        &["rule .a > b", "rule spin"],
    );
    check("a.html", "<html>\n<body>\n<p>\nText\n</p>\n<p>More</p>\n</body>\n</html>\n", &[]);
    let made = check(
        "a.md",
        "Before.\n\n# One\n\nText.\n\n## Two `x`\n\n```sh\n# not a heading\n```\n\nThree\n=====\n\nMore.\n",
        &["section One", "section One.Two `x`", "section One.Two `x`.Three"],
    );
    assert_eq!(signature_and_doc(&made, "One").0, "# One");
}

#[test]
fn a_grammar_s_node_names_exist() {
    for grammar in &GRAMMARS {
        let language = (grammar.load)();
        let names = grammar.definitions.iter().map(|row| row.node);
        let names = names.chain(grammar.identifiers.iter().copied());
        let unknown: Vec<_> =
            names.filter(|name| language.id_for_node_kind(name, true) == 0).collect();
        // TypeScript and JavaScript share their rows; so do grammars without comments.
        let shared = [Language::JavaScript, Language::TypeScript, Language::Tsx];
        assert!(unknown.is_empty() || shared.contains(&grammar.language), "{unknown:?}");
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

/// Pieces of source text in any order, so that trees and their errors are met.
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
