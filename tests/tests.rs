//! The one integration binary: each module tests one topic from outside the crate.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod badinput;
mod cli;
#[cfg(feature = "cuda")]
mod cuda;
mod http;
mod ingest;
mod mcp;
mod search;
mod support;
mod telemetry;
mod tidy;
