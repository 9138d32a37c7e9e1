//! What is in a repository? Files with their history, their text, and the chunks of a file.

pub mod chunk;
pub mod git;
pub mod scip;
pub mod source;
pub mod text_search;
pub mod time_limit;
