//! The definitions of every language are found.

use super::super::FileChunks;
use super::super::languages::GRAMMARS;
use super::{chunk, file};
use crate::corpus::source::Language;

/// `expected`: `kind qualified` of every symbol, in order.
pub(super) fn check(name: &str, text: &str, expected: &[&str]) -> FileChunks {
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

pub(super) fn signature_and_doc<'a>(
    made: &'a FileChunks,
    name: &str,
) -> (&'a str, Option<&'a str>) {
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
            "field Point::x",
            "method Point::fmt",
            "module inner",
            "constant inner::LIMIT",
            "macro inner::m",
            "trait Shape",
            "type Shape::Unit",
            "method Shape::area",
            "enum E",
            "variant E::A",
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
        "field Foo.size",
        "method Foo.handler",
        "method Foo.method",
        "trait Shape",
        "method Shape.area",
        "enum Color",
        "variant Color.Red",
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
    check("a.js", text, &["function gen", "function f", "class A", "field A.x", "method A.go"]);
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
            "field Server.x",
            "trait Shape",
            "method Shape.Area",
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
            "variant Foo.E.A",
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
            "variant A.B.E.A",
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
            "field point.x",
            "type other_t",
            "field other_t.y",
            "enum color",
            "variant color.RED",
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
            "variant a::b::E::A",
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
            "variant E.A",
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
