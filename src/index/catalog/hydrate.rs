//! Hydration: the rows of a list of chunk ids.

use std::collections::HashMap;

use duckdb::{Connection, params_from_iter};

use super::duckdb_error::read_error;
use super::reader::Catalog;
use super::rows::ChunkRow;
use crate::base::error::Result;
use crate::base::hit::ChunkId;
use crate::index::versions::file::corrupt;

/// The numbers of parameters of the prepared statements. A list is padded to the next size, so that a
/// connection prepares at most this many statements. The largest size is also the most rows per query.
const SIZES: [usize; 6] = [8, 20, 32, 64, 128, 256];

/// The rows of a list of chunk ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hydrated {
    /// One per requested id, in that order.
    pub rows: Vec<ChunkRow>,
    /// Bytes of the SQL that was run.
    pub sql_bytes: usize,
}

impl Catalog {
    /// The rows of `ids`, in that order; a repeated id has a repeated row. An id that is not in the
    /// catalog is `IndexCorrupt`, because another file of the version does not match it.
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
        if let Some(missing) = wanted.iter().find(|id| !found.contains_key(id)) {
            return Err(corrupt(self.path(), format!("it has no chunk {missing}")));
        }
        let repeated = wanted.len() < ids.len();
        let take = |id: &ChunkId| {
            if repeated { found.get(&id.0).cloned() } else { found.remove(&id.0) }
        };
        Ok(Hydrated { rows: ids.iter().filter_map(take).collect(), sql_bytes })
    }
}

fn parameters(n: usize) -> usize {
    SIZES.into_iter().find(|size| *size >= n).unwrap_or(n)
}

fn sql(n: usize) -> String {
    let marks = vec!["?"; parameters(n)].join(",");
    format!("select {} from chunks where id in ({marks})", ChunkRow::COLUMNS)
}

fn fetch(
    conn: &Connection,
    sql: &str,
    batch: &[u32],
    found: &mut HashMap<u32, ChunkRow>,
) -> duckdb::Result<()> {
    let Some(last) = batch.last() else { return Ok(()) };
    let padding = std::iter::repeat_n(last, parameters(batch.len()) - batch.len());
    let ids = params_from_iter(batch.iter().chain(padding));
    for row in conn.prepare_cached(sql)?.query_map(ids, ChunkRow::read)? {
        let row = row?;
        found.insert(row.id.0, row);
    }
    Ok(())
}
