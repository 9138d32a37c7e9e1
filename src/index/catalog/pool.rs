//! Pool: read-only connections to one file.

use std::path::{Path, PathBuf};

use duckdb::{AccessMode, Config, Connection};
use parking_lot::{Condvar, Mutex};

use super::duckdb_error::{read_error, write_error};
use crate::base::error::Result;

/// The most queries that run at once; others wait. A connection holds about 1 MiB of cached statements
/// and their last results, so all of them hold about 16 MiB.
const CONNECTIONS_MAX: usize = 16;

/// Prepared statements per connection: one for each size of a hydration and one per other query.
const STATEMENTS_MAX: usize = 32;

/// Memory of a reader for its block cache and running queries together.
const READER_MEMORY_MAX: &str = "512MiB";

/// Memory of a writer, beyond which DuckDB spills into the folder beside the file.
const WRITER_MEMORY_MAX: &str = "1GiB";

/// DuckDB plans a statement with parameters at each run. Turning the list of ids into a join, only to
/// use the key in the end, took a third of a hydration: without that step 20 rows take 1.4 ms of CPU
/// time instead of 2.0 ms, and 256 rows take the same time.
const READER_SETTINGS: &str = "set disabled_optimizers = 'in_clause'";

fn config() -> duckdb::Result<Config> {
    // One thread per query, because there are many callers and twenty rows are too few to divide. No
    // query needs an extension, so none may be looked up on the network.
    Config::default().threads(1)?.enable_autoload_extension(false)
}

/// Opens `path` to read and write. DuckDB locks it against other processes.
pub(super) fn open_writer(path: &Path) -> Result<Connection> {
    let open = || {
        let config = config()?
            .access_mode(AccessMode::ReadWrite)?
            .max_memory(WRITER_MEMORY_MAX)?
            .with("temp_directory", spill_folder(path).to_string_lossy())?;
        Connection::open_with_flags(path, config)
    };
    open().map_err(write_error(path))
}

/// Where a writer of `path` spills: beside the file, so inside the staging folder.
pub(super) fn spill_folder(path: &Path) -> PathBuf {
    let mut folder = path.as_os_str().to_owned();
    folder.push(".spill");
    folder.into()
}

/// Read-only connections to one file. A query has a connection for itself.
pub(super) struct Pool {
    path: PathBuf,
    state: Mutex<State>,
    returned: Condvar,
}

struct State {
    idle: Vec<Connection>,
    opened: usize,
    /// Cloned and never queried, so that it is always free to be cloned.
    seed: Connection,
}

impl Pool {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let open = || {
            let config = config()?
                .access_mode(AccessMode::ReadOnly)?
                .max_memory(READER_MEMORY_MAX)?
                .with("temp_directory", "")?;
            let seed = Connection::open_with_flags(path, config)?;
            seed.execute_batch(READER_SETTINGS)?;
            Ok(seed)
        };
        let seed = open().map_err(read_error(path))?;
        Ok(Self {
            path: path.to_path_buf(),
            state: Mutex::new(State { idle: Vec::new(), opened: 0, seed }),
            returned: Condvar::new(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `query` on a connection, after waiting for one if all are busy.
    pub(super) fn with<T>(&self, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let pooled = PooledConnection { pool: self, connection: Some(self.take()?) };
        query(pooled.connection.as_ref().expect("only drop takes the connection"))
    }

    fn take(&self) -> Result<Connection> {
        let mut state = self.state.lock();
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok(connection);
            }
            if state.opened < CONNECTIONS_MAX {
                let connection = state.seed.try_clone().map_err(read_error(&self.path))?;
                connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
                state.opened += 1;
                return Ok(connection);
            }
            self.returned.wait(&mut state);
        }
    }
}

/// A connection that returns to the pool when it is dropped, also when a query panics.
struct PooledConnection<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for PooledConnection<'_> {
    fn drop(&mut self) {
        self.pool.state.lock().idle.extend(self.connection.take());
        self.pool.returned.notify_one();
    }
}
