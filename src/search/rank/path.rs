//! The path factor, which lowers the score of tests, examples, vendored and generated code, documents
//! and data, unless the query asks for them.

use std::collections::HashSet;
use std::sync::{LazyLock, OnceLock};

use crate::corpus::source::file_names::{GENERATED, LOCK_FILES, MINIFIED, VENDORED};
use crate::corpus::source::{FileKind, Globs};
use crate::index::QueryText;
use crate::index::catalog::FileSpan;
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
type Kind = (f64, &'static [&'static [&'static str]], &'static [&'static str]);

const KINDS: &[Kind] = &[
    (0.75, &[TESTS], &[]),
    (0.6, &[&["testdata", "fixtures", "__snapshots__", "golden"]], &[]),
    (0.5, &[VENDORED], &[]),
    (0.5, &[GENERATED, MINIFIED, &["generated", "dist"]], &[]),
    (
        0.6,
        &[&[
            "backup", "backups", "old", "copy", "*.bak", "*.orig", "*.old", "*~", "*_copy.*",
            "*-copy.*",
        ]],
        &[],
    ),
    (0.4, &[LOCK_FILES, &["*.snap"]], &["dependency", "dependencies"]),
    (
        0.8,
        &[&["example", "examples", "sample", "samples", "demo", "demos", "bench", "benches"]],
        &["benchmark"],
    ),
    (
        0.45,
        &[&[
            "*.md",
            "*.mdx",
            "*.markdown",
            "*.rst",
            "*.adoc",
            "*.txt",
            "README",
            "CHANGELOG",
            "LICENSE",
        ]],
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
        &[&[
            "*.json", "*.yaml", "*.yml", "*.toml", "*.xml", "*.html", "*.css", "*.csv", "*.ini",
            "*.cfg",
        ]],
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
            globs.iter().copied().flatten().map(move |&glob| Rule { glob, weight, words })
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
    /// The rule with the lowest weight among those that match. A file that is generated or vendored by
    /// its content or git's attributes is taken for one in a folder of such files.
    fn lowest(&self, file: &FileSpan) -> Option<&Rule> {
        let folder = match file.kind {
            FileKind::Generated => Some("generated/file"),
            FileKind::Vendored => Some("vendored/file"),
            _ => None,
        };
        let matching = folder.into_iter().chain([file.path.as_str()]);
        let matching = matching.flat_map(|path| self.globs.matching(path)).map(|i| &self.rules[i]);
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
    pub fn weight(&self, i: usize, file: &FileSpan, query: &HashSet<String>) -> f64 {
        let rule = self.0[i].get_or_init(|| RULES.lowest(file));
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
    use crate::base::hit::ChunkId;
    use crate::corpus::source::Channels;

    fn weight(path: &str, query: &HashSet<String>) -> f64 {
        weight_of(path, FileKind::Code, query)
    }

    fn weight_of(path: &str, kind: FileKind, query: &HashSet<String>) -> f64 {
        let file = FileSpan {
            path: path.to_owned(),
            language: "rust".to_owned(),
            size_bytes: 1,
            first_chunk: ChunkId(0),
            chunk_count: 1,
            commit_time_s: None,
            kind,
            channels: Channels::Every,
        };
        let files = FileRules::new(1);
        let weights = [files.weight(0, &file, query), files.weight(0, &file, query)];
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
    fn a_file_of_a_kind_that_its_path_does_not_tell_weighs_less() {
        let none = HashSet::new();
        let asked = mentioned(&QueryText::new("the generated parser"));
        assert_eq!(weight_of("src/parser.c", FileKind::Generated, &none), 0.5);
        assert_eq!(weight_of("src/parser.c", FileKind::Vendored, &none), 0.5);
        assert_eq!(weight_of("docs/a.md", FileKind::Vendored, &none), 0.45);
        assert_eq!(weight_of("src/parser.c", FileKind::Generated, &asked), 1.0);
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
