//! Which ids does a text become?

mod pair;
mod pair_template;
mod ragged;
mod reading;
mod tables;
mod tokenizer;

pub use pair_template::PairTemplate;
pub use ragged::Ragged;
pub use reading::Side;
pub use tables::Tables;
pub use tokenizer::{BertNormalization, TextOptions, Tokenizer};
