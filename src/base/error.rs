//! The error type of the crate: every failure, its kind, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a library, kept as the source of an [`Error`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Every failure of this crate. A message says what was wrong, with the value, and what to do. It
/// names settings and commands, never a flag, because every interface shows it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("path does not exist: {}; check the spelling, and that the folder is mounted", path.display())]
    PathNotFound { path: PathBuf },

    #[error("cannot read {}: {source}; check its permissions", path.display())]
    PathUnreadable { path: PathBuf, source: io::Error },

    #[error(
        "nothing to index under {roots}: {skipped}; choose another path, or change the rule that excludes the files"
    )]
    NothingToIndex { roots: String, skipped: String },

    #[error("{name} = {value:?}, from {origin}, is not valid: expected {expected}")]
    ConfigValue { name: String, value: String, origin: String, expected: String },

    #[error("unknown setting {name:?} in {origin}{}; `codeintel config` lists every setting",
        nearest.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default())]
    ConfigUnknown { name: String, origin: String, nearest: Option<String> },

    #[error("{old} (in {old_origin}) is the old name of {new} (in {new_origin}); remove {old}")]
    ConfigTwice { old: String, new: String, old_origin: String, new_origin: String },

    #[error("cannot parse {}: {detail}", path.display())]
    ConfigSyntax { path: PathBuf, detail: String },

    #[error("{name} = {value} is not valid: expected {expected}")]
    Argument { name: &'static str, value: String, expected: String },

    #[error("line {line}{} of {}: {detail}",
        column.map(|n| format!(", column {n},")).unwrap_or_default(), path.display())]
    InputLine { path: PathBuf, line: usize, column: Option<usize>, detail: String },

    #[error("{}", rows_failed(*failed, *n))]
    RowsFailed { failed: usize, n: usize },

    #[error(
        "the request body exceeds {bytes_max} bytes (serve.body_bytes_max); send less in one request"
    )]
    BodyTooLarge { bytes_max: usize },

    #[error("the arguments are not valid: {detail}")]
    ToolInput { detail: String },

    #[error("the query cannot be searched: {detail}")]
    QueryInvalid { detail: String },

    #[error("model {model:?} not found in {looked_in}; get it with: {remedy}")]
    ModelMissing { model: String, looked_in: String, remedy: String },

    #[error("{found} is not supported; supported: {supported}")]
    ModelUnsupported { found: String, supported: String },

    #[error("model file {} is damaged or does not match: {detail}; check it with `codeintel model verify`, or fetch it again with `codeintel model pull`", path.display())]
    ModelBroken { path: PathBuf, detail: String },

    #[error("no index in {} (data.dir); create one with `codeintel index`", data.display())]
    IndexMissing { data: PathBuf },

    #[error("the index is being built: {files_done} of {files} files; try again in {} s",
        retry_ms.div_ceil(1000))]
    IndexBuilding { files_done: usize, files: usize, retry_ms: u64 },

    #[error("index file {} is damaged: {detail}; return to the previous version with `codeintel rollback`, or build a new index with `codeintel index --full`", path.display())]
    IndexCorrupt { path: PathBuf, detail: String },

    #[error(
        "the index was built with {index}, but the settings select {asked}; search with the index's model, or build a new index with `codeintel index --full`"
    )]
    IndexModelMismatch { index: String, asked: String },

    #[error("{} is being written by {holder}; wait until it finishes, or use another folder (data.dir)", data.display())]
    IndexLocked { data: PathBuf, holder: String },

    #[error("no space left while writing {}; free some space, or use another folder (data.dir). The published index is unchanged, and so are older outputs", path.display())]
    DiskFull { path: PathBuf, source: io::Error },

    #[error("no space for the model in {}: {} are needed{}; free some space, or use another folder ({setting}). Nothing was installed", folder.display(),
        needed.map_or("more bytes".to_owned(), |bytes| format!("{bytes} more bytes")),
        free.map_or(String::new(), |bytes| format!(", {bytes} are free")))]
    ModelSpace { folder: PathBuf, needed: Option<u64>, free: Option<u64>, setting: &'static str },

    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },

    #[error("overloaded: {what} is full ({limit}); try again in {}",
        retry_ms.map_or("a moment".to_owned(), |ms| format!("{ms} ms")))]
    Overloaded { what: &'static str, limit: String, retry_ms: Option<u64> },

    #[error(
        "out of memory: a batch of {tokens} tokens needs {bytes} more bytes; free some memory, lower engine.threads, raise engine.gpu_memory_utilization on a GPU, or embed shorter texts (chunk.tokens_max)"
    )]
    OutOfMemory { tokens: usize, bytes: usize },

    #[error(
        "the GPU has failed and this process can no longer use it: {detail}; restart the program, or set vllm.mode = auto to fall back to an endpoint"
    )]
    DeviceLost { detail: String },

    #[error("{what} did not finish within {budget_ms} ms; allow more time, or try again later")]
    DeadlineExceeded { what: &'static str, budget_ms: u64 },

    #[error("cancelled by the caller")]
    Cancelled,

    #[error("{what}: expected {expected} values, found {found}")]
    Dimension { what: &'static str, expected: usize, found: usize },

    #[error("{what} row {row} holds a value that is not a finite number")]
    NotFinite { what: &'static str, row: usize },

    #[error(
        "the model's output is not a finite number; leave this input out, or compute with more precision (engine.dtype = f32)"
    )]
    OutputNotFinite,

    /// Why one input of a request failed. index: its position in the request, from 0.
    #[error("input {index}: {source}")]
    Input { index: usize, source: Arc<Error> },

    #[error("{what} is not available: {remedy}")]
    Unavailable { what: String, remedy: String },

    #[error("{part} failed to {action}: {source}")]
    Library { part: &'static str, action: &'static str, source: BoxError },

    #[error("internal error in {what}: {detail}; please report it")]
    Internal { what: &'static str, detail: String },
}

fn rows_failed(failed: usize, n: usize) -> String {
    if failed == n {
        return format!("no row of {n} has a result, so no file was written; correct the input");
    }
    format!(
        "{failed} of {n} rows failed, and the results of the others are written; correct the rows \
         and run the command with them again"
    )
}

/// The kind of a failure. It alone decides `error.type`, the HTTP status and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    InvalidParameter,
    QueryInvalid,
    BodyTooLarge,
    RowsFailed,
    Configuration,
    PathNotFound,
    NothingToIndex,
    ModelMissing,
    Model,
    IndexMissing,
    IndexCorrupt,
    IndexMismatch,
    IndexLocked,
    Storage,
    Overloaded,
    OutOfMemory,
    DeviceLost,
    Timeout,
    Cancelled,
    Unavailable,
    Internal,
}

impl ErrorKind {
    /// The code in `error.type`, in problem documents and in JSON output.
    pub fn code(self) -> &'static str {
        self.row().0
    }

    /// The status of an HTTP response.
    pub fn http_status(self) -> u16 {
        self.row().1
    }

    /// The exit code of the command line. A wrong flag also exits with 2.
    pub fn exit_code(self) -> u8 {
        self.row().2
    }

    fn row(self) -> (&'static str, u16, u8) {
        match self {
            Self::InvalidParameter => ("invalid-parameter", 400, 2),
            Self::QueryInvalid => ("search-query-invalid", 400, 2),
            Self::BodyTooLarge => ("body-too-large", 413, 17),
            Self::RowsFailed => ("rows-failed", 422, 20),
            Self::Configuration => ("configuration-error", 500, 3),
            Self::PathNotFound => ("path-not-found", 404, 4),
            Self::NothingToIndex => ("nothing-to-index", 422, 5),
            Self::ModelMissing => ("model-missing", 503, 6),
            Self::Model => ("embedding-error", 500, 7),
            Self::IndexMissing => ("search-index-missing", 503, 8),
            Self::IndexCorrupt => ("search-index-corrupt", 500, 9),
            Self::IndexMismatch => ("search-index-mismatch", 409, 10),
            Self::IndexLocked => ("search-index-locked", 409, 11),
            Self::Storage => ("storage-error", 507, 12),
            Self::Overloaded => ("overloaded", 429, 13),
            Self::OutOfMemory => ("out-of-memory", 503, 18),
            Self::DeviceLost => ("device-lost", 503, 19),
            Self::Timeout => ("search-timeout", 504, 14),
            Self::Cancelled => ("cancelled", 499, 15),
            Self::Unavailable => ("resource-unavailable", 503, 16),
            Self::Internal => ("internal-error", 500, 1),
        }
    }

    /// Every kind, for tables and tests.
    pub const ALL: [ErrorKind; 21] = [
        Self::InvalidParameter,
        Self::QueryInvalid,
        Self::BodyTooLarge,
        Self::RowsFailed,
        Self::Configuration,
        Self::PathNotFound,
        Self::NothingToIndex,
        Self::ModelMissing,
        Self::Model,
        Self::IndexMissing,
        Self::IndexCorrupt,
        Self::IndexMismatch,
        Self::IndexLocked,
        Self::Storage,
        Self::Overloaded,
        Self::OutOfMemory,
        Self::DeviceLost,
        Self::Timeout,
        Self::Cancelled,
        Self::Unavailable,
        Self::Internal,
    ];
}

impl Error {
    /// The kind of this failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Argument { .. }
            | Self::ToolInput { .. }
            | Self::InputLine { .. }
            | Self::Dimension { .. }
            | Self::NotFinite { .. }
            | Self::OutputNotFinite => ErrorKind::InvalidParameter,
            Self::Input { source, .. } => source.kind(),
            Self::RowsFailed { .. } => ErrorKind::RowsFailed,
            Self::QueryInvalid { .. } => ErrorKind::QueryInvalid,
            Self::BodyTooLarge { .. } => ErrorKind::BodyTooLarge,
            Self::ConfigValue { .. }
            | Self::ConfigUnknown { .. }
            | Self::ConfigTwice { .. }
            | Self::ConfigSyntax { .. } => ErrorKind::Configuration,
            Self::PathNotFound { .. } | Self::PathUnreadable { .. } => ErrorKind::PathNotFound,
            Self::NothingToIndex { .. } => ErrorKind::NothingToIndex,
            Self::ModelMissing { .. } => ErrorKind::ModelMissing,
            Self::ModelUnsupported { .. } | Self::ModelBroken { .. } => ErrorKind::Model,
            Self::IndexMissing { .. } => ErrorKind::IndexMissing,
            Self::IndexCorrupt { .. } => ErrorKind::IndexCorrupt,
            Self::IndexModelMismatch { .. } => ErrorKind::IndexMismatch,
            Self::IndexLocked { .. } => ErrorKind::IndexLocked,
            Self::DiskFull { .. } | Self::ModelSpace { .. } | Self::Io { .. } => ErrorKind::Storage,
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::OutOfMemory { .. } => ErrorKind::OutOfMemory,
            Self::DeviceLost { .. } => ErrorKind::DeviceLost,
            Self::DeadlineExceeded { .. } => ErrorKind::Timeout,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Unavailable { .. } | Self::IndexBuilding { .. } => ErrorKind::Unavailable,
            Self::Library { .. } | Self::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// An I/O failure on `path`; a full disk has its own variant.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path, source }
            }
            _ => Self::Io { action, path, source },
        }
    }

    /// The same error for a request whose inputs begin at position `first` of a larger one.
    pub fn in_larger_request(self, first: usize) -> Self {
        match self {
            Self::Input { index, source } => Self::Input { index: first + index, source },
            error => error,
        }
    }

    /// For `map_err`: the library `part` failed to do `action`.
    pub fn library<E: Into<BoxError>>(
        part: &'static str,
        action: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Library { part, action, source: source.into() }
    }
}

/// A problem that did not prevent the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// A stable code, such as `channel-failed`.
    pub code: &'static str,
    /// A sentence for a person.
    pub message: String,
}

impl Warning {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_code_and_exit_code() {
        let codes: std::collections::HashSet<_> = ErrorKind::ALL.iter().map(|k| k.code()).collect();
        let exits: std::collections::HashSet<_> =
            ErrorKind::ALL.iter().map(|k| k.exit_code()).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        // Both kinds of wrong input exit with 2, as clap does.
        assert_eq!(exits.len(), ErrorKind::ALL.len() - 1);
        assert!(!exits.contains(&0));
    }

    #[test]
    fn a_full_disk_is_not_just_any_io_error() {
        let error = Error::io("write", Path::new("x"), io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(error, Error::DiskFull { .. }));
        assert!(error.to_string().contains("no space left"));
    }
}
