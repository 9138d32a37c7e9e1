//! Maps the errors of DuckDB to ours, with the path of the file.

use std::io;
use std::path::Path;

use crate::base::error::Error;
use crate::index::versions::file::corrupt;

const PART: &str = "duckdb";

/// What was done to the file when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum While {
    Reading,
    Writing,
}

impl While {
    fn action(self) -> &'static str {
        match self {
            Self::Reading => "read",
            Self::Writing => "write",
        }
    }
}

/// Maps a failure to read the file at `path`.
pub(super) fn read_error(path: &Path) -> impl FnOnce(duckdb::Error) -> Error {
    move |error| explain(While::Reading, path, error)
}

/// Maps a failure to write the file at `path`.
pub(super) fn write_error(path: &Path) -> impl FnOnce(duckdb::Error) -> Error {
    move |error| explain(While::Writing, path, error)
}

/// The message decides, because no error code of DuckDB reaches us.
fn explain(doing: While, path: &Path, error: duckdb::Error) -> Error {
    let message = match &error {
        duckdb::Error::DuckDBFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let first_line = || message.lines().next().unwrap_or_default().trim().to_owned();
    let io = |kind| Error::io(doing.action(), path, io::Error::new(kind, first_line()));
    if says(&["No space left on device", "Disk quota exceeded"]) {
        return io(io::ErrorKind::StorageFull);
    }
    if says(&["Could not set lock", "Conflicting lock"]) {
        return Error::IndexLocked { data: path.to_path_buf(), holder: holder(&message) };
    }
    if says(&["Permission denied"]) {
        return io(io::ErrorKind::PermissionDenied);
    }
    if says(&DAMAGE) || doing == While::Reading && (says(&SCHEMA) || !is_from_duckdb(&error)) {
        return corrupt(path, first_line());
    }
    if says(&["IO Error"]) {
        return io(io::ErrorKind::Other);
    }
    Error::Library { part: PART, action: doing.action(), source: error.into() }
}

/// Parts of messages about a file that was truncated, overwritten or written by another program.
const DAMAGE: [&str; 9] = [
    "not a valid DuckDB database",
    "Could not read",
    "checksum",
    "orrupt",
    "Serialization Error",
    "database with version number",
    "database file with version number",
    "INTERNAL Error",
    "FATAL Error",
];

/// Parts of messages about a table or column of ours that is missing.
const SCHEMA: [&str; 3] = ["Catalog Error", "Binder Error", "Conversion Error"];

/// Whether the library itself failed, rather than the conversion of a value that it returned.
fn is_from_duckdb(error: &duckdb::Error) -> bool {
    matches!(error, duckdb::Error::DuckDBFailure(..))
}

/// The process in "Conflicting lock is held in /bin/x (PID 123)".
fn holder(message: &str) -> String {
    let pid = message
        .split_once("PID ")
        .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    match pid.filter(|digits| !digits.is_empty()) {
        Some(digits) => format!("process {digits}"),
        None => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(doing: While, message: &str) -> Error {
        let code = duckdb::ffi::Error::new(1);
        let error = duckdb::Error::DuckDBFailure(code, Some(message.to_owned()));
        explain(doing, Path::new("/data/catalog.duckdb"), error)
    }

    #[test]
    fn a_full_disk_is_named_with_the_path() {
        let message = "IO Error: Could not write file \"/data/x\": No space left on device";
        let error = explained(While::Writing, message);
        assert!(matches!(error, Error::DiskFull { .. }), "{error}");
        assert!(error.to_string().contains("/data/catalog.duckdb"), "{error}");
    }

    #[test]
    fn another_io_failure_is_io_with_the_words_of_the_system() {
        let error = explained(While::Writing, "IO Error: Could not write file: Input/output error");
        assert!(matches!(error, Error::Io { action: "write", .. }), "{error}");
        assert!(error.to_string().contains("Input/output error"), "{error}");
    }

    #[test]
    fn a_lock_names_the_process_that_holds_it() {
        let message = "IO Error: Could not set lock on file \"/data/x\": Conflicting lock is held \
                       in /usr/bin/codeintel (PID 4711) by user root.";
        let error = explained(While::Writing, message);
        assert!(matches!(&error, Error::IndexLocked { holder, .. } if holder == "process 4711"));
    }

    #[test]
    fn a_missing_column_is_damage_to_a_reader_and_a_bug_to_a_writer() {
        let message = "Binder Error: Referenced column \"tokens\" not found";
        assert!(matches!(explained(While::Reading, message), Error::IndexCorrupt { .. }));
        assert!(matches!(explained(While::Writing, message), Error::Library { .. }));
    }
}
