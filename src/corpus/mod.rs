//! What is in a repository? Its files and their history, and the chunks of a file.

pub mod chunk;
pub mod source;
