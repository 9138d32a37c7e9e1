//! What does everything stand on? Errors, hits, vectors, settings and telemetry.

pub mod config;
pub mod error;
pub mod hit;
pub mod output;
pub mod panic;
pub mod signal;
pub mod telemetry;
pub mod text;
pub mod vector;
