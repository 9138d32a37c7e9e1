//! Which files are there, and what changed?
