//! The one integration binary: each module tests one topic from outside the crate.

mod cli;
mod http;
mod readside;
mod search;
mod telemetry;
mod tidy;
