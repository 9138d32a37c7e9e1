//! GlobList: matches paths against globs.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::base::error::{Error, Result};

/// A list of globs, those with `!` excluded.
///
/// A glob without a slash matches a name at any depth, one with a slash matches from the root. `*` does
/// not cross folders, `**` does. A glob that matches a folder matches everything in it. A list that
/// only excludes matches everything else.
#[derive(Debug, Clone)]
pub struct GlobList {
    include: Option<Globs>,
    exclude: Globs,
}

impl GlobList {
    /// globs: any number; none of them matches every path.
    pub fn new(globs: &[String]) -> Result<Self> {
        let (exclude, include): (Vec<_>, Vec<_>) =
            globs.iter().map(String::as_str).partition(|glob| glob.starts_with('!'));
        let exclude = exclude.iter().map(|glob| &glob[1..]);
        let include =
            if include.is_empty() { None } else { Some(Globs::new(include.iter().copied())?) };
        Ok(Self { include, exclude: Globs::new(exclude)? })
    }

    pub fn matches(&self, path: &str) -> bool {
        self.include.as_ref().is_none_or(|set| set.is_match(path)) && !self.exclude.is_match(path)
    }
}

/// Globs that are matched together.
#[derive(Debug, Clone)]
pub struct Globs(GlobSet);

impl Globs {
    /// globs: any number, read as [`GlobList`] reads them, without `!`.
    pub fn new<'a>(globs: impl Iterator<Item = &'a str>) -> Result<Self> {
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
            // Two forms of each: itself, and everything below a folder that it matches.
            for form in [rooted.clone(), format!("{rooted}/**")] {
                let glob = GlobBuilder::new(&form)
                    .literal_separator(true)
                    .backslash_escape(true)
                    .build()
                    .map_err(|error| invalid(given, &error.kind().to_string()))?;
                set.add(glob);
            }
        }
        let set = set.build();
        Ok(Self(set.map_err(|error| invalid(error.glob().unwrap_or("globs"), &error.to_string()))?))
    }

    pub fn is_match(&self, path: &str) -> bool {
        self.0.is_match(path)
    }

    /// The positions of the globs that match `path`, ascending; one may be repeated.
    pub fn matching(&self, path: &str) -> impl Iterator<Item = usize> {
        self.0.matches(path).into_iter().map(|form| form / 2)
    }
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
}
