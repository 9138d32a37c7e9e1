//! Here is a chunk id: what is it?
