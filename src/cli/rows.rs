//! The rows of `embed` and `rerank`: their outputs, a counter, and those that failed.

use std::cell::Cell;
use std::path::Path;

use super::out::{Counter, count, print_truncated};
use super::{Context, out};
use crate::base::error::Result;
use crate::base::output::{FileId, OutputFile};
use crate::base::telemetry::RunContext;
use crate::batch::{Job, RowFailure, Summary};

/// Failures printed one by one; a file of another format has one in every line.
const PRINTED_MAX: usize = 20;

/// The outputs of a command over rows.
pub struct RowOutputs {
    pub results: OutputFile,
    /// The rows that failed.
    pub errors: Option<OutputFile>,
}

impl RowOutputs {
    /// input: the file that is read.
    pub fn create(
        cx: &Context,
        input: Option<&FileId>,
        results: Option<&Path>,
        errors: Option<&Path>,
    ) -> Result<Self> {
        let mut used = cx.files_read();
        used.extend(input.cloned());
        let results = OutputFile::create("--output", results, &used)?;
        used.extend(results.id().cloned());
        let errors = errors.map(|path| OutputFile::create("--errors", Some(path), &used));
        Ok(Self { results, errors: errors.transpose()? })
    }
}

/// What the rows of a run are, for messages.
#[derive(Clone, Copy)]
pub struct RowNoun {
    pub singular: &'static str,
    pub plural: &'static str,
    /// The most tokens of one that the model reads.
    pub tokens_max: usize,
}

/// Runs `work`, and prints the failures, the truncated rows and, if `output` is a file, the progress.
pub fn run_job(
    run: &RunContext,
    noun: RowNoun,
    output: Option<&Path>,
    errors: Option<OutputFile>,
    work: impl FnOnce(Job<'_>) -> Result<Summary>,
) -> Result<()> {
    let counter = Counter::new(noun.plural, output.is_some_and(|path| path != "-"));
    let printed = Cell::new(0);
    let on_failure = |failure: &RowFailure<'_>| {
        if printed.get() < PRINTED_MAX {
            counter.print_warning(&failure.message());
            printed.set(printed.get() + 1);
        }
    };
    let progress = |done: &Summary| counter.set(done.n);
    let summary = work(Job { cx: run, progress: &progress, on_failure: &on_failure, errors })?;
    drop(counter);
    let silent = summary.failed - printed.get();
    if silent > 0 {
        out::print_warning(&format!("{} more {} failed", count(silent), noun.plural));
    }
    print_truncated(summary.truncated, noun.singular, noun.tokens_max);
    summary.check()
}
