//! Where are the reports of runs kept when the process is gone?
//!
//! One file a run, `runs/<date>/<run id>.json` in the data folder; beyond the limit the oldest go.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::wire::RunStory;
use crate::base::config::TelemetrySettings;
use crate::base::error::{Error, Result};
use crate::base::telemetry::labels::RunStatus;
use crate::base::telemetry::{RunReport, Telemetry};
use crate::index::versions::DataFolder;

/// When the limit is passed, files go until this share of it is left.
const KEEP_PERCENT: u64 = 80;

/// The folder of run reports.
pub struct RunFolder {
    data: PathBuf,
    bytes_max: u64,
    /// Bytes in it; unknown before the first report.
    bytes: Mutex<Option<u64>>,
}

impl RunFolder {
    pub fn of(data: &DataFolder, settings: &TelemetrySettings) -> Self {
        let (data, bytes_max) = (data.path().to_owned(), settings.runs_bytes_max);
        Self { data, bytes_max, bytes: Mutex::new(None) }
    }

    /// Keeps every run that ends from now on, or only the failed ones. A report that cannot be
    /// written costs a line in the log.
    pub fn listen(self, telemetry: &Telemetry, all: bool) {
        telemetry.on_finished(Box::new(move |telemetry, report, status| {
            if !(all || status == RunStatus::Error) {
                return;
            }
            if let Err(error) = self.keep(telemetry, report) {
                tracing::warn!(%error, "the report of a run was not kept");
            }
        }));
    }

    fn folder(&self) -> PathBuf {
        self.data.join("runs")
    }

    /// Writes one report with the spans of its trace. Nothing is written where there is no data
    /// folder yet.
    fn keep(&self, telemetry: &Telemetry, report: &RunReport) -> Result<()> {
        if self.bytes_max == 0 || !self.data.is_dir() {
            return Ok(());
        }
        let story = RunStory::new(report).with_spans(&telemetry.spans(&report.trace_id));
        let text = serde_json::to_vec(&story)
            .map_err(Error::library("serde_json", "write the report of a run"))?;
        let folder = self.folder().join(jiff::Timestamp::now().strftime("%Y-%m-%d").to_string());
        fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        let path = folder.join(format!("{}.json", report.run_id));
        fs::write(&path, &text).map_err(|e| Error::io("write", &path, e))?;
        self.make_room(text.len() as u64)
    }

    /// Counts what was added, and removes the oldest reports when there are too many.
    fn make_room(&self, added: u64) -> Result<()> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
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
                // Only when it was the last one of its day.
                let _ = report.path.parent().map(fs::remove_dir);
            }
        }
        *bytes = Some(left);
        Ok(())
    }

    /// The run with this id; `latest` is the one written last. `None` if there is none.
    pub fn read(&self, run_id: &str) -> Result<Option<RunStory>> {
        let mut reports = reports(&self.folder())?;
        reports.sort_by_key(|report| report.written);
        let named = format!("{run_id}.json");
        let is = |report: &&Report| {
            run_id == "latest" || report.path.file_name().is_some_and(|name| *name == *named)
        };
        let Some(report) = reports.iter().rev().find(is) else { return Ok(None) };
        let text = fs::read(&report.path).map_err(|e| Error::io("read", &report.path, e))?;
        let story = serde_json::from_slice(&text).map_err(|e| Error::Unavailable {
            what: format!("the report {}", report.path.display()),
            remedy: format!("it is damaged ({e}); delete it"),
        })?;
        Ok(Some(story))
    }
}

struct Report {
    path: PathBuf,
    bytes: u64,
    written: SystemTime,
}

/// Every report below `folder`; none where there is no such folder.
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
