//! What does a chunk count, apart from its ranks in the channels?
//!
//! Ranking policy, applied when a query is answered: a change here needs no new index.

pub(super) mod kind;
pub(super) mod path;
