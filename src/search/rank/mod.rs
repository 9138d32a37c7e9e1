//! Which factors change the score of a chunk, apart from its ranks in the channels?
//!
//! Ranking policy is applied at query time, so a change to it does not need a new index.

pub(super) mod kind;
pub(super) mod path;

use crate::base::error::Result;
use crate::base::hit::ChunkId;
use crate::index::QueryText;
use crate::index::catalog::Catalog;

/// A factor of the score of a chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factor {
    pub name: &'static str,
    pub value: f64,
}

/// The factors of each chunk of `catalog` for a query.
pub(super) fn factors<'a>(
    catalog: &'a Catalog,
    rules: &'a path::FileRules,
    query: &QueryText,
) -> Result<impl Fn(ChunkId) -> Vec<Factor> + 'a> {
    let spans = catalog.file_spans()?;
    let mentioned = path::mentioned(query);
    Ok(move |id: ChunkId| {
        let after = spans.partition_point(|span| span.first_chunk <= id);
        let path = after.checked_sub(1).map(|i| rules.weight(i, &spans[i].path, &mentioned));
        path.into_iter().map(|value| Factor { name: "path", value }).collect()
    })
}
