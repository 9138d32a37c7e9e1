//! Patch: a unified diff, and the two versions of a file that it tells of.

use crate::base::error::{Error, Result};

/// The part of a unified diff about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePatch {
    /// The path before; `None` if the file is new.
    pub before: Option<String>,
    /// The path after; `None` if the file is deleted.
    pub after: Option<String>,
    hunks: Vec<Hunk>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Hunk {
    /// Where the hunk begins in the version before and in that after, counted from 0.
    starts: [usize; 2],
    /// Its lines in the version before and in that after, with their ends.
    lines: [Vec<String>; 2],
}

/// A side of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

impl FilePatch {
    /// The versions before and after of a file that is `current` now, with the patch applied to it or
    /// not yet; `None` if it is another text.
    pub fn versions(&self, current: &str) -> Option<(String, String)> {
        let lines: Vec<&str> = current.split_inclusive('\n').collect();
        // Lines that were only added leave nothing to compare with on the other side.
        let compared = |side: &Side| {
            self.hunks.iter().map(|hunk| hunk.lines[*side as usize].len()).sum::<usize>()
        };
        let fitting =
            [Side::Before, Side::After].into_iter().filter(|side| self.fits(&lines, *side));
        let side = fitting.max_by_key(compared)?;
        let (current, other) = (current.to_owned(), self.other(&lines, side));
        Some(match side {
            Side::Before => (current, other),
            Side::After => (other, current),
        })
    }

    /// Whether `lines` has the lines of this side of each hunk where the hunk says.
    fn fits(&self, lines: &[&str], side: Side) -> bool {
        self.hunks.iter().all(|hunk| {
            let (start, wanted) = (hunk.starts[side as usize], &hunk.lines[side as usize]);
            let found = lines.get(start..start + wanted.len());
            let same = |(found, wanted): (&&str, &String)| found.trim_end() == wanted.trim_end();
            found.is_some_and(|found| found.iter().zip(wanted).all(same))
        })
    }

    /// The other version of a text that [`FilePatch::fits`] this side.
    fn other(&self, lines: &[&str], side: Side) -> String {
        let other = 1 - side as usize;
        let (mut text, mut at) = (String::new(), 0);
        for hunk in &self.hunks {
            let start = hunk.starts[side as usize].max(at);
            lines[at..start].iter().for_each(|line| text += line);
            hunk.lines[other].iter().for_each(|line| text += line);
            at = start + hunk.lines[side as usize].len();
        }
        lines.get(at..).unwrap_or_default().iter().for_each(|line| text += line);
        text
    }
}

/// Parses a unified diff, such as `git diff` prints. Lines that belong to no file are ignored, as
/// `patch` ignores them.
///
/// Returns an error for a text without any file, or with a hunk that ends early.
pub fn parse_patch(diff: &str) -> Result<Vec<FilePatch>> {
    let refused = |line: usize, detail: &str| Error::Argument {
        name: "diff",
        value: format!("line {line}"),
        expected: format!("a unified diff, such as `git diff` prints: {detail}"),
    };
    let mut files: Vec<FilePatch> = Vec::new();
    let mut lines = (1..).zip(diff.split_inclusive('\n')).peekable();
    while let Some((number, line)) = lines.next() {
        if let Some(before) = line.strip_prefix("--- ") {
            let Some((_, after)) = lines.next_if(|(_, next)| next.starts_with("+++ ")) else {
                continue;
            };
            let (before, after) = (path(before, "a/"), path(&after[4..], "b/"));
            files.push(FilePatch { before, after, hunks: Vec::new() });
        } else if let Some(header) = line.strip_prefix("@@ -") {
            let Some(file) = files.last_mut() else {
                return Err(refused(number, "a hunk follows the names of its file"));
            };
            let counts = ranges(header).ok_or_else(|| refused(number, "@@ -12,3 +12,4 @@"))?;
            let mut left = counts.map(|(_, count)| count);
            let mut hunk = Hunk {
                // A side without lines names the line before it.
                starts: counts.map(|(start, count)| start.saturating_sub(usize::from(count > 0))),
                lines: [Vec::new(), Vec::new()],
            };
            while left != [0, 0] {
                let Some((number, line)) = lines.next() else {
                    return Err(refused(number, "the hunk has fewer lines than it says"));
                };
                let sides: &[Side] = match line.as_bytes()[0] {
                    b' ' | b'\n' | b'\r' => &[Side::Before, Side::After],
                    b'-' => &[Side::Before],
                    b'+' => &[Side::After],
                    b'\\' => continue,
                    _ => return Err(refused(number, "the hunk has fewer lines than it says")),
                };
                for &side in sides {
                    let text = line.strip_prefix([' ', '-', '+']).unwrap_or(line);
                    hunk.lines[side as usize].push(text.to_owned());
                    let left = &mut left[side as usize];
                    *left = left
                        .checked_sub(1)
                        .ok_or_else(|| refused(number, "the hunk has more lines than it says"))?;
                }
            }
            file.hunks.push(hunk);
        }
    }
    if files.is_empty() {
        return Err(refused(1, "no line begins with `--- ` and the next with `+++ `"));
    }
    Ok(files)
}

/// The path in a line of a patch, without the prefix that git puts before it.
fn path(text: &str, prefix: &str) -> Option<String> {
    // A tab separates it from a date.
    let path = text.split('\t').next().unwrap_or_default().trim_end();
    let path = path.strip_prefix('"').and_then(|path| path.strip_suffix('"')).unwrap_or(path);
    (path != "/dev/null").then(|| path.strip_prefix(prefix).unwrap_or(path).to_owned())
}

/// The first line and the number of lines of both sides, of `12,3 +12,4 @@ fn …`.
fn ranges(header: &str) -> Option<[(usize, usize); 2]> {
    let mut parts = header.split(' ');
    let range = |part: &str| -> Option<(usize, usize)> {
        match part.split_once(',') {
            Some((start, count)) => Some((start.parse().ok()?, count.parse().ok()?)),
            None => Some((part.parse().ok()?, 1)),
        }
    };
    Some([range(parts.next()?)?, range(parts.next()?.strip_prefix('+')?)?])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIFF: &str = "diff --git a/x.rs b/x.rs\nindex 1..2 100644\n--- a/x.rs\n+++ b/x.rs\n\
        @@ -1,3 +1,3 @@ fn\n one\n-two\n+2\n three\n@@ -7,0 +8,2 @@\n+eight\n+nine\n";

    #[test]
    fn a_patch_gives_both_versions_whether_it_is_applied_or_not() {
        let patch = &parse_patch(DIFF).unwrap()[0];
        assert_eq!(patch.before.as_deref(), Some("x.rs"));
        assert_eq!(patch.after.as_deref(), Some("x.rs"));
        let before = "one\ntwo\nthree\n4\n5\n6\n7\n10\n";
        let after = "one\n2\nthree\n4\n5\n6\n7\neight\nnine\n10\n";
        let versions = Some((before.to_owned(), after.to_owned()));
        assert_eq!(patch.versions(before), versions);
        assert_eq!(patch.versions(after), versions);
        assert_eq!(patch.versions("one\nTWO\nthree\n"), None);
        assert_eq!(patch.versions(""), None);
    }

    #[test]
    fn new_and_deleted_files_have_one_path() {
        let diff = "--- /dev/null\n+++ b/new.py\t2026-01-01\n@@ -0,0 +1 @@\n+x = 1\n\
                    \\ No newline at end of file\n--- a/old.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-y\n";
        let files = parse_patch(diff).unwrap();
        assert_eq!((files[0].before.as_deref(), files[0].after.as_deref()), (None, Some("new.py")));
        assert_eq!((files[1].before.as_deref(), files[1].after.as_deref()), (Some("old.py"), None));
        assert_eq!(files[0].versions("x = 1\n"), Some((String::new(), "x = 1\n".to_owned())));
        assert_eq!(files[1].versions("y\n"), Some(("y\n".to_owned(), String::new())));
    }

    #[test]
    fn what_is_no_diff_is_refused_with_its_line() {
        for (diff, part) in [
            ("", "line 1"),
            ("fn main() {}\n", "no line begins with"),
            ("@@ -1 +1 @@\n", "follows the names"),
            ("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n one\n", "fewer lines"),
            ("--- a/x\n+++ b/x\n@@ -1,2 +1,1 @@\n one\n two\n", "line 5"),
            ("--- a/x\n+++ b/x\n@@ -x @@\n", "line 3"),
        ] {
            let message = parse_patch(diff).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(diff in "(--- a\n|\\+\\+\\+ b\n|@@ -[0-3],[0-3] \\+[0-3],[0-3] @@\n|[-+ ]x\n|\\PC{0,4}\n){0,12}", text in "(x\n){0,4}") {
            for file in parse_patch(&diff).unwrap_or_default() {
                let _ = file.versions(&text);
            }
        }
    }
}
