//! The tool fetch: the text of results, packed into a number of tokens.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::deep_search::ObjectMetadata;
use super::object_id::ObjectId;
use super::open_file;
use super::{App, FileLink, ToolAnswer, ToolSpec, estimated_tokens};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::search::Searcher;

pub const SPEC: ToolSpec = ToolSpec {
    name: "fetch",
    title: "Read search results",
    description: "Read the code behind ids that search returned, best first. What fits into max_tokens is \
                  returned whole; the rest as its definitions only, or as its place.",
    label: Tool::Fetch,
    ..ToolSpec::READS_INDEX
};

/// The most ids of one call.
const IDS_MAX: usize = 50;
/// Damps the difference between ranks, as `rrf_k` does in rank fusion.
const RANK_DAMPING: f64 = 60.0;

fn default_max_tokens() -> usize {
    4000
}

/// The arguments of fetch.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FetchInput {
    /// Ids that search returned, best first.
    #[schemars(length(min = 1, max = 50))]
    pub ids: Vec<String>,
    /// Tokens of all contents together, four bytes each.
    #[serde(default = "default_max_tokens")]
    #[schemars(range(min = 256, max = 16000))]
    pub max_tokens: usize,
    #[serde(default)]
    pub resolve: Resolve,
}

/// How much of each object is returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resolve {
    /// The lines themselves.
    #[default]
    Full,
    /// The definitions in them.
    Summary,
    /// Only where they are.
    MetadataOnly,
}

/// The answer of fetch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FetchAnswer {
    /// In the order of the ids.
    pub objects: Vec<FetchedObject>,
    pub limits: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct FetchedObject {
    pub id: String,
    pub title: String,
    /// A `file:` URI; empty if the file is not on this machine.
    pub url: String,
    pub content: String,
    /// What the content is.
    pub resolved: Resolve,
    pub metadata: ObjectMetadata,
}

impl ToolAnswer for FetchAnswer {
    fn text(&self) -> String {
        let mut text = String::new();
        for object in &self.objects {
            let as_what = match object.resolved {
                Resolve::Full => "",
                Resolve::Summary => "  (definitions only)",
                Resolve::MetadataOnly => "  (not shown)",
            };
            text += &format!("== {}{as_what}\n{}\n", object.id, object.content.trim_end());
        }
        self.limits.iter().for_each(|limit| text += &format!("note: {limit}\n"));
        text
    }

    fn links(&self) -> Vec<FileLink> {
        let with_url = self.objects.iter().filter(|object| !object.url.is_empty());
        let link =
            |o: &FetchedObject| FileLink { uri: o.url.clone(), path: o.metadata.path.clone() };
        with_url.map(link).collect()
    }
}

/// An object in its three forms.
struct Candidate {
    id: ObjectId,
    full: String,
    summary: String,
    url: String,
    metadata: ObjectMetadata,
}

pub(super) fn run(
    app: &App,
    input: FetchInput,
    cx: &RunContext,
) -> Result<FetchAnswer, Arc<Error>> {
    super::within("ids", input.ids.len(), 1..=IDS_MAX)?;
    let max_tokens = super::within("max_tokens", input.max_tokens, 256..=16_000)?;
    let searcher = app.searcher()?;
    let mut limits = Vec::new();
    let mut candidates = Vec::with_capacity(input.ids.len());
    for id in &input.ids {
        cx.check_wanted("fetch")?;
        candidates.push(Candidate::open(&searcher, id.parse()?, &mut limits)?);
    }
    let resolved = pack(&candidates, input.resolve, max_tokens);
    let cut = resolved.iter().filter(|resolved| **resolved != input.resolve).count();
    if cut > 0 {
        limits.push(format!(
            "{cut} of {} objects were shortened to stay within {max_tokens} tokens; fetch them alone, \
             or raise max_tokens",
            candidates.len()
        ));
    }
    let objects = candidates.into_iter().zip(resolved).map(|(candidate, resolved)| FetchedObject {
        title: candidate.metadata.symbols.last().unwrap_or(&candidate.id.path).clone(),
        id: candidate.id.to_string(),
        url: candidate.url,
        content: match resolved {
            Resolve::Full => candidate.full,
            Resolve::Summary => candidate.summary,
            Resolve::MetadataOnly => String::new(),
        },
        resolved,
        metadata: candidate.metadata,
    });
    Ok(FetchAnswer { objects: objects.collect(), limits })
}

impl Candidate {
    fn open(searcher: &Searcher, id: ObjectId, limits: &mut Vec<String>) -> Result<Self> {
        let file = open_file::open(searcher, &id.path)?;
        if !file.is_indexed_state {
            limits.push(format!(
                "{} has changed since it was indexed; lines may have moved",
                id.path
            ));
        }
        let (start, end) = (id.start_line as usize, id.end_line as usize);
        let lines = file.text.lines().take(end).skip(start - 1);
        let full: String = lines.map(|line| format!("{line}\n")).collect();
        let symbols = searcher.catalog().symbols_in(&file.row.path)?;
        let within = symbols
            .iter()
            .filter(|symbol| !symbol.kind.is_member())
            .filter(|symbol| symbol.start_line <= id.end_line && symbol.end_line >= id.start_line);
        let within: Vec<_> = within.collect();
        let signature = |symbol: &&crate::index::catalog::SymbolRow| {
            format!("{}-{}  {}\n", symbol.start_line, symbol.end_line, symbol.signature)
        };
        Ok(Self {
            full,
            summary: within.iter().map(signature).collect(),
            url: file.uri.map(|uri| format!("{uri}#L{start}-L{end}")).unwrap_or_default(),
            metadata: ObjectMetadata {
                path: file.row.path,
                start_line: id.start_line,
                end_line: id.end_line,
                language: file.row.language,
                symbols: within.iter().map(|symbol| symbol.qualified.clone()).collect(),
            },
            id,
        })
    }
}

/// The form of each candidate such that the contents fit: full bodies go to those with most rank for
/// each token, then definitions to the others in the order of their ranks.
fn pack(candidates: &[Candidate], wanted: Resolve, max_tokens: usize) -> Vec<Resolve> {
    let mut resolved = vec![Resolve::MetadataOnly; candidates.len()];
    let mut left = max_tokens;
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    if wanted == Resolve::Full {
        let density = |i: usize| {
            1.0 / (RANK_DAMPING + i as f64) / estimated_tokens(&candidates[i].full).max(1) as f64
        };
        order.sort_by(|&a, &b| density(b).total_cmp(&density(a)));
        for &i in &order {
            let cost = estimated_tokens(&candidates[i].full);
            if cost <= left {
                left -= cost;
                resolved[i] = Resolve::Full;
            }
        }
    }
    if wanted != Resolve::MetadataOnly {
        for (i, candidate) in candidates.iter().enumerate() {
            let cost = estimated_tokens(&candidate.summary);
            if resolved[i] == Resolve::MetadataOnly && cost <= left && !candidate.summary.is_empty()
            {
                left -= cost;
                resolved[i] = Resolve::Summary;
            }
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(full: usize, summary: usize) -> Candidate {
        let metadata = ObjectMetadata {
            path: "a".to_owned(),
            start_line: 1,
            end_line: 1,
            language: "rust".to_owned(),
            symbols: Vec::new(),
        };
        Candidate {
            id: ObjectId { path: "a".to_owned(), start_line: 1, end_line: 1 },
            full: "x".repeat(full * super::super::BYTES_PER_TOKEN),
            summary: "x".repeat(summary * super::super::BYTES_PER_TOKEN),
            url: String::new(),
            metadata,
        }
    }

    #[test]
    fn bodies_are_packed_by_rank_for_each_token_and_the_rest_as_definitions() {
        use Resolve::{Full, MetadataOnly, Summary};
        let all = [candidate(900, 10), candidate(50, 10), candidate(60, 10), candidate(880, 0)];
        assert_eq!(pack(&all, Full, 4000), [Full; 4]);
        assert_eq!(pack(&all, Full, 1000), [Summary, Full, Full, Full]);
        assert_eq!(pack(&all, Full, 300), [Summary, Full, Full, MetadataOnly]);
        assert_eq!(pack(&all, Summary, 15), [Summary, MetadataOnly, MetadataOnly, MetadataOnly]);
        assert_eq!(pack(&all, MetadataOnly, 4000), [MetadataOnly; 4]);
    }
}
