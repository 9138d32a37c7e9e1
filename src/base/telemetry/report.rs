//! The report of one run: its steps in order, where it stopped, and hints.

use std::time::Duration;

use super::attrs::{self, Attr, AttrValue};
use super::labels::Tool;
use super::stage::Stage;
use crate::base::error::{Error, Warning};
use crate::base::text;

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
    /// Time since the run began.
    pub started: Duration,
    pub duration: Duration,
    /// Depth of nesting; the outermost step has 0.
    pub depth: u8,
    pub attrs: Vec<(Attr, AttrValue)>,
}

impl StepRecord {
    /// The value of `attr`, if the step has it.
    pub fn get(&self, attr: Attr) -> Option<&AttrValue> {
        self.attrs.iter().find(|(key, _)| *key == attr).map(|(_, value)| value)
    }

    fn int(&self, attr: Attr) -> Option<i64> {
        match self.get(attr) {
            Some(AttrValue::Int(value)) => Some(*value),
            _ => None,
        }
    }
}

/// The report of one run. It needs no telemetry backend.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    pub session_id: Option<String>,
    pub run_id: String,
    /// None for a request that was refused before a tool ran.
    pub tool: Option<Tool>,
    /// Time since the run began.
    pub elapsed: Duration,
    /// Time limit of the whole run, if it had one.
    pub budget: Option<Duration>,
    /// GPUs of this machine.
    pub gpus: usize,
    /// In the order in which they began.
    pub steps: Vec<StepRecord>,
    pub warnings: Vec<Warning>,
    /// The last planned stage that completed.
    pub last_completed_stage: Option<Stage>,
    pub first_missing_stage: Option<Stage>,
    /// `completed`, `<stage>:<error kind>` or `not_reached:<stage>`.
    pub stopped_because: String,
    /// The error with which the run ended.
    pub error: Option<RunError>,
    /// What the answer cost a model, if it points to files.
    pub savings: Option<Savings>,
}

/// The size of an answer beside that of the files that it points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Savings {
    pub tokens_returned: usize,
    /// Those of the whole files.
    pub tokens_of_files: usize,
    pub files: usize,
}

/// Maximum length of the message of a [`RunError`], in bytes: it may name a value of the caller.
const MESSAGE_BYTES_MAX: usize = 1024;

/// The error with which a run or a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    /// As listed in docs/operations.md.
    pub code: &'static str,
    pub message: String,
}

impl RunError {
    pub fn new(code: &'static str, message: &str) -> Self {
        Self { code, message: text::prefix(message, MESSAGE_BYTES_MAX).to_owned() }
    }
}

impl From<&Error> for RunError {
    fn from(error: &Error) -> Self {
        Self::new(error.kind().code(), &error.to_string())
    }
}

/// Advice on how a run could go better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    pub code: &'static str,
    pub message: String,
}

impl RunReport {
    /// The name of the tool, `http` for a request that was refused before a tool ran.
    pub fn tool_name(&self) -> &'static str {
        self.tool.map_or("http", Tool::as_str)
    }

    /// Version of the report's schema, written into every rendering.
    pub const SCHEMA_VERSION: u32 = 2;

    /// Duration of `stage`, if it ran.
    pub fn duration_of(&self, stage: Stage) -> Option<Duration> {
        self.steps
            .iter()
            .find(|s| s.stage == stage && s.status == StepStatus::Run)
            .map(|s| s.duration)
    }

    fn step(&self, stage: Stage) -> Option<&StepRecord> {
        self.steps.iter().find(|s| s.stage == stage)
    }

    /// The decisions of the gate; empty for a run without one.
    pub fn decision(&self) -> &[(Attr, AttrValue)] {
        self.step(Stage::Gate).map_or(&[], |gate| &gate.attrs)
    }

    /// Deadline of the run, or else of its channels, in milliseconds.
    pub fn deadline_ms(&self) -> Option<i64> {
        let channels = || self.step(Stage::Gather)?.int(attrs::DEADLINE_MS);
        self.budget.map(|budget| budget.as_millis() as i64).or_else(channels)
    }

    /// Advice that applies to this run.
    pub fn hints(&self) -> Vec<Hint> {
        let detectors = [hydrate_gap, sparse_disabled, small_batches, idle_gpu, budget_exceeded];
        detectors.iter().filter_map(|detect| detect(self)).collect()
    }
}

fn hint(code: &'static str, message: String) -> Option<Hint> {
    Some(Hint { code, message })
}

fn hydrate_gap(report: &RunReport) -> Option<Hint> {
    let asked = report.step(Stage::Hydrate)?.int(attrs::HYDRATE_ASKED)?;
    let rows = report.step(Stage::DuckdbHydrate)?.int(attrs::DUCKDB_ROWS)?;
    (rows < asked).then_some(())?;
    hint(
        "hydrate-gap",
        format!(
            "the catalog has only {rows} of {asked} rows; check the index with `codeintel status --verify`"
        ),
    )
}

fn sparse_disabled(report: &RunReport) -> Option<Hint> {
    let search = report.step(Stage::Search)?;
    let Some(AttrValue::List(used)) = search.get(attrs::CHANNELS_USED) else { return None };
    (!used.iter().any(|channel| channel == "lexical")).then_some(())?;
    hint(
        "sparse-disabled",
        "the lexical channel (BM25) was not used; it finds names and rare words better".to_owned(),
    )
}

fn small_batches(report: &RunReport) -> Option<Hint> {
    let small = |step: &&StepRecord| {
        step.stage == Stage::Embed && step.int(attrs::VLLM_BATCH_SIZE).is_some_and(|size| size < 4)
    };
    let steps = report.steps.iter().filter(small).count();
    (steps > 1).then_some(())?;
    hint(
        "small-batches",
        format!(
            "{steps} embedding requests had fewer than 4 texts; larger requests use the device better"
        ),
    )
}

fn idle_gpu(report: &RunReport) -> Option<Hint> {
    let on_cpu = report.step(Stage::Dense)?.get(attrs::FAISS_GPU) == Some(&AttrValue::Bool(false));
    (on_cpu && report.gpus > 0).then_some(())?;
    hint(
        "gpu-idle",
        format!(
            "vectors were searched on the CPU although this machine has {} GPU{}",
            report.gpus,
            if report.gpus == 1 { "" } else { "s" }
        ),
    )
}

fn budget_exceeded(report: &RunReport) -> Option<Hint> {
    let late = report.warnings.iter().any(|warning| warning.code == "channel-late");
    let over = report.budget.is_some_and(|budget| report.elapsed > budget);
    (late || over).then_some(())?;
    let budget_ms = report.deadline_ms()?;
    hint(
        "budget-exceeded",
        format!(
            "the deadline of {budget_ms} ms was missed; allow the run more time, or find the slow stage in the report"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::telemetry::{RunContext, Telemetry};

    fn step(stage: Stage, attrs: Vec<(Attr, AttrValue)>) -> StepRecord {
        let (started, duration) = (Duration::ZERO, Duration::from_millis(1));
        StepRecord { stage, status: StepStatus::Run, started, duration, depth: 0, attrs }
    }

    fn codes(change: impl FnOnce(&mut RunReport)) -> Vec<&'static str> {
        let mut report = RunContext::new(&Telemetry::detached(), Tool::Search, &[]).report();
        change(&mut report);
        report.hints().into_iter().map(|hint| hint.code).collect()
    }

    #[test]
    fn each_detector_sees_what_it_looks_for() {
        assert_eq!(codes(|_| {}), [""; 0]);
        let hydrate = |asked: usize, rows: usize| {
            codes(|report| {
                report.steps.push(step(Stage::Hydrate, vec![(attrs::HYDRATE_ASKED, asked.into())]));
                report
                    .steps
                    .push(step(Stage::DuckdbHydrate, vec![(attrs::DUCKDB_ROWS, rows.into())]));
            })
        };
        assert_eq!((hydrate(10, 9), hydrate(10, 10)), (vec!["hydrate-gap"], vec![]));
        let used = |channels: &[&str]| {
            let list: Vec<String> = channels.iter().map(|c| c.to_string()).collect();
            codes(|r| r.steps.push(step(Stage::Search, vec![(attrs::CHANNELS_USED, list.into())])))
        };
        assert_eq!(
            (used(&["dense"]), used(&["dense", "lexical"])),
            (vec!["sparse-disabled"], vec![])
        );
        let embed = |sizes: &[usize]| {
            codes(|r| {
                let steps = sizes
                    .iter()
                    .map(|&n| step(Stage::Embed, vec![(attrs::VLLM_BATCH_SIZE, n.into())]));
                r.steps.extend(steps);
            })
        };
        assert_eq!((embed(&[1, 3, 200]), embed(&[1, 200])), (vec!["small-batches"], vec![]));
        let gpu = |gpus| {
            codes(|r| {
                r.gpus = gpus;
                r.steps.push(step(Stage::Dense, vec![(attrs::FAISS_GPU, false.into())]));
            })
        };
        assert_eq!((gpu(1), gpu(0)), (vec!["gpu-idle"], vec![]));
        let late = codes(|r| {
            r.warnings.push(Warning::new("channel-late", "dense"));
            r.steps.push(step(Stage::Gather, vec![(attrs::DEADLINE_MS, 5_i64.into())]));
        });
        assert_eq!(late, ["budget-exceeded"]);
        let over =
            codes(|r| (r.budget, r.elapsed) = (Some(Duration::ZERO), Duration::from_secs(1)));
        assert_eq!(over, ["budget-exceeded"]);
    }
}
