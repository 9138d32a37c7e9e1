//! Sources to index: many small files in three languages, and Rust files of any size.

use super::Place;

/// Some forty files in three languages whose names differ by one word, and a document.
pub fn many_files() -> Vec<(String, String)> {
    let nouns = ["header", "body", "footer", "packet", "frame", "token", "stream", "segment"];
    let verbs = ["parse", "write", "check", "merge", "split"];
    let mut files = Vec::new();
    for (n, noun) in nouns.iter().enumerate() {
        for (v, verb) in verbs.iter().enumerate() {
            let (path, text) = match (n + v) % 3 {
                0 => (
                    format!("src/{noun}/{verb}.rs"),
                    format!(
                        "//! How is a {noun} handled?\n\n/// {verb} one {noun}.\n\
                         pub fn {verb}_{noun}(input: &[u8]) -> usize {{\n    \
                         let mut n = {n};\n    for byte in input {{\n        \
                         n += usize::from(*byte) * {v};\n    }}\n    n\n}}\n\n\
                         /// The state while a {noun} is {verb}d.\n\
                         pub struct {noun}_{verb}_state {{\n    pub offset: usize,\n}}\n"
                    ),
                ),
                1 => (
                    format!("lib/{noun}_{verb}.py"),
                    format!(
                        "\"\"\"{verb} a {noun}.\"\"\"\n\n\ndef {verb}_{noun}(data, limit={n}):\n    \
                         \"\"\"Give the {noun} that data holds.\"\"\"\n    \
                         return [item for item in data if item > limit * {v}]\n"
                    ),
                ),
                _ => (
                    format!("cmd/{verb}{noun}/main.go"),
                    format!(
                        "package main\n\n// {verb}_{noun} works on one {noun}.\n\
                         func {verb}_{noun}(input []byte) int {{\n\ttotal := {n}\n\t\
                         for _, b := range input {{\n\t\ttotal += int(b) * {v}\n\t}}\n\t\
                         return total\n}}\n"
                    ),
                ),
            };
            files.push((path, text));
        }
    }
    let text = "# Packets\n\nA packet has a header, a body and a footer.\n\n\
        ## Limits\n\nA body has at most 4096 bytes.\n";
    files.push(("docs/format.md".to_owned(), text.to_owned()));
    files
}

pub fn many() -> Place {
    let files = many_files();
    let files: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    Place::indexed(&files)
}

const WORDS: [&str; 24] = [
    "parse", "token", "buffer", "socket", "cache", "vector", "index", "query", "merge", "commit",
    "branch", "thread", "mutex", "stream", "packet", "header", "cursor", "window", "layout",
    "render", "shader", "matrix", "kernel", "signal",
];

/// A Rust file of `functions` functions with random names and words; the same for the same `seed`.
pub fn rust_file(seed: u64, functions: usize) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut word = || WORDS[random.usize(..WORDS.len())];
    let function = |i: usize| {
        let [a, b, c, d] = std::array::from_fn(|_| word());
        format!(
            "/// Takes the {a} to the {b}.\npub fn {c}_{d}_{seed}_{i}(input: &str) -> usize {{\n    \
             let {a} = input.len() + {i};\n    let {b} = {a} * {seed};\n    {a} + {b}\n}}\n\n"
        )
    };
    (0..functions).map(function).collect()
}
