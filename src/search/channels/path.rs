//! The path channel: files that a query names, at the line that it names.
//!
//! A path is read from a compiler message, a stack frame, a diff or plain text: `src/a.rs:12:3`,
//! `File "a.py", line 12`, `(a.js:12:3)`, `b/src/a.rs`, `file:///home/me/src/a.rs`, `C:\src\a.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Channel, ChannelName, ChannelSearch, Encoded};
use crate::base::error::Result;
use crate::base::hit::{ChunkId, ChunkSet, Hit, Score, TopK};
use crate::base::telemetry::Stage;
use crate::base::telemetry::attrs::{self, Attr};
use crate::index::catalog::Catalog;

/// The whole path of a file.
const WHOLE: Score = 1.0;
/// The end of a path, of two components or more.
const END: Score = 0.95;
/// A file name alone, or an absolute path that ends with the path of a file.
const NAME: Score = 0.9;
/// A path that ends like another: `lib/python3/site/app/views.py` for `src/app/views.py`.
const COMMON_END: Score = 0.5;
/// Subtracted for each folder above the file, so that of equal names the one near the root is first.
const DEPTH_STEP: Score = 1e-3;
/// Subtracted for each path that is nearer to the cause of an error.
const FRAME_STEP: Score = 0.02;
/// Subtracted for each chunk of a file before this one; one at the named line comes first.
const CHUNK_STEP: Score = 0.05;
/// Chunks of one file, paths of a query, and files for a path, that are returned.
const CHUNKS_MAX: usize = 3;
const MENTIONS_MAX: usize = 64;
const FILES_MAX: usize = 16;

pub struct PathChannel {
    catalog: Arc<Catalog>,
    /// The numbers of the files with a name in lower case.
    by_name: HashMap<String, Vec<u32>>,
}

impl PathChannel {
    pub fn new(catalog: Arc<Catalog>) -> Result<Self> {
        let mut by_name: HashMap<String, Vec<u32>> = HashMap::new();
        for (i, file) in (0..).zip(catalog.file_spans()?) {
            let name = file.path.rsplit('/').next().unwrap_or_default().to_lowercase();
            by_name.entry(name).or_default().push(i);
        }
        Ok(Self { catalog, by_name })
    }

    fn hits(&self, query: &str, depth: usize, scope: Option<&ChunkSet>) -> Result<Vec<Hit>> {
        let spans = self.catalog.file_spans()?;
        let mut best: HashMap<ChunkId, Score> = HashMap::new();
        for (i, mention) in mentions(query).into_iter().enumerate() {
            for (file, score) in self.files(&mention.path)? {
                let span = &spans[file as usize];
                let at_line = match mention.line {
                    Some(line) => self.catalog.chunk_at(span.ids(), line)?,
                    None => None,
                };
                let others = span.ids().map(ChunkId).filter(|id| Some(*id) != at_line);
                let wanted = at_line.into_iter().chain(others);
                let allowed = wanted.filter(|id| scope.is_none_or(|scope| scope.contains(*id)));
                for (j, id) in allowed.take(CHUNKS_MAX).enumerate() {
                    let score = score - FRAME_STEP * i as Score - CHUNK_STEP * j as Score;
                    let kept = best.entry(id).or_insert(score);
                    *kept = kept.max(score);
                }
            }
        }
        let mut top = TopK::new(depth);
        best.into_iter().for_each(|(id, score)| top.push(Hit { id, score }));
        Ok(top.into_sorted())
    }

    /// The files that a path may mean, the likeliest first.
    fn files(&self, path: &str) -> Result<Vec<(u32, Score)>> {
        let wanted: Vec<String> = path.split('/').map(str::to_lowercase).collect();
        let Some(files) = wanted.last().and_then(|name| self.by_name.get(name)) else {
            return Ok(Vec::new());
        };
        let spans = self.catalog.file_spans()?;
        let mut found: Vec<(u32, Score)> = files
            .iter()
            .filter_map(|&i| {
                let path = spans[i as usize].path.to_lowercase();
                let score = likeness(&path.split('/').collect::<Vec<_>>(), &wanted)?;
                Some((i, score))
            })
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.truncate(FILES_MAX);
        Ok(found)
    }
}

/// How well the components of a file's path agree with those of a query.
fn likeness(file: &[&str], wanted: &[String]) -> Option<Score> {
    let pairs = file.iter().rev().zip(wanted.iter().rev());
    let common = pairs.take_while(|(a, b)| *a == b).count();
    let score = match (common == wanted.len(), common == file.len()) {
        (true, true) => WHOLE,
        (true, false) if common > 1 => END,
        (true, false) => NAME,
        (false, true) if common > 1 => NAME,
        _ if common > 1 => COMMON_END,
        _ => return None,
    };
    Some(score - DEPTH_STEP * file.len().min(9) as Score)
}

/// A path in a query.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mention {
    /// With `/` between its components, and without a drive, a scheme or `./` before them.
    path: String,
    /// From 1.
    line: Option<u32>,
}

/// Whether a query has a path.
pub fn names_a_file(query: &str) -> bool {
    !mentions(query).is_empty()
}

/// The paths in a query, the nearest to the cause of an error first.
fn mentions(query: &str) -> Vec<Mention> {
    const AROUND: &[char] =
        &['"', '\'', '`', '(', ')', '[', ']', '<', '>', '{', '}', ',', ';', '='];
    let mut found: Vec<Mention> = Vec::new();
    // Whether the words since the last path may still name its line: `, line 12` or `(12`.
    let mut open = false;
    let tokens = query.split(|c: char| c.is_whitespace() || AROUND.contains(&c));
    for token in tokens.filter(|token| !token.is_empty()) {
        if let Some(mention) = mention(token) {
            open = mention.line.is_none();
            if !found.contains(&mention) {
                found.push(mention);
            }
        } else if open && !["line", "on", "at"].contains(&token) {
            open = false;
            if let (Ok(line), Some(last)) = (token.trim_end_matches(':').parse(), found.last_mut())
            {
                last.line = Some(line);
            }
        }
    }
    if query.contains("most recent call last") {
        found.reverse();
    }
    found.truncate(MENTIONS_MAX);
    found
}

/// Names of files without an extension.
const NAMES: [&str; 12] = [
    "Makefile",
    "Dockerfile",
    "Containerfile",
    "README",
    "LICENSE",
    "CHANGELOG",
    "CODEOWNERS",
    "Rakefile",
    "Gemfile",
    "Procfile",
    "Jenkinsfile",
    "Vagrantfile",
];

/// The path in one word; `None` if it cannot be one.
fn mention(token: &str) -> Option<Mention> {
    let token = token.rsplit_once("://").map_or(token, |(_, rest)| rest);
    let token = token.trim_end_matches(['.', ':', '?', '!']);
    let (mut path, mut line) = (token, None);
    if let Some((before, after)) = token.rsplit_once("#L") {
        let digits = after.split(|c: char| !c.is_ascii_digit()).next();
        (path, line) = (before, digits.and_then(|digits| digits.parse().ok()));
    }
    // The line, or the line and the column.
    for _ in 0..2 {
        if let Some((before, number)) = path.rsplit_once(':')
            && let Ok(number) = number.parse()
        {
            (path, line) = (before, Some(number));
        }
    }
    let path = path.replace('\\', "/");
    let path = path.split_once(":/").map_or(path.as_str(), |(_, rest)| rest);
    let parts: Vec<&str> = path.split('/').filter(|p| !matches!(*p, "" | "." | "..")).collect();
    let name = parts.last()?;
    let named = name.contains('.') || parts.len() > 1 || NAMES.contains(name);
    named.then(|| Mention { path: parts.join("/"), line })
}

impl Channel for PathChannel {
    fn name(&self) -> ChannelName {
        ChannelName::Path
    }

    fn stage(&self) -> Stage {
        Stage::Path
    }

    fn hits_attribute(&self) -> Attr {
        attrs::PATH
    }

    fn search(&self, asked: &ChannelSearch, _: Option<Encoded>) -> Result<Vec<Hit>> {
        let ChannelSearch { query, depth, scope, cx, .. } = asked;
        cx.stage(self.stage(), |s| {
            let hits = self.hits(&query.raw, *depth, scope.as_deref())?;
            s.set(attrs::CHANNEL_HITS, hits.len());
            Ok(hits)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_messages_frames_and_plain_text() {
        for (text, expected) in [
            ("src/net/pool.rs", "src/net/pool.rs"),
            ("where is pool.rs?", "pool.rs"),
            ("src/pool.rs:12", "src/pool.rs@12"),
            ("error: --> src/pool.rs:12:30", "src/pool.rs@12"),
            ("File \"app/views.py\", line 12, in get", "app/views.py@12"),
            ("at take (/srv/app/pool.js:12:3)", "srv/app/pool.js@12"),
            ("at take (file:///srv/pool.js:12:3)", "srv/pool.js@12"),
            ("at org.app.Pool.take(Pool.java:12)", "org.app.Pool.take Pool.java@12"),
            ("C:\\src\\pool.cs(12,3): error", "src/pool.cs@12"),
            ("./a/../pool.c:12: warning", "a/pool.c@12"),
            ("see pool.rs#L12-L20", "pool.rs@12"),
            ("the Makefile of it", "Makefile"),
            ("how is a lock taken", ""),
            ("12 of 13", ""),
        ] {
            let shown =
                |m: Mention| m.line.map_or(m.path.clone(), |line| format!("{}@{line}", m.path));
            let found: Vec<String> = mentions(text).into_iter().map(shown).collect();
            assert_eq!(found.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn the_frame_that_raised_comes_first() {
        let trace = "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n  \
                     File \"b.py\", line 2, in run\nValueError: no";
        let paths: Vec<String> = mentions(trace).into_iter().map(|m| m.path).collect();
        assert_eq!(paths, ["b.py", "a.py"]);
        let trace = "thread panicked\n  at b.rs:2\n  at a.rs:1";
        let paths: Vec<String> = mentions(trace).into_iter().map(|m| m.path).collect();
        assert_eq!(paths, ["b.rs", "a.rs"]);
    }

    #[test]
    fn a_file_is_liked_by_the_components_that_it_has_in_common() {
        let score = |file: &str, wanted: &str| {
            let wanted: Vec<String> = wanted.split('/').map(str::to_owned).collect();
            likeness(&file.split('/').collect::<Vec<_>>(), &wanted)
        };
        let file = "src/app/views.py";
        let order = ["src/app/views.py", "app/views.py", "views.py", "x/app/views.py"];
        let scores: Vec<Score> = order.iter().map(|wanted| score(file, wanted).unwrap()).collect();
        assert!(scores.is_sorted_by(|a, b| a > b), "{scores:?}");
        assert_eq!(score(file, "srv/src/app/views.py"), score(file, "views.py"));
        assert_eq!(score(file, "other/views.py"), None);
        assert!(score("views.py", "views.py") > score("src/views.py", "views.py"));
    }
}
