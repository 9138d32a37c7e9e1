//! CodeOwners: who owns a file, by the file CODEOWNERS of GitHub and GitLab.

use std::fs;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::{Repo, RepoPath};

/// Where the file may be, in the order in which GitHub looks; GitLab has the last place.
const PLACES: [&str; 4] =
    [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS"];
/// GitHub ignores a larger file.
const BYTES_MAX: u64 = 3 << 20;

/// The owners of files, by rules of which the last that matches decides.
#[derive(Debug, Default)]
pub struct CodeOwners {
    globs: GlobSet,
    /// The rule of each glob.
    rule_of: Vec<usize>,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    /// As written, with a space between them: `@org/team ada@example.org`.
    owners: String,
    /// A pattern that ends with `/*`: files directly in a folder.
    is_shallow: bool,
    /// Slashes in the pattern, without a leading one.
    slashes: usize,
}

impl CodeOwners {
    /// Reads the text of a CODEOWNERS file. A line that GitHub would not accept is ignored.
    pub fn parse(text: &str) -> Self {
        let (mut globs, mut owners) = (GlobSetBuilder::new(), Self::default());
        for line in text.lines() {
            let line = line.trim();
            // A section of GitLab begins with a bracket; there is no negation.
            if line.is_empty() || line.starts_with(['#', '[', '^', '!']) {
                continue;
            }
            let (pattern, rest) = split_pattern(line);
            let rest = rest.split('#').next().unwrap_or_default();
            let Some(forms) = forms(pattern) else { continue };
            for form in forms {
                globs.add(form);
                owners.rule_of.push(owners.rules.len());
            }
            owners.rules.push(Rule {
                owners: rest.split_whitespace().collect::<Vec<_>>().join(" "),
                is_shallow: pattern.ends_with("/*") && !pattern.contains("**"),
                slashes: pattern.trim_start_matches('/').matches('/').count(),
            });
        }
        owners.globs = globs.build().unwrap_or_default();
        owners
    }

    /// The owners of a file, with a space between them; `None` if it has none.
    ///
    /// path: relative to the folder of the repository, with `/` between its parts.
    pub fn of(&self, path: &str) -> Option<&str> {
        let slashes = path.matches('/').count();
        let rules = self.globs.matches(path).into_iter().map(|form| self.rule_of[form]);
        let rules = rules.filter(|rule| {
            let rule = &self.rules[*rule];
            !rule.is_shallow || rule.slashes == slashes
        });
        let rule = rules.max()?;
        Some(self.rules[rule].owners.as_str()).filter(|owners| !owners.is_empty())
    }
}

/// The pattern of a line, and what follows it. A space in a pattern is escaped.
fn split_pattern(line: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if c.is_whitespace() && !escaped {
            return line.split_at(at);
        }
        escaped = c == '\\' && !escaped;
    }
    (line, "")
}

/// A pattern as globs: what it matches, and everything below a folder that it matches.
fn forms(pattern: &str) -> Option<[globset::Glob; 2]> {
    let folder = pattern.strip_suffix('/').unwrap_or(pattern);
    if folder.is_empty() {
        return None;
    }
    let rooted = match folder.strip_prefix('/') {
        Some(from_root) => from_root.to_owned(),
        None if folder.contains('/') => folder.to_owned(),
        None => format!("**/{folder}"),
    };
    let glob = |form: &str| {
        GlobBuilder::new(form).literal_separator(true).backslash_escape(true).build().ok()
    };
    Some([glob(&rooted)?, glob(&format!("{rooted}/**"))?])
}

/// The folder of the repository that `root` is in, else the folder of the root.
fn repository_of(root: &Path) -> PathBuf {
    let folder = if root.is_dir() { root } else { root.parent().unwrap_or(root) };
    let top = folder.ancestors().find(|folder| folder.join(".git").exists());
    top.unwrap_or(folder).to_path_buf()
}

fn read(path: &Path) -> Option<String> {
    let found = fs::symlink_metadata(path).ok()?;
    let is_readable = found.is_file() && found.len() <= BYTES_MAX;
    if is_readable { fs::read_to_string(path).ok() } else { None }
}

impl Repo {
    /// The owners that CODEOWNERS files name, as [`CodeOwners::of`]; one entry for each path.
    pub fn code_owners(&self, paths: &[RepoPath]) -> Vec<Option<String>> {
        let of_root = |root: &Path| {
            let folder = repository_of(root);
            let text = PLACES.iter().find_map(|place| read(&folder.join(place)));
            let owners = CodeOwners::parse(&text.unwrap_or_default());
            (root.to_path_buf(), folder, owners)
        };
        let of_roots: Vec<(PathBuf, PathBuf, CodeOwners)> = self.roots().map(of_root).collect();
        let owner = |path: &RepoPath| {
            let (root, absolute) = self.root_of(path).zip(self.absolute(path))?;
            let (_, folder, owners) = of_roots.iter().find(|(known, ..)| known == root)?;
            owners.of(absolute.strip_prefix(folder).ok()?.to_str()?).map(str::to_owned)
        };
        paths.iter().map(owner).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, owned: &[(&str, Option<&str>)]) {
        let owners = CodeOwners::parse(text);
        for (path, expected) in owned {
            assert_eq!(owners.of(path), *expected, "{path} by {text:?}");
        }
    }

    #[test]
    fn the_last_rule_that_matches_decides() {
        check(
            "# Everyone\n*  @org/all\n*.rs @ada @grace # both\n/src/gen/\n/src/gen/keep.rs a@b.c\n",
            &[
                ("README.md", Some("@org/all")),
                ("src/deep/a.rs", Some("@ada @grace")),
                ("src/gen/a.rs", None),
                ("src/gen/keep.rs", Some("a@b.c")),
            ],
        );
        check("", &[("a.rs", None)]);
    }

    #[test]
    fn patterns_are_those_of_the_documentation_of_github() {
        let text = "docs/* @one\napps/ @two\n/build/logs/ @three\n**/vendored @four\n\
                    /with\\ space/ @five\n/a/**/z.txt @six\n";
        check(
            text,
            &[
                ("docs/start.md", Some("@one")),
                ("docs/build/trouble.md", None),
                ("x/docs/start.md", None),
                ("apps/a.rs", Some("@two")),
                ("deep/apps/b/c.rs", Some("@two")),
                ("build/logs/x/y", Some("@three")),
                ("deep/build/logs/x", None),
                ("x/vendored/y.c", Some("@four")),
                ("with space/a", Some("@five")),
                ("a/b/c/z.txt", Some("@six")),
            ],
        );
    }

    #[test]
    fn lines_that_are_no_rules_change_nothing() {
        let text =
            "* @all\n[Section] @x\n^[Optional]\n!*.rs @no\n[a @broken\n{a @broken\n/ @root\n";
        check(text, &[("a.rs", Some("@all")), ("{a", Some("@all"))]);
    }
}
