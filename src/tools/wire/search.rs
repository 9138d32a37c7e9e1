//! The answer to a search.

use schemars::JsonSchema;
use serde::Serialize;

use super::runs::{RunResult, RunStep, steps};
use crate::base::text::prefix;
use crate::search::{Answer, ChannelName, Factor, Finding, Plan};
use crate::tools::changes;
use crate::tools::resources::file_uri;
use crate::tools::{FileLink, JsonObject, ToolAnswer, estimated_tokens};

/// The answer to a search.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SearchAnswer {
    pub answer: String,
    pub query: String,
    pub query_kind: &'static str,
    /// Best first.
    pub findings: Vec<SearchFinding>,
    /// The probability that the first finding is right; absent where it is not calibrated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Chunks that any channel found, of which the best are the findings.
    #[serde(skip)]
    pub total: usize,
    #[schemars(with = "JsonObject")]
    pub method: SearchMethod,
    pub limits: Vec<String>,
    pub next_steps: Vec<String>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    pub freshness: IndexFreshness,
    pub trace_id: String,
    pub run_id: String,
    pub session_id: Option<String>,
    #[schemars(with = "JsonObject")]
    pub run_report: RunResult,
}

/// One chunk of the index.
#[derive(Debug, Serialize, JsonSchema)]
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
    #[schemars(with = "JsonObject")]
    pub why: ScoreExplanation,
    pub chunk_id: u32,
    pub symbols: Vec<String>,
    /// Other places with the same text, `path:line`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_in: Vec<String>,
    /// The line of the snippet, from 0, that matches the query best; for the terminal.
    #[serde(skip)]
    pub focus: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
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
    /// Absent unless ranks are fused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rrf_k: Option<usize>,
    pub channels: Vec<ChannelUse>,
    /// Absent if nothing was ranked once more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank: Option<RerankUse>,
    pub stages: Vec<RunStep>,
}

#[derive(Debug, Serialize)]
pub struct RerankUse {
    pub method: &'static str,
    /// The ids of the chunks that the method was to see, in the order before it.
    pub candidates: Vec<u32>,
    /// How many of them, from the first on, it saw within its budget.
    pub scored: usize,
}

#[derive(Debug, Serialize)]
pub struct ChannelUse {
    pub name: &'static str,
    pub depth: usize,
    pub weight: f64,
    pub answered: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct IndexFreshness {
    pub version: String,
    pub indexed_at: String,
    /// Files on disk that differ from this version; null if that is not known.
    pub dirty_files: Option<usize>,
}

impl From<Answer> for SearchAnswer {
    fn from(answer: Answer) -> Self {
        let report = &answer.report;
        let confidence = answer.confidence().map(|p| (100.0 * p).round() / 100.0);
        let findings = answer.findings.into_iter().enumerate();
        Self {
            confidence,
            answer: answer.summary,
            total: answer.total,
            query: answer.query,
            query_kind: answer.query_kind.as_str(),
            method: SearchMethod {
                fusion: answer.plan.fusion.as_str(),
                rrf_k: answer.plan.fusion.rrf_k(),
                channels: channels(&answer.plan, &answer.channels_used),
                rerank: answer.reranked.map(|reranked| RerankUse {
                    method: reranked.method.as_str(),
                    candidates: reranked.candidates.iter().map(|id| id.0).collect(),
                    scored: reranked.scored,
                }),
                stages: steps(report),
            },
            limits: answer.limits,
            next_steps: answer.next_steps,
            next_cursor: None,
            freshness: IndexFreshness {
                version: answer.freshness.version,
                indexed_at: answer.freshness.indexed_at,
                dirty_files: None,
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

/// Bounds of a snippet in bytes. A chunk of code is shorter; one of data may not be.
const SNIPPET_BYTES_MAX: usize = 16 << 10;
const SNIPPET_LINE_BYTES_MAX: usize = 1 << 10;
/// Ends a line or a snippet that was cut.
const CUT: &str = " …[cut]";

/// Of more than two blank lines in a row the first two, as between the cells of a notebook.
fn without_blank_runs(text: &str) -> String {
    let mut blanks = 0;
    let mut is_shown = |line: &&str| {
        blanks = if line.trim().is_empty() { blanks + 1 } else { 0 };
        blanks <= 2
    };
    text.split_inclusive('\n').filter(|line| is_shown(line)).collect()
}

/// A snippet within its bounds. The number of its lines stays the same unless its end is cut off.
pub fn snippet(text: String) -> String {
    if text.len() <= SNIPPET_LINE_BYTES_MAX {
        return text;
    }
    let mut snippet = String::with_capacity(text.len().min(SNIPPET_BYTES_MAX));
    for line in text.split_inclusive('\n') {
        let head = prefix(line, SNIPPET_LINE_BYTES_MAX);
        if snippet.len() + head.len() > SNIPPET_BYTES_MAX {
            snippet += CUT;
            break;
        }
        snippet += head;
        if head.len() < line.len() {
            snippet += CUT;
            snippet += if line.ends_with('\n') { "\n" } else { "" };
        }
    }
    snippet
}

impl SearchAnswer {
    /// Says how many files differ from the index.
    pub fn with_changes(mut self, files: Option<usize>) -> Self {
        self.freshness.dirty_files = files;
        if let Some(note) = changes::changed_note(files) {
            self.limits.push(note);
            self.next_steps.push(changes::UPDATE.to_owned());
        }
        self
    }

    /// Keeps the findings after the first `offset`, and of these as many as have `tokens_max` tokens;
    /// the first of them always stays.
    pub fn keep(&mut self, offset: usize, tokens_max: Option<usize>) {
        let found = self.findings.len();
        self.findings.drain(..offset.min(found));
        self.keep_tokens(tokens_max.unwrap_or(usize::MAX));
        if self.findings.len() < found {
            let last = offset + self.findings.len();
            self.answer = match self.findings.first() {
                Some(first) => format!("Results {} to {last} of the search.", first.rank),
                None => "There are no more results.".to_owned(),
            };
        }
    }

    fn keep_tokens(&mut self, tokens_max: usize) {
        let mut tokens = 0usize;
        let fits = |finding: &&SearchFinding| {
            tokens += estimated_tokens(&finding.snippet);
            tokens <= tokens_max
        };
        let fitting = self.findings.iter().take_while(fits).count();
        self.findings.truncate(fitting.max(1));
    }
}

impl ToolAnswer for SearchAnswer {
    fn text(&self) -> String {
        let mut text = self.answer.clone();
        if let Some(confidence) = self.confidence {
            text += &format!(" Confidence {confidence}.");
        }
        text += "\n";
        for SearchFinding { rank, location, title, snippet, also_in, .. } in &self.findings {
            let SnippetLocation { path, start_line, end_line, .. } = location;
            let title = if title == path { "" } else { title.lines().next().unwrap_or_default() };
            text += &format!("\n{rank}. {path}:{start_line}-{end_line}  {title}\n");
            text += without_blank_runs(snippet.trim_end()).trim_start_matches('\n');
            text += "\n";
            if !also_in.is_empty() {
                text += &format!("also in {}\n", also_in.join(", "));
            }
        }
        self.limits.iter().for_each(|limit| text += &format!("note: {limit}\n"));
        self.next_steps.iter().for_each(|step| text += &format!("next: {step}\n"));
        if let Some(cursor) = &self.next_cursor {
            text += &format!("more: cursor {cursor}\n");
        }
        text
    }

    fn links(&self) -> Vec<FileLink> {
        let link = |finding: &SearchFinding| {
            let SnippetLocation { path, uri, .. } = &finding.location;
            Some(FileLink { uri: uri.clone()?, path: path.clone() })
        };
        self.findings.iter().filter_map(link).collect()
    }
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
                uri: finding
                    .file
                    .and_then(|file| file_uri(&file, Some((row.start_line, row.end_line)))),
                path: row.path,
                start_line: row.start_line,
                end_line: row.end_line,
            },
            language: row.language,
            snippet: snippet(row.text),
            score: finding.score,
            why: ScoreExplanation {
                text: finding.why.to_string(),
                contributions: contributions.collect(),
                factors: factors.collect(),
            },
            chunk_id: row.id.0,
            symbols: row.enclosing,
            also_in: finding
                .copies
                .iter()
                .map(|copy| format!("{}:{}", copy.path, copy.start_line))
                .collect(),
            focus: finding.focus,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_blank_lines_in_a_row_are_kept() {
        assert_eq!(without_blank_runs("a\n\n\nb\n"), "a\n\n\nb\n");
        assert_eq!(without_blank_runs("\n\n\n\na\n \n\n\n\nb"), "\n\na\n \n\nb");
    }
}
