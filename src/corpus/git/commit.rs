//! Commit: the parts of a commit that answers show.

use gix::bstr::ByteSlice;

/// The parts of a commit that answers show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The full id in hexadecimal digits.
    pub id: String,
    /// When it was committed, in seconds since 1970.
    pub time_s: i64,
    pub author: String,
    /// The first line of its message.
    pub summary: String,
}

impl Commit {
    /// Reads what can be read: one damaged header must not hide the others.
    pub(super) fn describe(commit: &gix::Commit<'_>) -> Self {
        let author = commit.author().map(|author| author.name.to_str_lossy().into_owned());
        let summary = commit.message().map(|text| text.summary().to_str_lossy().into_owned());
        Self {
            id: commit.id().to_string(),
            time_s: commit.time().map(|time| time.seconds).unwrap_or_default(),
            author: author.unwrap_or_default(),
            summary: summary.unwrap_or_default(),
        }
    }
}
