//! What does the reader get?

use super::fuse::{Contribution, Fused};
use super::gather::Gathered;
use super::query::{Channel, Query};
use crate::base::telemetry::RunReport;
use crate::index::catalog::ChunkRow;
use crate::index::versions::VersionManifest;
use crate::search::plan::gate::Plan;
use crate::search::plan::profile::QueryClass;

/// The answer to one query.
#[derive(Debug, Clone)]
pub struct Envelope {
    pub query: String,
    /// One factual sentence.
    pub answer: String,
    pub query_kind: QueryClass,
    /// The gate's decision.
    pub plan: Plan,
    pub channels_used: Vec<Channel>,
    /// Best first.
    pub findings: Vec<Finding>,
    /// What the answer lacks, and why.
    pub limits: Vec<String>,
    pub next_steps: Vec<String>,
    pub freshness: Freshness,
    /// What every stage did; it carries the run, session and trace ids.
    pub report: RunReport,
}

/// One chunk of the answer.
#[derive(Debug, Clone)]
pub struct Finding {
    pub kind: FindingKind,
    /// The line that defines what was asked for, else the definition the chunk begins or lies in,
    /// else its path.
    pub title: String,
    /// The line of the text, from 0, that says most of what was asked.
    pub focus: usize,
    pub row: ChunkRow,
    pub score: f64,
    pub why: Explanation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    Definition,
    Usage,
    Doc,
}

impl FindingKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Definition => "definition",
            Self::Usage => "usage",
            Self::Doc => "doc",
        }
    }
}

/// How a score came about: the sum of the contributions, times `path_prior`, is the score.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    pub contributions: Vec<Contribution>,
    pub rrf_k: usize,
    pub path_prior: f64,
}

impl Explanation {
    /// The score, from its parts.
    pub fn score(&self) -> f64 {
        self.contributions.iter().map(|c| c.score).sum::<f64>() * self.path_prior
    }
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, c) in self.contributions.iter().enumerate() {
            let plus = if i == 0 { "" } else { " + " };
            let (name, rank, raw) = (c.channel.as_str(), c.rank, c.raw_score);
            write!(f, "{plus}{name} #{rank} ({raw:.2}) {:.4}", c.score)?;
        }
        if self.path_prior != 1.0 {
            write!(f, ", path x{}", self.path_prior)?;
        }
        Ok(())
    }
}

/// How old the answer's index is.
#[derive(Debug, Clone, PartialEq)]
pub struct Freshness {
    pub version: String,
    /// RFC 3339, UTC.
    pub indexed_at: String,
}

pub(super) fn seal(
    query: &Query,
    plan: &Plan,
    gathered: &Gathered,
    ranked: Vec<(Fused, ChunkRow)>,
    manifest: &VersionManifest,
    report: RunReport,
) -> Envelope {
    let words = words(&query.text);
    let findings = ranked.into_iter().map(|(fused, row)| finding(fused, row, plan.rrf_k, &words));
    let findings: Vec<Finding> = findings.collect();
    let mut limits: Vec<String> = gathered.warnings.iter().map(|w| w.message.clone()).collect();
    if let Some(chunks) = gathered.scope_chunks.filter(|_| !query.scope.is_empty()) {
        limits.push(format!("the scope left {chunks} of {} chunks", manifest.live_chunks));
    }
    Envelope {
        query: query.text.clone(),
        answer: answer(&findings, manifest),
        query_kind: plan.profile.class,
        plan: plan.clone(),
        channels_used: gathered.rankings.iter().map(|(c, ..)| *c).collect(),
        next_steps: next_steps(&findings, query),
        findings,
        limits,
        freshness: Freshness {
            version: manifest.version.clone(),
            indexed_at: manifest.created_at.clone(),
        },
        report,
    }
}

/// The words of a query that can tell lines apart, in lower case.
fn words(query: &str) -> Vec<String> {
    let words = query.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| word.chars().count() > 2).map(str::to_lowercase).collect()
}

/// The first line that holds most of `words`.
fn focus(text: &str, words: &[String]) -> usize {
    let held = |line: &str| {
        let line = line.to_lowercase();
        words.iter().filter(|word| line.contains(word.as_str())).count()
    };
    let lines = text.lines().enumerate().map(|(i, line)| (held(line), std::cmp::Reverse(i)));
    lines.max().map_or(0, |(_, std::cmp::Reverse(line))| line)
}

fn finding(fused: Fused, row: ChunkRow, rrf_k: usize, words: &[String]) -> Finding {
    let focus = focus(&row.text, words);
    let named = fused.contributions.iter().any(|c| c.channel == Channel::Symbol);
    let kind = match row.language.as_str() {
        _ if named => FindingKind::Definition,
        "markdown" | "text" => FindingKind::Doc,
        _ => FindingKind::Usage,
    };
    let defining = row.text.lines().nth(focus).map(str::trim).filter(|line| {
        named && words.iter().any(|word| line.to_lowercase().contains(word.as_str()))
    });
    let title = match (defining, &row.signature, row.enclosing.is_empty()) {
        (Some(line), ..) => line.to_owned(),
        (None, Some(signature), _) => signature.clone(),
        (None, None, false) => row.enclosing.join(" > "),
        (None, None, true) => row.path.clone(),
    };
    let why =
        Explanation { contributions: fused.contributions, rrf_k, path_prior: fused.path_prior };
    Finding { kind, title, focus, row, score: fused.score, why }
}

fn answer(findings: &[Finding], manifest: &VersionManifest) -> String {
    match findings {
        [] => {
            format!("Nothing found in {} chunks of {} files.", manifest.live_chunks, manifest.files)
        }
        [best, ..] => {
            let paths: std::collections::HashSet<&str> =
                findings.iter().map(|f| f.row.path.as_str()).collect();
            let (n, files) = (findings.len(), paths.len());
            let plural = |n: usize| if n == 1 { "" } else { "s" };
            let row = &best.row;
            format!(
                "{n} result{} in {files} file{}; the best is {}:{}-{}.",
                plural(n),
                plural(files),
                row.path,
                row.start_line,
                row.end_line
            )
        }
    }
}

fn next_steps(findings: &[Finding], query: &Query) -> Vec<String> {
    let mut steps = Vec::new();
    if findings.is_empty() {
        if !query.scope.is_empty() {
            steps.push("search again without the scope".to_owned());
        }
        if query.channels.len() < Channel::ALL.len() {
            steps.push("search again with every channel".to_owned());
        }
        steps.push("use other words, or a name that occurs in the code".to_owned());
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_focus_is_the_first_line_that_says_most() {
        let text = "//! Locks.\n\nstruct Lock;\nfn take_lock() {}\nfn take() {}\n";
        assert_eq!(focus(text, &words("how do I take a lock?")), 3);
        assert_eq!(focus(text, &words("zzyzx")), 0);
        assert_eq!(focus("", &words("lock")), 0);
    }
}
