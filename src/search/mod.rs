//! How does a query become an answer?
//!
//! Gate (what kind of query it is, how deep each channel searches), gather (all channels at once,
//! under one deadline), pool (the distinct chunks), fuse (one score from those of the channels), rank
//! (its factors), rerank (a closer look at the best, if it is asked for), hydrate (rows from the
//! catalog), answer (with an explanation that adds up to the score, and the confidence in the first
//! result).

mod answer;
mod channels;
mod confidence;
mod fuse;
mod gather;
mod hydrate;
mod mix;
mod phrase;
mod plan;
mod pool;
mod query;
mod rank;
mod rerank;
mod searcher;

pub use answer::{Answer, Freshness};
pub use channels::{ChannelName, Engines};
pub use confidence::Evidence;
pub use fuse::{Contribution, Explanation, Fused, Fusion, Ranking};
pub use hydrate::{Finding, FindingKind};
pub use plan::{Leg, Plan, QueryClass, QueryProfile};
pub use query::{LIMIT_MAX, Query};
pub use rank::{Candidate, Factor, is_test};
pub use rerank::{RerankChoice, RerankEngines, Reranked};
pub use searcher::{Searcher, model_for};
