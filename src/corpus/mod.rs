//! What is in a repository? Files with their history, and the chunks of a file.

pub mod chunk;
pub mod source;
