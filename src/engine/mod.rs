//! Who is embedded next, and with whom?

pub mod models;
