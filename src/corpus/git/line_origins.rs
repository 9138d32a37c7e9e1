//! LineOrigins: the commit that each line of a committed file comes from.
//!
//! The algorithm is that of git: lines are blamed on the newest commit, which passes those that a
//! parent has on to that parent, until a commit passes some on to no parent. Lines travel with the
//! name that the file has in each commit, so that renames and merges mix.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use gix::bstr::BString;
use gix::diff::blob::Algorithm;

use super::Commit;
use super::line_diff::{Unchanged, unchanged};
use super::newest_first::NewestFirst;
use super::versions::{Before, Version, VersionKey, Versions};
use crate::base::error::Result;
use crate::corpus::time_limit::TimeLimit;

/// A version of a file in which lines were written.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub commit: Arc<Commit>,
    /// The name of the file in that commit, from the top of the working tree.
    pub path: BString,
    /// The oldest commit that a shallow clone has: the lines may be older.
    pub is_boundary: bool,
}

/// Where one line comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineOrigin {
    /// Position in [`LineOrigins::origins`].
    pub origin: u32,
    /// The line in that version, counted from 0.
    pub line: u32,
}

/// The origins of those lines of a file that were asked for so far.
#[derive(Debug, Clone, Default)]
pub(super) struct LineOrigins {
    pub origins: Vec<Origin>,
    /// By line, counted from 0.
    pub lines: Vec<Option<LineOrigin>>,
}

/// Lines of the blamed file that are somewhere in a suspect's version of it.
#[derive(Debug, Clone, Copy)]
struct Hunk {
    blamed: u32,
    source: u32,
    len: u32,
}

/// A version of the file that may be the origin of its hunks.
struct Suspect {
    version: Version,
    hunks: Vec<Hunk>,
}

struct Walk<'a, 'b> {
    versions: &'a mut Versions<'b>,
    algorithm: Algorithm,
    suspects: HashMap<VersionKey, Suspect>,
    queue: NewestFirst,
}

impl LineOrigins {
    pub fn new(lines: u32) -> Self {
        Self { origins: Vec::new(), lines: vec![None; lines as usize] }
    }

    /// Finds the origins of the lines `wanted` of the version `head`. What is not found when the
    /// time is over stays `None`.
    pub fn find(
        &mut self,
        versions: &mut Versions<'_>,
        head: Version,
        wanted: &[Range<u32>],
        algorithm: Algorithm,
        limit: &TimeLimit<'_>,
    ) -> Result<()> {
        let (suspects, queue) = (HashMap::new(), NewestFirst::default());
        let mut walk = Walk { versions, algorithm, suspects, queue };
        let hunk = |lines: &Range<u32>| {
            let len = lines.end - lines.start;
            Hunk { blamed: lines.start, source: lines.start, len }
        };
        walk.pass(head, wanted.iter().map(hunk).collect());
        while let Some(key) = walk.queue.pop() {
            if limit.is_over()? {
                break;
            }
            let suspect = walk.suspects.remove(&key).expect("a queued version is a suspect");
            let kept = walk.pass_on(&suspect.version, suspect.hunks)?;
            // Without time, renames are not looked for, so the lines may be older.
            if !kept.is_empty() && !limit.is_over()? {
                self.keep(walk.origin(&suspect.version)?, &kept);
            }
        }
        Ok(())
    }

    fn keep(&mut self, origin: Origin, hunks: &[Hunk]) {
        let number = self.origins.len() as u32;
        self.origins.push(origin);
        for hunk in hunks {
            for offset in 0..hunk.len {
                let line = LineOrigin { origin: number, line: hunk.source + offset };
                self.lines[(hunk.blamed + offset) as usize] = Some(line);
            }
        }
    }
}

impl Walk<'_, '_> {
    /// Blames `hunks` on a version.
    fn pass(&mut self, version: Version, hunks: Vec<Hunk>) {
        let key = version.key();
        match self.suspects.entry(key) {
            Entry::Occupied(mut known) => known.get_mut().hunks.extend(hunks),
            Entry::Vacant(place) => {
                self.queue.push(version.node.time_s, key);
                place.insert(Suspect { version, hunks });
            }
        }
    }

    /// Passes the hunks that a parent has on to it. Returns those that no parent has.
    fn pass_on(&mut self, version: &Version, mut hunks: Vec<Hunk>) -> Result<Vec<Hunk>> {
        let mut before = match self.versions.before(version)? {
            Before::Same(parent) => {
                self.pass(parent, hunks);
                return Ok(Vec::new());
            }
            Before::Different(parents) => parents,
        };
        let blob = version.located.blob;
        if let Some(moved) = before.iter().position(|parent| parent.located.blob == blob) {
            self.pass(before.swap_remove(moved), hunks);
            return Ok(Vec::new());
        }
        if before.is_empty() {
            return Ok(hunks);
        }
        let text = self.versions.objects.blob(blob)?;
        for parent in before {
            if hunks.is_empty() {
                break;
            }
            let earlier = self.versions.objects.blob(parent.located.blob)?;
            let common = unchanged(&earlier, &text, self.algorithm);
            let (passed, kept) = split(&hunks, &common);
            hunks = kept;
            if !passed.is_empty() {
                self.pass(parent, passed);
            }
        }
        Ok(hunks)
    }

    fn origin(&self, version: &Version) -> Result<Origin> {
        Ok(Origin {
            commit: Arc::new(self.versions.objects.describe(version.node.id)?),
            path: self.versions.name(version).to_owned(),
            is_boundary: version.node.is_boundary,
        })
    }
}

/// Splits hunks into the parts that the parent has, at their lines there, and the others.
fn split(hunks: &[Hunk], common: &[Unchanged]) -> (Vec<Hunk>, Vec<Hunk>) {
    let (mut passed, mut kept) = (Vec::new(), Vec::new());
    for hunk in hunks {
        let end = hunk.source + hunk.len;
        let part = |start: u32, end: u32, source: u32| Hunk {
            blamed: hunk.blamed + (start - hunk.source),
            source,
            len: end - start,
        };
        let mut at = hunk.source;
        let first = common.partition_point(|run| run.after + run.len <= at);
        for run in common[first..].iter().take_while(|run| run.after < end) {
            let (from, to) = (run.after.max(at), (run.after + run.len).min(end));
            if from > at {
                kept.push(part(at, from, at));
            }
            passed.push(part(from, to, run.before + (from - run.after)));
            at = to;
        }
        if at < end {
            kept.push(part(at, end, at));
        }
    }
    (passed, kept)
}
