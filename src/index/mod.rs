//! Which chunks are near this query?
