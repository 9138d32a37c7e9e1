//! Does this path match these globs?

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::rows::PathWeight;
use crate::base::error::{Error, Result};

/// A list of globs, those with `!` excluded.
///
/// A glob without a slash matches a name at any depth, one with a slash from the root; `*` stays
/// within a name and `**` crosses folders. A glob that matches a folder means everything in it.
/// A list that only excludes starts from everything.
#[derive(Debug, Clone)]
pub struct GlobList {
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl GlobList {
    /// globs: any number; none of them matches every path.
    pub fn new(globs: &[String]) -> Result<Self> {
        let (exclude, include): (Vec<_>, Vec<_>) =
            globs.iter().map(String::as_str).partition(|glob| glob.starts_with('!'));
        let exclude = exclude.iter().map(|glob| &glob[1..]);
        let include = match include.is_empty() {
            true => None,
            false => Some(compile(include.iter().copied())?),
        };
        Ok(Self { include, exclude: compile(exclude)? })
    }

    pub fn matches(&self, path: &str) -> bool {
        self.include.as_ref().is_none_or(|set| set.is_match(path)) && !self.exclude.is_match(path)
    }
}

/// What chunks count by their paths.
#[derive(Debug, Clone)]
pub struct PathWeights {
    rows: Vec<PathWeight>,
    set: GlobSet,
}

impl PathWeights {
    pub fn new(rows: Vec<PathWeight>) -> Result<Self> {
        let set = compile(rows.iter().map(|row| row.glob.as_str()))?;
        Ok(Self { rows, set })
    }

    pub fn rows(&self) -> &[PathWeight] {
        &self.rows
    }

    /// The row with the lowest weight among those that match; none means a weight of 1.
    pub fn of(&self, path: &str) -> Option<&PathWeight> {
        // Each row was compiled into two globs.
        let matching = self.set.matches(path).into_iter().map(|i| &self.rows[i / 2]);
        matching.min_by(|a, b| a.weight.total_cmp(&b.weight))
    }
}

/// Two globs for each one given: itself, and everything beneath what it matches.
fn compile<'a>(globs: impl Iterator<Item = &'a str>) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for given in globs {
        let glob = given.strip_suffix('/').unwrap_or(given);
        let rooted = match glob.strip_prefix('/') {
            Some(from_root) => from_root.to_owned(),
            None if glob.contains('/') => glob.trim_start_matches("./").to_owned(),
            None => format!("**/{glob}"),
        };
        if glob.is_empty() || rooted.is_empty() {
            return Err(invalid(given, "it is empty"));
        }
        for form in [rooted.clone(), format!("{rooted}/**")] {
            let glob = GlobBuilder::new(&form)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|error| invalid(given, &error.kind().to_string()))?;
            set.add(glob);
        }
    }
    set.build().map_err(|error| invalid(error.glob().unwrap_or("globs"), &error.to_string()))
}

fn invalid(glob: &str, why: &str) -> Error {
    Error::Argument {
        name: "glob",
        value: format!("{glob:?}"),
        expected: format!("a glob such as \"*.rs\", \"src/**\" or \"!tests\" ({why})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(globs: &[&str]) -> GlobList {
        let globs: Vec<String> = globs.iter().map(|glob| glob.to_string()).collect();
        GlobList::new(&globs).unwrap()
    }

    fn check(globs: &[&str], yes: &[&str], no: &[&str]) {
        let globs = list(globs);
        for path in yes {
            assert!(globs.matches(path), "{globs:?} should match {path}");
        }
        for path in no {
            assert!(!globs.matches(path), "{globs:?} should not match {path}");
        }
    }

    #[test]
    fn a_glob_without_a_slash_matches_at_any_depth() {
        check(&["*.rs"], &["a.rs", "src/deep/b.rs"], &["a.py", "a.rs.txt"]);
        check(&["tests"], &["tests/a.py", "x/tests/y/b.py"], &["tests.py", "x/mytests/a.py"]);
    }

    #[test]
    fn a_glob_with_a_slash_starts_at_the_root() {
        check(&["src/*.rs"], &["src/a.rs"], &["src/deep/a.rs", "x/src/a.rs"]);
        check(&["src/**/*.rs"], &["src/a.rs", "src/deep/a.rs"], &["x/src/a.rs"]);
        for folder in ["src/", "/src", "./src/", "src/**"] {
            assert!(list(&[folder]).matches("src/deep/a.rs"), "{folder}");
        }
        check(&["/src"], &["src/a.rs"], &["x/src/a.rs"]);
    }

    #[test]
    fn an_exclusion_wins_and_alone_starts_from_everything() {
        check(&["src/**", "!*.gen.rs"], &["src/a.rs"], &["src/a.gen.rs", "b.rs"]);
        check(&["!tests"], &["src/a.rs"], &["tests/a.rs"]);
        check(&[], &["anything/at.all"], &[]);
    }

    #[test]
    fn an_invalid_glob_is_named() {
        for glob in ["src/[a", "", "!", "/", "{a"] {
            let error = GlobList::new(&[glob.to_owned()]).unwrap_err();
            assert!(matches!(error, Error::Argument { name: "glob", .. }), "{error}");
            assert!(error.to_string().contains(glob.trim_start_matches('!')), "{error}");
        }
    }

    #[test]
    fn of_several_weights_the_lowest_counts() {
        let row = |glob: &str, weight| PathWeight { glob: glob.to_owned(), weight };
        let rows = vec![row("tests", 0.7), row("*.lock", 0.4), row("vendor", 0.5)];
        let weights = PathWeights::new(rows).unwrap();
        let of = |path| weights.of(path).map(|row| row.weight);
        assert_eq!(of("src/a.rs"), None);
        assert_eq!(of("tests/a.rs"), Some(0.7));
        assert_eq!(of("vendor/x/tests/a.rs"), Some(0.5));
        assert_eq!(of("tests/Cargo.lock"), Some(0.4));
    }
}
