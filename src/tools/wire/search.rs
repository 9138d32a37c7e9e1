//! The answer to a search.

use std::path::Path;

use serde::Serialize;
use url::Url;

use super::runs::{RunResult, RunStep, steps};
use crate::search::{Answer, ChannelName, Factor, Finding, Plan};

/// The answer to a search.
#[derive(Debug, Serialize)]
pub struct SearchAnswer {
    pub answer: String,
    pub query: String,
    pub query_kind: &'static str,
    /// Best first.
    pub findings: Vec<SearchFinding>,
    pub method: SearchMethod,
    pub limits: Vec<String>,
    pub next_steps: Vec<String>,
    pub freshness: IndexFreshness,
    pub trace_id: String,
    pub run_id: String,
    pub session_id: Option<String>,
    pub run_report: RunResult,
}

/// One chunk of the index.
#[derive(Debug, Serialize)]
pub struct SearchFinding {
    /// From 1.
    pub rank: usize,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub title: String,
    pub location: SnippetLocation,
    pub language: String,
    pub snippet: String,
    pub score: f64,
    pub why: ScoreExplanation,
    pub chunk_id: u32,
    pub symbols: Vec<String>,
    /// The line of the snippet, from 0, that matches the query best; for the terminal.
    #[serde(skip)]
    pub focus: usize,
}

#[derive(Debug, Serialize)]
pub struct SnippetLocation {
    pub path: String,
    pub start_line: u32,
    pub end_line: u32,
    /// Absent if the file is not on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// `score` is the sum of the contributions' scores times the product of the factors' values.
#[derive(Debug, Serialize)]
pub struct ScoreExplanation {
    pub text: String,
    pub rrf_k: usize,
    pub contributions: Vec<ScoreContribution>,
    pub factors: Vec<ScoreFactor>,
}

#[derive(Debug, Serialize)]
pub struct ScoreContribution {
    pub channel: &'static str,
    pub rank: usize,
    pub raw_score: f32,
    pub weight: f64,
    pub score: f64,
}

#[derive(Debug, Serialize)]
pub struct ScoreFactor {
    pub name: &'static str,
    pub value: f64,
}

#[derive(Debug, Serialize)]
pub struct SearchMethod {
    pub fusion: &'static str,
    pub rrf_k: usize,
    pub channels: Vec<ChannelUse>,
    pub stages: Vec<RunStep>,
}

#[derive(Debug, Serialize)]
pub struct ChannelUse {
    pub name: &'static str,
    pub depth: usize,
    pub weight: f64,
    pub answered: bool,
}

#[derive(Debug, Serialize)]
pub struct IndexFreshness {
    pub version: String,
    pub indexed_at: String,
}

impl From<Answer> for SearchAnswer {
    fn from(answer: Answer) -> Self {
        let report = &answer.report;
        let findings = answer.findings.into_iter().enumerate();
        Self {
            answer: answer.summary,
            query: answer.query,
            query_kind: answer.query_kind.as_str(),
            method: SearchMethod {
                fusion: "weighted_rrf",
                rrf_k: answer.plan.rrf_k,
                channels: channels(&answer.plan, &answer.channels_used),
                stages: steps(report),
            },
            limits: answer.limits,
            next_steps: answer.next_steps,
            freshness: IndexFreshness {
                version: answer.freshness.version,
                indexed_at: answer.freshness.indexed_at,
            },
            trace_id: report.trace_id.clone(),
            run_id: report.run_id.clone(),
            session_id: report.session_id.clone(),
            run_report: RunResult::from(report),
            findings: findings.map(|(i, finding)| SearchFinding::new(i + 1, finding)).collect(),
        }
    }
}

fn channels(plan: &Plan, answered: &[ChannelName]) -> Vec<ChannelUse> {
    plan.legs
        .iter()
        .map(|leg| ChannelUse {
            name: leg.channel.as_str(),
            depth: leg.depth,
            weight: leg.weight,
            answered: answered.contains(&leg.channel),
        })
        .collect()
}

/// A URI of lines of a file: `file:///a/b%20c.rs#L3-L9`.
fn uri(file: &Path, start_line: u32, end_line: u32) -> Option<String> {
    let mut uri = Url::from_file_path(file).ok()?;
    uri.set_fragment(Some(&format!("L{start_line}-L{end_line}")));
    Some(uri.into())
}

impl SearchFinding {
    fn new(rank: usize, finding: Finding) -> Self {
        let row = finding.row;
        let contributions = finding.why.contributions.iter().map(|c| ScoreContribution {
            channel: c.channel.as_str(),
            rank: c.rank,
            raw_score: c.raw_score,
            weight: c.weight,
            score: c.score,
        });
        let factors = finding.why.factors.iter();
        let factors = factors.map(|&Factor { name, value }| ScoreFactor { name, value });
        Self {
            rank,
            kind: finding.kind.as_str(),
            title: finding.title,
            location: SnippetLocation {
                uri: finding.file.and_then(|file| uri(&file, row.start_line, row.end_line)),
                path: row.path,
                start_line: row.start_line,
                end_line: row.end_line,
            },
            language: row.language,
            snippet: row.text,
            score: finding.score,
            why: ScoreExplanation {
                text: finding.why.to_string(),
                rrf_k: finding.why.rrf_k,
                contributions: contributions.collect(),
                factors: factors.collect(),
            },
            chunk_id: row.id.0,
            symbols: row.enclosing,
            focus: finding.focus,
        }
    }
}
