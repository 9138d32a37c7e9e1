//! Comments and docstrings are told apart from code, in every language that has them.

use super::{chunk, file};

/// The code and the comments of a file, each with white space as one space.
fn parts(name: &str, text: &str) -> (String, String) {
    let made = chunk(&file(name, text), 4000);
    let (mut code, mut comments) = (String::new(), String::new());
    for chunk in &made.chunks {
        let split = chunk.code_and_comments();
        code += &split.0;
        comments += &split.1;
    }
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    (plain(&code), plain(&comments))
}

const RUST: &str = "//! File.\nuse a; // why\n/// Doc.\n#[test]\nfn f(/* in */x: u8) {\n    \"// no\";\n}\n\
                    /* a\n b */\n";
const PYTHON: &str = r##"#!/bin/python
"""Module."""
import a  # why


class A:
    '''Class.'''

    def f(self):
        """Method."""
        return "# no"

    def g(self):
        x = "no doc"
        return x
"##;
const PYTHON_CODE: &str = "import a class A: def f(self): return \"# no\" def g(self): \
                           x = \"no doc\" return x";

#[test]
fn each_language_gives_its_comments() {
    for (name, text, code, comments) in [
        (
            "a.rs",
            RUST,
            "use a; #[test] fn f( x: u8) { \"// no\"; }",
            "//! File. // why /// Doc. /* in */ /* a b */",
        ),
        (
            "a.py",
            PYTHON,
            PYTHON_CODE,
            "#!/bin/python \"\"\"Module.\"\"\" # why '''Class.''' \"\"\"Method.\"\"\"",
        ),
        ("a.js", "/** D. */\nf('https://no'); // x\n", "f('https://no');", "/** D. */ // x"),
        ("a.ts", "let a = 1; // t\n/* b */ f(`//no`);\n", "let a = 1; f(`//no`);", "// t /* b */"),
        ("a.tsx", "let a = <p>{/* c */}x</p>; // d\n", "let a = <p>{ }x</p>;", "/* c */ // d"),
        ("a.go", "// P.\npackage a\n\nvar x = 1 // x\n", "package a var x = 1", "// P. // x"),
        ("A.java", "/** D. */\nclass A { int a; // b\n}\n", "class A { int a; }", "/** D. */ // b"),
        ("a.c", "/* h */\nint a; // b\n", "int a;", "/* h */ // b"),
        ("a.cpp", "int a; // b\n/* c */ int d;\n", "int a; int d;", "// b /* c */"),
        ("a.cs", "/// <b>D.</b>\nclass A { } // b\n", "class A { }", "/// <b>D.</b> // b"),
        (
            "a.rb",
            "# D.\ndef a # why\n  \"# no\"\nend\n=begin\nlong\n=end\n",
            "def a \"# no\" end",
            "# D. # why =begin long =end",
        ),
        ("a.php", "<?php\n// a\n# b\n/* c */\n$x = 1;\n", "<?php $x = 1;", "// a # b /* c */"),
        ("a.sh", "#!/bin/sh\necho \"# no\" # why\n", "echo \"# no\"", "#!/bin/sh # why"),
        ("a.yaml", "# t\na: 1 # one\nb:\n  - c # two\n", "a: 1 b: - c", "# t # one # two"),
        ("a.yaml", "a: 1 # one\n", "a: 1", "# one"),
        ("a.toml", "# t\n[a] # one\nb = \"# no\" # two\n", "[a] b = \"# no\"", "# t # one # two"),
        ("a.css", "/* t */\na { /* in */ color: red; }\n", "a { color: red; }", "/* t */ /* in */"),
        ("a.html", "<!-- t -->\n<p><!-- in -->x</p>\n", "<p> x</p>", "<!-- t --> <!-- in -->"),
        ("a.md", "# Title\n\nText # here\n", "# Title Text # here", ""),
        ("a.txt", "# not a comment\n// neither\n", "# not a comment // neither", ""),
    ] {
        let found = parts(name, text);
        assert_eq!((found.0.as_str(), found.1.as_str()), (code, comments), "{name}");
    }
}

#[test]
fn a_comment_over_several_chunks_is_a_comment_in_each() {
    let words = (0..400).map(|i| format!(" * word{i} is said here\n")).collect::<String>();
    let text = format!("int before;\n/*\n{words}*/\nint after;\n");
    let made = chunk(&file("a.c", &text), 60);
    assert!(made.chunks.len() > 10);
    for part in &made.chunks {
        let (code, comments) = part.code_and_comments();
        assert!(!code.contains("said") && comments.contains("said"), "{code:?} {comments:?}");
        assert_eq!(code.contains("int"), part.text.contains("int"));
        let kept = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
        assert_eq!(kept(&code) + kept(&comments), kept(&part.text), "nothing is lost");
    }
}
