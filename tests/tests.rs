//! The one integration binary: each module tests one topic from outside the crate.

mod badinput;
mod common;
mod ingest;
mod tidy;
