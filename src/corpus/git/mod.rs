//! What does git know about a file? The commit of each line, and the commits that changed it.
//!
//! [`Repo::blame`](super::source::Repo::blame) and
//! [`Repo::file_history`](super::source::Repo::file_history) read objects with gix and follow lines
//! and renames themselves: gix's own blame differs from git's in ten times as many lines, cannot be
//! interrupted, and gix has no history of a file. Nothing here runs a command that a repository
//! configures (filters, text conversion). The command `git` is called only by [`CloneAddress::fetch`].

mod blame;
mod blame_cache;
mod changed_files;
mod clone;
mod commit;
mod file_commits;
mod file_history;
mod git_file;
mod line_diff;
mod line_origins;
mod newest_first;
mod objects;
mod patch;
mod rename;
mod versions;

#[cfg(test)]
mod tests;

pub use blame::{Blame, BlameHunk, BlameOrigin};
pub use blame_cache::BlameCache;
pub use changed_files::ChangedFile;
pub use clone::{CloneAddress, CloneFolder};
pub use commit::Commit;
pub use file_commits::{CommitCount, FileCommits};
pub use file_history::{ChangeKind, FileChange, FileHistory, HistoryStop};
pub use line_diff::changed_lines;
pub use patch::{FilePatch, parse_patch};
