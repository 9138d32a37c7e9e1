//! What did one run do, in order, and where did it end?

use std::time::Duration;

use super::Stage;
use super::attrs::{Attr, AttrValue};
use crate::error::Warning;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    Run,
    Skip,
    Error,
}

impl StepStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Skip => "skip",
            Self::Error => "error",
        }
    }
}

/// One finished step.
#[derive(Debug, Clone)]
pub struct StepRecord {
    pub stage: Stage,
    pub status: StepStatus,
    /// Since the run began.
    pub started: Duration,
    pub duration: Duration,
    /// How deep the step is nested; the run's own step is 0.
    pub depth: u8,
    pub attrs: Vec<(Attr, AttrValue)>,
}

/// The story of one run. It needs no telemetry backend.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    pub session_id: Option<String>,
    pub run_id: String,
    pub tool: &'static str,
    /// In the order in which they began.
    pub steps: Vec<StepRecord>,
    pub warnings: Vec<Warning>,
    pub last_completed_stage: Option<Stage>,
    pub first_missing_stage: Option<Stage>,
    /// `completed`, `<stage>:<error kind>` or `not_reached:<stage>`.
    pub stopped_because: String,
}

impl RunReport {
    /// The version of the report's shape, written into every rendering of it.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The time that `stage` took, if it ran.
    pub fn duration_of(&self, stage: Stage) -> Option<Duration> {
        self.steps
            .iter()
            .find(|s| s.stage == stage && s.status == StepStatus::Run)
            .map(|s| s.duration)
    }
}
