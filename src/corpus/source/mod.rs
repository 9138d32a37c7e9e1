//! Which files are there, and what changed?
//!
//! [`Repo::walk`] only lists and stats; [`Repo::read`] opens one file and checks it. What is left out
//! is counted by [`SkipReason`], never dropped in silence. History comes from git where there is one.

mod history;
mod language;
mod path;
mod read;
mod repo;
mod skip;
mod walk;

#[cfg(test)]
mod tests;

pub use history::{BlameLine, Commit};
pub use language::Language;
pub use path::RepoPath;
pub use read::SourceFile;
pub use repo::Repo;
pub use skip::{SkipReason, Skipped};
pub use walk::{Entry, Listing};
