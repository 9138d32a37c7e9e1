//! Which files does a repository have?
//!
//! [`Repo::walk`] lists files without opening them; [`Repo::read`] opens one file and checks it. Files
//! that are skipped are counted by [`SkipReason`].

mod code_owners;
mod configuration;
mod cpp_header;
mod file_content;
pub mod file_names;
mod file_policy;
mod globs;
mod language;
mod listing;
mod notebook;
mod repo;
mod repo_path;
mod skip_reason;
mod source_file;
mod text_encoding;
mod walk;
mod work_tree;

#[cfg(test)]
mod tests;

pub use code_owners::CodeOwners;
pub use configuration::ConfigKind;
pub use file_policy::{Channels, Choice, FileKind, Marks, policy_fingerprint};
pub use globs::{GlobList, Globs};
pub use language::Language;
pub use listing::{Entry, FileIdentity, LeftOut, Listing, SCIP_FILE_NAME};
pub use repo::{IndexedRoots, Repo};
pub use repo_path::RepoPath;
pub use skip_reason::{SkipReason, Skipped};
pub use source_file::SourceFile;
pub(super) use source_file::open;
pub use text_encoding::{Decoded, decode};
