//! Hydration: what an answer shows of a list of chunk ids.

use std::collections::HashMap;

use duckdb::{Connection, params_from_iter};

use super::duckdb_error::read_error;
use super::reader::Catalog;
use super::rows::ShownChunk;
use crate::base::error::Result;
use crate::base::hit::ChunkId;
use crate::index::versions::file::corrupt;

/// The numbers of parameters of the prepared statements. A list is padded to the next size, so that a
/// connection prepares at most this many statements. The largest size is also the most rows per query.
const SIZES: [usize; 6] = [8, 20, 32, 64, 128, 256];

/// Rows that [`Catalog::warm`] reads: one statement of the size of a usual answer.
const WARM_ROWS: usize = 20;

/// What an answer shows of a list of chunk ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hydrated {
    /// One per requested id, in that order.
    pub rows: Vec<ShownChunk>,
    /// Bytes of the SQL that was run.
    pub sql_bytes: usize,
}

impl Catalog {
    /// What an answer shows of `ids`, in that order; a repeated id has a repeated row. An id that is
    /// not in the catalog is `IndexCorrupt`, because another file of the version does not match it.
    ///
    /// ids: any number, in any order.
    pub fn rows(&self, ids: &[ChunkId]) -> Result<Hydrated> {
        let mut wanted: Vec<u32> = ids.iter().map(|id| id.0).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut found = HashMap::with_capacity(wanted.len());
        let mut sql_bytes = 0;
        self.pool.with(|conn| {
            for batch in wanted.chunks(SIZES[SIZES.len() - 1]) {
                let sql = sql(batch.len());
                sql_bytes += sql.len();
                fetch(conn, &sql, batch, &mut found).map_err(read_error(self.path()))?;
            }
            Ok(())
        })?;
        let repeated = wanted.len() < ids.len();
        let mut take = |id: &ChunkId| {
            let row = if repeated { found.get(&id.0).cloned() } else { found.remove(&id.0) };
            let file = self.file_of(*id)?.filter(|_| row.is_some());
            let (Some(row), Some(file)) = (row, file) else {
                return Err(corrupt(self.path(), format!("it has no chunk {}", id.0)));
            };
            Ok(ShownChunk { path: file.path.clone(), language: file.language.clone(), ..row })
        };
        Ok(Hydrated { rows: ids.iter().map(&mut take).collect::<Result<_>>()?, sql_bytes })
    }

    /// Reads a few rows from all over the catalog. The first read in a process loads the key and
    /// prepares a statement, which takes several times as long as a later one.
    pub fn warm(&self) -> Result<()> {
        let spans = self.file_spans()?;
        let step = spans.len().div_ceil(WARM_ROWS).max(1);
        let held = spans.iter().filter(|span| span.chunk_count > 0);
        let ids: Vec<ChunkId> = held.step_by(step).map(|span| span.first_chunk).collect();
        self.rows(&ids).map(drop)
    }
}

fn parameters(n: usize) -> usize {
    SIZES.into_iter().find(|size| *size >= n).unwrap_or(n)
}

fn sql(n: usize) -> String {
    let marks = vec!["?"; parameters(n)].join(",");
    format!("select {} from chunks where id in ({marks})", ShownChunk::COLUMNS)
}

fn fetch(
    conn: &Connection,
    sql: &str,
    batch: &[u32],
    found: &mut HashMap<u32, ShownChunk>,
) -> duckdb::Result<()> {
    let Some(last) = batch.last() else { return Ok(()) };
    let padding = std::iter::repeat_n(last, parameters(batch.len()) - batch.len());
    let ids = params_from_iter(batch.iter().chain(padding));
    for row in conn.prepare_cached(sql)?.query_map(ids, ShownChunk::read)? {
        let row = row?;
        found.insert(row.id.0, row);
    }
    Ok(())
}
