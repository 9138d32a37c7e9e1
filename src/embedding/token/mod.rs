//! Which ids does a text become?

mod normalizer;
mod pair;
mod pair_template;
mod ragged;
mod reading;
mod tables;
mod tokenizer;

pub use normalizer::BertNormalization;
pub use pair_template::PairTemplate;
pub use ragged::Ragged;
pub use reading::Side;
pub use tables::Tables;
pub use tokenizer::{TextOptions, Tokenizer};
