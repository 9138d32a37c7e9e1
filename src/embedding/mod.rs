//! How does a text become a vector?

pub mod engine;
pub mod models;
pub mod nn;
pub mod token;
