//! How does a repository become an index?
