//! Whether a file called `.h` is C++ rather than C.

use crate::base::text::prefix;

/// The text that decides.
const PROBE_BYTES: usize = 64 << 10;

/// Whether some line in the first 64 KiB is C++ and cannot be C.
pub(super) fn is_cpp(text: &str) -> bool {
    prefix(text, PROBE_BYTES).lines().map(str::trim).any(is_cpp_line)
}

fn is_cpp_line(line: &str) -> bool {
    if ["//", "/*", "*"].iter().any(|comment| line.starts_with(comment)) {
        return false;
    }
    const STARTS: [&str; 6] = [
        "namespace ",
        "using namespace ",
        "template <",
        "template<",
        "constexpr ",
        "inline namespace ",
    ];
    let is_class = line.starts_with("class ") && line.ends_with(['{', ';', ':']);
    // Headers of C have an extension.
    let is_include = line.starts_with("#include <") && !line.contains(['.', '/']);
    ["public:", "private:", "protected:"].contains(&line)
        || STARTS.iter().any(|start| line.starts_with(start))
        || is_class
        || is_include
        || has_scope(line)
}

/// Whether two names are joined by `::`.
fn has_scope(line: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.split_once("::").is_some_and(|(before, after)| {
        before.ends_with(is_name) && after.starts_with(is_name) && !before.contains(['"', '/'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_namespaces_and_templates_are_cpp() {
        for text in [
            "#pragma once\nclass Foo : public Bar {\n};\n",
            "class Foo;\n",
            "namespace a {\n}\n",
            "  template <typename T>\n",
            "std::string name();\n",
            "#include <vector>\n",
            "struct A {\n public:\n};\n",
        ] {
            assert!(is_cpp(text), "{text}");
        }
        for text in [
            "#include <stdio.h>\nstruct point { int x; };\nint class_of(int a);\n",
            "/* In std::vector there is a\n * class Foo; of C++. */\n// namespace a {\n",
            "#ifdef __cplusplus\nextern \"C\" {\n#endif\nvoid f(void);\n",
            "#define URL \"a::b\"\n",
        ] {
            assert!(!is_cpp(text), "{text}");
        }
    }
}
