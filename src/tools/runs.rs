//! The reports of past runs, kept in the data folder.
//!
//! Each run has one file, `runs/<date>/<run id>.json`. Above the limit, the oldest files are
//! removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::App;
use super::wire::RunRecord;
use crate::base::config::TelemetrySettings;
use crate::base::error::{Error, Result};
use crate::base::telemetry::labels::RunStatus;
use crate::base::telemetry::{RunReport, Telemetry};
use crate::index::versions::DataFolder;

/// When the limit is exceeded, files are removed until this percentage of it is left.
const KEEP_PERCENT: u64 = 80;

/// Which runs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptRuns {
    All,
    Failed,
}

/// Finds a run of this process, else one kept by an earlier process. The id `latest` selects the
/// last run.
pub fn find_run(app: &App, run_id: &str) -> Result<Option<RunRecord>> {
    match app.telemetry().run(run_id) {
        Some(report) => Ok(Some(RunRecord::new(&report))),
        None => app.runs().read(run_id),
    }
}

/// The folder of run reports.
pub struct RunFolder {
    data: PathBuf,
    bytes_max: u64,
    /// Bytes in the folder; `None` before the first report.
    bytes: Mutex<Option<u64>>,
}

impl RunFolder {
    pub fn new(data: &DataFolder, settings: &TelemetrySettings) -> Self {
        let bytes_max = settings.runs_bytes_max;
        Self { data: data.path().to_owned(), bytes_max, bytes: Mutex::new(None) }
    }

    /// Writes a report of each run that ends from now on. A failure to write a report is logged.
    pub fn keep(self: &Arc<Self>, kept: KeptRuns, telemetry: &Telemetry) {
        let folder = self.clone();
        telemetry.on_finished(Box::new(move |cx, status| {
            if kept == KeptRuns::Failed && status != RunStatus::Error {
                return;
            }
            if let Err(error) = folder.write(cx.telemetry(), &cx.report()) {
                tracing::warn!(%error, "the report of a run was not kept");
            }
        }));
    }

    fn folder(&self) -> PathBuf {
        self.data.join("runs")
    }

    /// Writes one report with the spans of its trace. Does nothing if there is no data folder yet.
    fn write(&self, telemetry: &Telemetry, report: &RunReport) -> Result<()> {
        if self.bytes_max == 0 || !self.data.is_dir() {
            return Ok(());
        }
        let record = RunRecord::new(report).with_spans(&telemetry.spans(&report.trace_id));
        let text = serde_json::to_vec(&record)
            .map_err(Error::library("serde_json", "write the report of a run"))?;
        let folder = self.folder().join(jiff::Timestamp::now().strftime("%Y-%m-%d").to_string());
        fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        let path = folder.join(format!("{}.json", report.run_id));
        if let Err(error) = fs::write(&path, &text) {
            // Half a report would be found as the latest run.
            let _ = fs::remove_file(&path);
            return Err(Error::io("write", &path, error));
        }
        self.make_room(text.len() as u64)
    }

    /// Counts the added bytes and removes the oldest reports above the limit.
    fn make_room(&self, added: u64) -> Result<()> {
        let mut bytes = self.bytes.lock();
        let total = match *bytes {
            Some(known) => known + added,
            None => reports(&self.folder())?.iter().map(|report| report.bytes).sum(),
        };
        *bytes = Some(total);
        if total <= self.bytes_max {
            return Ok(());
        }
        let mut kept = reports(&self.folder())?;
        kept.sort_by_key(|report| std::cmp::Reverse(report.written));
        let mut left = 0;
        for report in kept {
            left += report.bytes;
            if left > self.bytes_max / 100 * KEEP_PERCENT {
                left -= report.bytes;
                fs::remove_file(&report.path).map_err(|e| Error::io("remove", &report.path, e))?;
                // Succeeds only if it was the last report of its day.
                let _ = report.path.parent().map(fs::remove_dir);
            }
        }
        *bytes = Some(left);
        Ok(())
    }

    /// Reads the run with this id. The id `latest` selects the run written last.
    pub fn read(&self, run_id: &str) -> Result<Option<RunRecord>> {
        let mut reports = reports(&self.folder())?;
        reports.sort_by_key(|report| report.written);
        let named = format!("{run_id}.json");
        let is = |report: &&Report| {
            run_id == "latest" || report.path.file_name().is_some_and(|name| *name == *named)
        };
        let Some(report) = reports.iter().rev().find(is) else { return Ok(None) };
        let text = fs::read(&report.path).map_err(|e| Error::io("read", &report.path, e))?;
        let record = serde_json::from_slice(&text).map_err(|e| Error::Unavailable {
            what: format!("the report {}", report.path.display()),
            remedy: format!("it is damaged ({e}); delete it"),
        })?;
        Ok(Some(record))
    }
}

struct Report {
    path: PathBuf,
    bytes: u64,
    written: SystemTime,
}

/// Lists every report below `folder`. The list is empty if the folder does not exist.
fn reports(folder: &Path) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for day in entries(folder)? {
        for file in entries(&day)? {
            let Ok(meta) = fs::metadata(&file) else { continue };
            if meta.is_file() {
                let written = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                reports.push(Report { path: file, bytes: meta.len(), written });
            }
        }
    }
    Ok(reports)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(e)
            if matches!(
                e.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(e) => Err(Error::io("list", folder, e)),
    }
}
