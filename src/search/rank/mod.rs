//! Which factors change the score of a chunk, apart from its ranks in the channels?
//!
//! Ranking policy is applied at query time, so a change to it does not need a new index.

pub(super) mod kind;
pub(super) mod path;
mod recency;

use crate::base::error::Result;
use crate::base::hit::ChunkId;
use crate::index::QueryText;
use crate::index::catalog::Catalog;

pub(super) use recency::Recency;

pub use path::is_test;

/// A factor of the score of a chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factor {
    pub name: &'static str,
    pub value: f64,
}

/// The factors of each chunk of `catalog` for a query. recency: `None` if the age of a file does not
/// matter.
pub(super) fn factors<'a>(
    catalog: &'a Catalog,
    rules: &'a path::FileRules,
    query: &QueryText,
    recency: Option<Recency>,
) -> Result<impl Fn(ChunkId) -> Vec<Factor> + 'a> {
    let spans = catalog.file_spans()?;
    let mentioned = path::mentioned(query);
    Ok(move |id: ChunkId| {
        let after = spans.partition_point(|span| span.first_chunk <= id);
        let Some(i) = after.checked_sub(1) else { return Vec::new() };
        let path = rules.weight(i, &spans[i].path, &mentioned);
        let recency = recency.map(|recency| recency.factor(spans[i].commit_time_s));
        let recency = recency.map(|value| Factor { name: "recency", value });
        std::iter::once(Factor { name: "path", value: path }).chain(recency).collect()
    })
}
