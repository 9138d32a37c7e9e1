//! Which pieces of a file can be found alone?
