//! How does a question become an answer?
//!
//! Gate (what kind of question is it, how deep should each channel look), gather (all channels at
//! once, under one deadline), fuse (weighted reciprocal rank fusion), hydrate (rows from the
//! catalog), seal (the envelope, with an explanation that adds up).

mod channels;
mod envelope;
mod fuse;
mod gather;
mod plan;
mod query;
mod rank;
mod searcher;

pub use envelope::{Envelope, Explanation, Finding, FindingKind, Freshness};
pub use fuse::Contribution;
pub use plan::{Plan, QueryClass, QueryProfile};
pub use query::{Channel, Query};
pub use searcher::Searcher;
