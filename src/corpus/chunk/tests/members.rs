//! Fields and variants are symbols, and nothing else: they enclose nothing and head no chunk.

use super::definitions::{check, signature_and_doc};
use super::{chunk, file};

#[test]
fn a_member_heads_no_chunk_and_encloses_nothing() {
    let field = |i| format!("    /// Field {i}.\n    field_{i}: Vec<\n        u8,\n    >,\n\n");
    let fields: String = (0..12).map(field).collect();
    let made = chunk(&file("a.rs", &format!("/// Many.\nstruct Many {{\n{fields}}}\n")), 40);
    assert!(made.chunks.len() > 3);
    assert_eq!(made.symbols.len(), 13);
    assert_eq!(made.chunks[0].signature.as_deref(), Some("struct Many"));
    for chunk in &made.chunks[1..] {
        assert_eq!((chunk.signature.as_deref(), chunk.doc.as_deref()), (None, None));
        assert_eq!(chunk.enclosing, ["Many"]);
    }
    let field = signature_and_doc(&made, "field_3");
    assert_eq!(field, ("field_3: Vec< u8, >", Some("Field 3.")));
}

#[test]
fn fields_that_a_method_makes_belong_to_the_type() {
    let text = "class A:\n    def __init__(self, x):\n        self.x = x\n        self.x = 2\n        self.y: \
                int = 3\n        z = 1\n    def run(self):\n        self.later = 1\n";
    check(
        "a.py",
        text,
        &["class A", "method A.__init__", "field A.x", "field A.y", "method A.run"],
    );
    let text = "class A {\n  readonly size: number;\n  constructor(private name: string, n: number) {}\n}\n\
                interface B { kind: string }\ntype C = { id: number };\nfunction f(x: { y: string }) {\n  \
                const z: { w: string } = x;\n}\nenum D { One, Two = 2 }\n";
    check(
        "a.ts",
        text,
        &[
            "class A",
            "field A.size",
            "method A.constructor",
            "field A.name",
            "trait B",
            "field B.kind",
            "type C",
            "field C.id",
            "function f",
            "enum D",
            "variant D.One",
            "variant D.Two",
        ],
    );
}

#[test]
fn each_of_several_fields_of_a_line_is_a_symbol() {
    check(
        "a.go",
        "package a\n\ntype P struct {\n\tX, Y int\n\tZ string `json:\"z\"`\n\tio.Reader\n}\n",
        &["struct P", "field P.X", "field P.Y", "field P.Z"],
    );
    check(
        "A.java",
        "class A {\n  private static final int X = 1, Y = 2;\n  void f() { int z = 1; }\n}\n",
        &["class A", "field A.X", "field A.Y", "method A.f"],
    );
    check(
        "a.c",
        "static const int LIMIT = 3;\nstruct p {\n  int x, *y;\n  void (*run)(int);\n};\nvoid f(void) {\n  \
         int z = 1;\n}\n",
        &["constant LIMIT", "struct p", "field p.x", "field p.y", "field p.run", "function f"],
    );
    check(
        "a.h",
        "#pragma once\nnamespace a {\nclass B {\n public:\n  int size() const { return n_; }\n private:\n  \
         int n_ = 0;\n};\n}\n",
        &["module a", "class a::B", "method a::B::size", "field a::B::n_"],
    );
    check(
        "a.cs",
        "class A {\n  public int Size { get; set; }\n  private int a, b;\n  public event Run Done;\n}\n",
        &["class A", "field A.Size", "field A.a", "field A.b", "field A.Done"],
    );
    check(
        "a.rb",
        "class A\n  attr_accessor :size, :name\n  attr_reader :id\n\n  def run\n    puts :x\n  end\nend\n",
        &["class A", "field A.size", "field A.name", "field A.id", "method A.run"],
    );
    check(
        "a.php",
        "<?php\nclass A {\n  private int $x = 1;\n  public function __construct(private string $y) {}\n}\n",
        &["class A", "field A.x", "method A.__construct", "field A.y"],
    );
}
