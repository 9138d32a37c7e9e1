//! How does a question become an answer?
//!
//! Gate (what kind of question is it, how deep should each channel look), gather (all channels at
//! once, under one deadline), fuse (weighted reciprocal rank fusion), hydrate (rows from the
//! catalog), seal (the envelope, with an explanation that adds up).

mod dense;
mod envelope;
mod fuse;
mod gate;
mod gather;
mod profile;
mod query;
mod searcher;
mod shape;

pub use envelope::{Envelope, Explanation, Finding, FindingKind, Freshness};
pub use fuse::Contribution;
pub use gate::Plan;
pub use profile::{QueryClass, QueryProfile};
pub use query::{Channel, Query};
pub use searcher::Searcher;
