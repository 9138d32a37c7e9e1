//! Which ids does a text become?

mod pair;
mod ragged;
mod tokenizer;

pub use ragged::Ragged;
pub use tokenizer::Tokenizer;
