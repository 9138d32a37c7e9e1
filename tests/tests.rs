//! The one integration binary: each module tests one topic from outside the crate.

<<<<<<< HEAD
mod cli;
mod http;
mod readside;
mod search;
mod telemetry;
=======
mod badinput;
mod common;
mod ingest;
>>>>>>> t1
mod tidy;
