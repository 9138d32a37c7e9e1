//! Who is embedded next, and with whom?

mod cache;
pub mod models;
