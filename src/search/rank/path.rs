//! The path factor, which lowers the score of tests, examples, vendored and generated code, documents
//! and data, unless the query asks for them.

use std::collections::HashSet;
use std::sync::{LazyLock, OnceLock};

use crate::corpus::source::Globs;
use crate::index::QueryText;
use crate::index::words::{lower, parts};

/// Names of folders and files of tests.
const TESTS: &[&str] = &[
    "test",
    "tests",
    "testing",
    "spec",
    "__tests__",
    "test_*",
    "*_test.*",
    "*_tests.*",
    "*.test.*",
    "*.spec.*",
    "*Test.java",
    "*Tests.cs",
    "conftest.py",
];

/// A kind of file: its weight, the globs that select it, and words of a query that ask for it beside
/// those in the globs. If several kinds match a file, the lowest weight applies.
type Kind = (f64, &'static [&'static str], &'static [&'static str]);

const KINDS: &[Kind] = &[
    (0.75, TESTS, &[]),
    (0.6, &["testdata", "fixtures", "__snapshots__", "golden"], &[]),
    (
        0.5,
        &["vendor", "vendored", "third_party", "third-party", "node_modules", "site-packages"],
        &[],
    ),
    (
        0.5,
        &[
            "generated",
            "*.generated.*",
            "*_generated.*",
            "*.pb.go",
            "*.pb.cc",
            "*.pb.h",
            "*_pb2.py",
            "*_pb2_grpc.py",
            "*.g.cs",
            "*.min.js",
            "*.min.css",
            "dist",
        ],
        &[],
    ),
    (
        0.6,
        &[
            "backup", "backups", "old", "copy", "*.bak", "*.orig", "*.old", "*~", "*_copy.*",
            "*-copy.*",
        ],
        &[],
    ),
    (0.4, &["*.lock", "package-lock.json", "go.sum", "*.snap"], &["dependency", "dependencies"]),
    (
        0.8,
        &["example", "examples", "sample", "samples", "demo", "demos", "bench", "benches"],
        &["benchmark"],
    ),
    (
        0.45,
        &[
            "*.md",
            "*.mdx",
            "*.markdown",
            "*.rst",
            "*.adoc",
            "*.txt",
            "README",
            "CHANGELOG",
            "LICENSE",
        ],
        &[
            "doc",
            "documentation",
            "document",
            "guide",
            "tutorial",
            "readme",
            "changelog",
            "license",
            "contributing",
            "release",
            "markdown",
            "faq",
            "installation",
            "overview",
        ],
    ),
    (
        0.5,
        &[
            "*.json", "*.yaml", "*.yml", "*.toml", "*.xml", "*.html", "*.css", "*.csv", "*.ini",
            "*.cfg",
        ],
        &[
            "json",
            "yaml",
            "yml",
            "toml",
            "xml",
            "html",
            "css",
            "csv",
            "ini",
            "config",
            "configuration",
            "setting",
            "settings",
            "manifest",
            "workflow",
            "pipeline",
            "ci",
            "schema",
            "style",
            "template",
            "package",
            "dependency",
            "dependencies",
            "metadata",
        ],
    ),
];

/// A glob, its weight, and words that ask for such files.
struct Rule {
    glob: &'static str,
    weight: f64,
    words: &'static [&'static str],
}

/// [`KINDS`], compiled.
struct Rules {
    rules: Vec<Rule>,
    globs: Globs,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let rules: Vec<Rule> = KINDS
        .iter()
        .flat_map(|&(weight, globs, words)| {
            globs.iter().map(move |&glob| Rule { glob, weight, words })
        })
        .collect();
    let globs = Globs::new(rules.iter().map(|rule| rule.glob)).expect("the globs above are valid");
    Rules { rules, globs }
});

/// Whether a file holds tests, by its path.
pub fn is_test(path: &str) -> bool {
    RULES.globs.matching(path).any(|i| TESTS.contains(&RULES.rules[i].glob))
}

/// Compiles the globs, which the first query would have to wait for.
pub fn compile() {
    LazyLock::force(&RULES);
}

impl Rules {
    /// The rule with the lowest weight among those that match.
    fn lowest(&self, path: &str) -> Option<&Rule> {
        let matching = self.globs.matching(path).map(|i| &self.rules[i]);
        matching.min_by(|a, b| a.weight.total_cmp(&b.weight))
    }
}

/// The rules that apply to the files of a version, each looked up once: a hundred globs take longer
/// than everything else that a score needs.
pub struct FileRules(Vec<OnceLock<Option<&'static Rule>>>);

impl FileRules {
    /// files: how many files the version has.
    pub fn new(files: usize) -> Self {
        Self(std::iter::repeat_with(OnceLock::new).take(files).collect())
    }

    /// The weight of file `i`, 0 to 1. A path that the query mentions has weight 1.
    ///
    /// query: the words from [`mentioned`].
    pub fn weight(&self, i: usize, path: &str, query: &HashSet<String>) -> f64 {
        let rule = self.0[i].get_or_init(|| RULES.lowest(path));
        rule.filter(|rule| !rule.asked_for(query)).map_or(1.0, |rule| rule.weight)
    }
}

/// The words of a query in lower case, also those inside of identifiers: `TestParser` has `test`.
pub fn mentioned(query: &QueryText) -> HashSet<String> {
    let runs = query.words.iter().flat_map(|word| word.split('_'));
    runs.flat_map(|run| std::iter::once(run).chain(parts(run))).map(lower).collect()
}

impl Rule {
    /// Whether the query has a word that names what the glob selects, `test` for `**/tests/**` but not
    /// `latest`, or another word that asks for such files.
    fn asked_for(&self, query: &HashSet<String>) -> bool {
        let stem = self.glob.rsplit_once('.').map_or(self.glob, |(stem, _)| stem);
        let about = stem.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 2);
        let about = about.map(|word| word.trim_end_matches('s').to_lowercase());
        about.chain(self.words.iter().map(|&word| word.to_owned())).any(|word| {
            ["", "s", "ed", "ing"].iter().any(|end| query.contains(&format!("{word}{end}")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(path: &str, query: &HashSet<String>) -> f64 {
        let files = FileRules::new(1);
        let weights = [files.weight(0, path, query), files.weight(0, path, query)];
        assert_eq!(weights[0], weights[1]);
        weights[0]
    }

    #[test]
    fn tests_vendored_generated_and_example_files_weigh_less() {
        let none = HashSet::new();
        for (path, expected) in [
            ("tests/a.rs", 0.75),
            ("pkg/x_test.go", 0.75),
            ("vendor/lib/a.c", 0.5),
            ("web/node_modules/a/index.js", 0.5),
            ("api/a.pb.go", 0.5),
            ("examples/hello.rs", 0.8),
            ("Cargo.lock", 0.4),
            ("src/lib.rs", 1.0),
            ("src/contest.rs", 1.0),
            ("latest/a.py", 1.0),
            ("docs/guide.md", 0.45),
            ("config/app.yaml", 0.5),
            ("src/attestation/x.go", 1.0),
        ] {
            assert_eq!(weight(path, &none), expected, "{path}");
        }
    }

    #[test]
    fn of_several_weights_the_lowest_counts() {
        let none = HashSet::new();
        assert_eq!(weight("vendor/x/tests/a.rs", &none), 0.5);
        assert_eq!(weight("tests/Cargo.lock", &none), 0.4);
    }

    #[test]
    fn a_path_that_the_query_mentions_has_its_full_weight() {
        for (text, path, expected) in [
            ("a test of it", "tests/a.rs", 1.0),
            ("tests::open", "tests/a.rs", 1.0),
            ("TestParser", "tests/a.rs", 1.0),
            ("HTTPTest", "tests/a.rs", 1.0),
            ("is it tested", "tests/a.rs", 1.0),
            ("the latest", "tests/a.rs", 0.75),
            ("contest", "tests/a.rs", 0.75),
            ("the installation guide", "docs/a.md", 1.0),
            ("CI workflow", ".github/a.yml", 1.0),
            ("message_pb2", "api/message_pb2.py", 1.0),
        ] {
            let query = mentioned(&QueryText::new(text));
            assert_eq!(weight(path, &query), expected, "{text}");
        }
    }
}
