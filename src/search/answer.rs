//! The answer to a query: findings, explanations and limits.

use super::channels::ChannelName;
use super::confidence::Evidence;
use super::gather::Gathered;
use super::hydrate::Finding;
use super::plan::{Plan, QueryClass};
use super::query::Query;
use super::rerank::Reranked;
use crate::base::telemetry::RunReport;
use crate::index::versions::VersionManifest;

/// The answer to one query.
#[derive(Debug, Clone)]
pub struct Answer {
    pub query: String,
    /// One factual sentence.
    pub summary: String,
    pub query_kind: QueryClass,
    /// The gate's decision.
    pub plan: Plan,
    pub channels_used: Vec<ChannelName>,
    /// What was ranked once more; `None` if nothing was.
    pub reranked: Option<Reranked>,
    /// Best first.
    pub findings: Vec<Finding>,
    /// Chunks that any channel found, of which the best are the findings.
    pub total: usize,
    /// What speaks for the first result; `None` if nothing was found, or the query names channels, is
    /// reranked, or fuses ranks.
    pub evidence: Option<Evidence>,
    /// The parts that are missing from the answer, with reasons.
    pub limits: Vec<String>,
    pub next_steps: Vec<String>,
    pub freshness: Freshness,
    /// The report of every stage, with the run, session and trace ids.
    pub report: RunReport,
}

impl Answer {
    /// The probability that the first result is right; `None` without evidence.
    pub fn confidence(&self) -> Option<f64> {
        self.evidence.map(|evidence| evidence.confidence(self.query_kind))
    }
}

/// How old the index is.
#[derive(Debug, Clone, PartialEq)]
pub struct Freshness {
    pub version: String,
    /// RFC 3339, UTC.
    pub indexed_at: String,
}

/// The outputs of the stages of a search.
pub(super) struct AnswerParts {
    pub plan: Plan,
    pub gathered: Gathered,
    /// `None` if nothing was found, or the scores are not those that it is calibrated for.
    pub evidence: Option<Evidence>,
    /// Chunks in the scope of the query; `None` if the scope is unrestricted.
    pub scope_chunks: Option<usize>,
    pub reranked: Option<Reranked>,
    /// Best first.
    pub findings: Vec<Finding>,
    /// Chunks after fusion.
    pub total: usize,
}

impl Answer {
    pub(super) fn build(
        query: &Query,
        parts: AnswerParts,
        manifest: &VersionManifest,
        report: RunReport,
    ) -> Self {
        let AnswerParts { plan, gathered, evidence, scope_chunks, reranked, findings, total } =
            parts;
        let mut limits: Vec<String> = gathered.warnings.into_iter().map(|w| w.message).collect();
        if let Some(chunks) = scope_chunks {
            limits.push(format!("the scope left {chunks} of {} chunks", manifest.live_chunks));
        }
        Self {
            query: query.text.raw.clone(),
            summary: summary(&findings, manifest, scope_chunks),
            query_kind: plan.profile.class,
            plan,
            channels_used: gathered.rankings.iter().map(|ranking| ranking.channel).collect(),
            reranked,
            next_steps: next_steps(&findings, query),
            findings,
            total,
            evidence,
            limits,
            freshness: Freshness {
                version: manifest.version.clone(),
                indexed_at: manifest.created_at.clone(),
            },
            report,
        }
    }
}

fn summary(findings: &[Finding], manifest: &VersionManifest, scope: Option<usize>) -> String {
    let Some(best) = findings.first() else {
        let VersionManifest { live_chunks, files, .. } = manifest;
        return match scope {
            Some(chunks) => format!("Nothing found in {chunks} of {live_chunks} chunks."),
            None => format!("Nothing found in {live_chunks} chunks of {files} files."),
        };
    };
    let paths: std::collections::HashSet<&str> =
        findings.iter().map(|f| f.row.path.as_str()).collect();
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    format!(
        "{} result{} in {} file{}; the best is {}:{}-{}.",
        findings.len(),
        plural(findings.len()),
        paths.len(),
        plural(paths.len()),
        best.row.path,
        best.row.start_line,
        best.row.end_line
    )
}

fn next_steps(findings: &[Finding], query: &Query) -> Vec<String> {
    let mut steps = Vec::new();
    if findings.is_empty() {
        if query.names_channels {
            steps.push("search again with every channel".to_owned());
        }
        steps.push("use other words, or a name that occurs in the code".to_owned());
    }
    steps
}
