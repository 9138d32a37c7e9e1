//! What does an answer look like as JSON, over HTTP and with `--json`?
//!
//! docs/searching.md documents them; a field is never renamed or removed within a major version. A
//! pipeline owns its own JSON, such as lines of vectors or the figures of a bench.

mod markdown;
mod problem;
mod readiness;
mod reports;
mod runs;
mod search;
mod tool;

pub use problem::Problem;
pub use readiness::{
    EngineProbe, EngineState, IndexProbe, IndexState, MemoryBytes, Probes, Readiness, WaitingWork,
};
pub use reports::{
    DoctorCheck, IngestAnswer, LanguageCount, ModelAnswer, StatusAnswer, VersionAnswer,
};
pub use runs::{Budgets, Note, RunRecord, RunResult, RunStep, SpanRecord, TraceAnswer};
pub use search::{
    ChannelUse, IndexFreshness, RerankUse, ScoreContribution, ScoreExplanation, SearchAnswer,
    SearchFinding, SearchMethod, SnippetLocation, snippet,
};
pub use tool::ToolDescription;
