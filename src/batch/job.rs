//! Job: computes an input block by block and keeps rows that fail apart from the others.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::input::{Input, Row};
use super::lines::JsonLines;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::output::OutputFile;
use crate::base::telemetry::RunContext;

/// What a pipeline did so far; when it returns, in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows, those that failed included.
    pub n: usize,
    /// How many of them were longer than the model reads, and were truncated.
    pub truncated: usize,
    /// How many of them have no result.
    pub failed: usize,
}

impl Summary {
    /// An error if a row failed.
    pub fn check(&self) -> Result<()> {
        let &Self { n, failed, .. } = self;
        if failed == 0 { Ok(()) } else { Err(Error::RowsFailed { failed, n }) }
    }
}

/// A row without a result.
#[derive(Serialize)]
pub struct RowFailure<'a> {
    /// Its place in the output, from 0.
    pub row: usize,
    /// The number of its line in the input, from 1.
    pub line: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a RawValue>,
    #[serde(flatten)]
    pub error: RowError<'a>,
}

impl RowFailure<'_> {
    /// Where the row is, and what is wrong with it.
    pub fn message(&self) -> String {
        match self.error.0 {
            error @ Error::InputLine { .. } => error.to_string(),
            error => format!("line {}: {error}", self.line),
        }
    }
}

/// Why a row has no result, as JSON: `code` and `message`.
#[derive(Clone, Copy)]
pub struct RowError<'a>(pub &'a Error);

impl Serialize for RowError<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields {
            code: &'static str,
            message: String,
        }
        Fields { code: self.0.kind().code(), message: self.0.to_string() }.serialize(serializer)
    }
}

/// Results of several rows.
pub(super) struct Computed<R> {
    pub results: R,
    /// Rows that were longer than the model reads.
    pub truncated: usize,
}

/// Where results of the type `Results` go, in the order of the input.
pub(super) trait Writer {
    type Results;

    /// Writes result `i` of `results`.
    fn write(&mut self, id: Option<&RawValue>, results: &Self::Results, i: usize) -> Result<()>;

    /// Writes what stands in the place of a result.
    fn write_failure(&mut self, id: Option<&RawValue>, error: RowError<'_>) -> Result<()>;

    /// Hands what was written to whoever reads it.
    fn flush(&mut self) -> Result<()>;

    /// Completes the output; without it, there is none.
    fn finish(self) -> Result<()>;
}

/// One pass over an input.
pub struct Job<'a> {
    pub cx: &'a RunContext,
    /// Called after each block.
    pub progress: &'a dyn Fn(&Summary),
    /// Called with each row that fails.
    pub on_failure: &'a dyn Fn(&RowFailure<'_>),
    /// Receives the failures as lines of JSON.
    pub errors: Option<OutputFile>,
}

/// What happened so far.
struct Progress<'a> {
    summary: Summary,
    on_failure: &'a dyn Fn(&RowFailure<'_>),
    errors: Option<JsonLines>,
}

impl Job<'_> {
    /// Computes every row; one that fails does not stop the others. If no row has a result, there is
    /// no output.
    pub(super) fn run<T, W: Writer>(
        self,
        input: &mut Input<T>,
        mut writer: W,
        compute: impl Fn(&[&T]) -> Result<Computed<W::Results>>,
    ) -> Result<Summary> {
        let errors = self.errors.map(JsonLines::new);
        let mut progress =
            Progress { summary: Summary::default(), on_failure: self.on_failure, errors };
        loop {
            let rows = input.next_block()?;
            if rows.is_empty() {
                break;
            }
            progress.block(&rows, &mut writer, &compute)?;
            writer.flush()?;
            (self.progress)(&progress.summary);
        }
        let Progress { summary, errors, .. } = progress;
        if summary.failed == 0 || summary.failed < summary.n {
            writer.finish()?;
        }
        errors.map_or(Ok(()), JsonLines::finish)?;
        Ok(summary)
    }
}

impl Progress<'_> {
    /// Computes `rows` together. If one of them makes all fail, halves of them are computed until it
    /// fails alone.
    fn block<T, W: Writer>(
        &mut self,
        rows: &[Row<T>],
        writer: &mut W,
        compute: &impl Fn(&[&T]) -> Result<Computed<W::Results>>,
    ) -> Result<()> {
        let contents: Vec<&T> = rows.iter().filter_map(|row| row.content.as_ref().ok()).collect();
        let computed = match compute(&contents) {
            Ok(computed) => computed,
            Err(error) if !may_be_of_one_row(&error) => return Err(error),
            Err(error) => {
                if let [row] = rows {
                    // Its position in the request is that of the only row.
                    let error = match &error {
                        Error::Input { source, .. } => source,
                        error => error,
                    };
                    return self.fail(row, error, writer);
                }
                let (first, second) = rows.split_at(rows.len() / 2);
                self.block(first, writer, compute)?;
                return self.block(second, writer, compute);
            }
        };
        self.summary.truncated += computed.truncated;
        let mut i = 0;
        for row in rows {
            match &row.content {
                Ok(_) => {
                    writer.write(row.id.as_deref(), &computed.results, i)?;
                    self.summary.n += 1;
                    i += 1;
                }
                Err(error) => self.fail(row, error, writer)?,
            }
        }
        Ok(())
    }

    fn fail<T, W: Writer>(&mut self, row: &Row<T>, error: &Error, writer: &mut W) -> Result<()> {
        let (id, error) = (row.id.as_deref(), RowError(error));
        let failure = RowFailure { row: self.summary.n, line: row.line, id, error };
        (self.on_failure)(&failure);
        if let Some(errors) = &mut self.errors {
            errors.write(&failure)?;
        }
        self.summary.n += 1;
        self.summary.failed += 1;
        writer.write_failure(id, error)
    }
}

/// Whether `error` may come from the content of one row. Others would come again with any row.
fn may_be_of_one_row(error: &Error) -> bool {
    use ErrorKind::{Internal, InvalidParameter, OutOfMemory};
    matches!(error.kind(), Internal | InvalidParameter | OutOfMemory)
}
