//! What does an answer look like as JSON? The only shapes that HTTP and `--json` print.
//!
//! docs/searching.md documents them; a field is never renamed or removed within a major version.

use serde::Serialize;

mod embeddings;
mod reports;
mod runs;
mod story;

pub use embeddings::{Embedding, EmbeddingList, Encoding};
pub use reports::{Check, IngestReport, Model, Status, Version};
use runs::steps;
pub use runs::{Report, RunStory, Span, Step, Trace};

use crate::base::error::Error;
use crate::search;

/// The answer to a search.
#[derive(Serialize)]
pub struct Envelope<'a> {
    answer: &'a str,
    query: &'a str,
    query_kind: &'static str,
    findings: Vec<Finding<'a>>,
    method: Method<'a>,
    limits: &'a [String],
    next_steps: &'a [String],
    freshness: Freshness<'a>,
    trace_id: &'a str,
    run_id: &'a str,
    session_id: Option<&'a str>,
    run_report: Report,
}

#[derive(Serialize)]
struct Finding<'a> {
    rank: usize,
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    location: Location<'a>,
    language: &'a str,
    snippet: &'a str,
    score: f64,
    why: Why<'a>,
    chunk_id: u32,
    symbols: &'a [String],
}

#[derive(Serialize)]
struct Location<'a> {
    path: &'a str,
    start_line: u32,
    end_line: u32,
    uri: String,
}

/// `score` is the sum of the contributions' scores, times `path_prior`.
#[derive(Serialize)]
struct Why<'a> {
    text: String,
    rrf_k: usize,
    path_prior: f64,
    contributions: Vec<Contribution<'a>>,
}

#[derive(Serialize)]
struct Contribution<'a> {
    channel: &'a str,
    rank: usize,
    raw_score: f32,
    weight: f64,
    score: f64,
}

#[derive(Serialize)]
struct Method<'a> {
    fusion: &'static str,
    rrf_k: usize,
    channels: Vec<ChannelUse<'a>>,
    stages: Vec<Step>,
}

#[derive(Serialize)]
struct ChannelUse<'a> {
    name: &'a str,
    depth: usize,
    weight: f64,
    answered: bool,
}

#[derive(Serialize)]
struct Freshness<'a> {
    version: &'a str,
    indexed_at: &'a str,
}

impl<'a> From<&'a search::Envelope> for Envelope<'a> {
    fn from(envelope: &'a search::Envelope) -> Self {
        let report = &envelope.report;
        let findings = envelope.findings.iter().enumerate();
        Self {
            answer: &envelope.answer,
            query: &envelope.query,
            query_kind: envelope.query_kind.as_str(),
            findings: findings.map(|(i, f)| Finding::new(i + 1, f)).collect(),
            method: Method {
                fusion: "weighted_rrf",
                rrf_k: envelope.plan.rrf_k,
                channels: channels(envelope),
                stages: steps(report),
            },
            limits: &envelope.limits,
            next_steps: &envelope.next_steps,
            freshness: Freshness {
                version: &envelope.freshness.version,
                indexed_at: &envelope.freshness.indexed_at,
            },
            trace_id: &report.trace_id,
            run_id: &report.run_id,
            session_id: report.session_id.as_deref(),
            run_report: Report::from(report),
        }
    }
}

fn channels(envelope: &search::Envelope) -> Vec<ChannelUse<'_>> {
    let planned = envelope.plan.channels.iter();
    planned
        .map(|&(channel, depth, weight)| ChannelUse {
            name: channel.as_str(),
            depth,
            weight,
            answered: envelope.channels_used.contains(&channel),
        })
        .collect()
}

impl<'a> Finding<'a> {
    fn new(rank: usize, finding: &'a search::Finding) -> Self {
        let row = &finding.row;
        let contributions = finding.why.contributions.iter().map(|c| Contribution {
            channel: c.channel.as_str(),
            rank: c.rank,
            raw_score: c.raw_score,
            weight: c.weight,
            score: c.score,
        });
        Self {
            rank,
            kind: finding.kind.as_str(),
            title: &finding.title,
            location: Location {
                path: &row.path,
                start_line: row.start_line,
                end_line: row.end_line,
                uri: format!("file://{}#L{}-L{}", row.path, row.start_line, row.end_line),
            },
            language: &row.language,
            snippet: &row.text,
            score: finding.score,
            why: Why {
                text: finding.why.to_string(),
                rrf_k: finding.why.rrf_k,
                path_prior: finding.why.path_prior,
                contributions: contributions.collect(),
            },
            chunk_id: row.id.0,
            symbols: &row.enclosing,
        }
    }
}

/// A failure, as RFC 9457 problem details.
#[derive(Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    pub status: u16,
    detail: String,
    code: &'static str,
}

impl Problem {
    pub fn of_status(code: &'static str, status: u16, detail: String) -> Self {
        Self { kind: format!("urn:codeintel:problem:{code}"), title: code, status, detail, code }
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let kind = error.kind();
        Self::of_status(kind.code(), kind.http_status(), error.to_string())
    }
}
