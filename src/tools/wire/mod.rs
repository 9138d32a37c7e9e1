//! What does an answer look like as JSON? The shapes that HTTP and `--json` print.
//!
//! docs/searching.md documents them; a field is never renamed or removed within a major version.
//! The JSON of a pipeline (lines of vectors, the figures of a bench) is that pipeline's.

mod markdown;
mod readiness;
mod reports;
mod runs;
mod search;

pub use readiness::{
    EngineProbe, EngineState, IndexProbe, IndexState, MemoryBytes, Probes, Readiness, WaitingWork,
};
pub use reports::{
    DoctorCheck, IngestAnswer, LanguageCount, ModelAnswer, StatusAnswer, VersionAnswer,
};
pub use runs::{Budgets, Note, RunRecord, RunResult, RunStep, SpanRecord, TraceAnswer};
pub use search::{
    ChannelUse, IndexFreshness, ScoreContribution, ScoreExplanation, SearchAnswer, SearchFinding,
    SearchMethod, SnippetLocation,
};
