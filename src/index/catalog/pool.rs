//! Which connection runs this query?

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use duckdb::{AccessMode, Config, Connection};

use super::fault::{OnFile, While};
use crate::base::error::Result;

/// Queries that run at once; one more waits. A connection holds about 1 MiB of cached statements
/// and their last results, so all of them hold about 16 MiB.
const CONNECTIONS_MAX: usize = 16;

/// Prepared statements kept by a connection: the sizes of a hydration and one for each other query.
const STATEMENTS_MAX: usize = 32;

/// Memory of a reader's block cache and running queries together.
const READER_MEMORY_MAX: &str = "512MiB";

/// Memory of a writer; beyond it DuckDB spills into the folder beside the file.
const WRITER_MEMORY_MAX: &str = "1GiB";

/// DuckDB plans a statement with parameters anew at each run, and turning a list of ids into a join
/// first, only to find that the key serves it, was a third of a hydration: 20 rows took 1.4 ms
/// instead of 2.0 ms without that step (CPU time), 256 rows the same.
const READER_SETTINGS: &str = "set disabled_optimizers = 'in_clause'";

fn config() -> duckdb::Result<Config> {
    // One thread a query: the callers are already many, and twenty rows are no work to share.
    // Nothing here needs an extension, so that none may be looked for on the network.
    Config::default().threads(1)?.enable_autoload_extension(false)
}

/// Opens `path` to read and write; DuckDB lets no other process open it meanwhile.
pub(super) fn open_writer(path: &Path) -> Result<Connection> {
    let open = || {
        let config = config()?
            .access_mode(AccessMode::ReadWrite)?
            .max_memory(WRITER_MEMORY_MAX)?
            .with("temp_directory", spill_folder(path).to_string_lossy())?;
        Connection::open_with_flags(path, config)
    };
    open().on(While::Writing, path)
}

/// Where a writer of `path` spills: beside the file, thus inside the staging folder.
pub(super) fn spill_folder(path: &Path) -> PathBuf {
    let mut folder = path.as_os_str().to_owned();
    folder.push(".spill");
    folder.into()
}

/// Connections to one file opened read-only, lent to one query each.
pub(super) struct Pool {
    path: PathBuf,
    state: Mutex<State>,
    returned: Condvar,
}

struct State {
    idle: Vec<Connection>,
    made: usize,
    /// Only cloned, never queried, so that a clone can be made while all others are lent.
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
        let seed = open().on(While::Reading, path)?;
        Ok(Self {
            path: path.to_path_buf(),
            state: Mutex::new(State { idle: Vec::new(), made: 0, seed }),
            returned: Condvar::new(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `query` on a connection of its own, waiting for one if all are busy.
    pub(super) fn with<T>(&self, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let lent = Lent { pool: self, connection: Some(self.take()?) };
        query(lent.connection.as_ref().expect("only the drop of a loan takes it"))
    }

    fn take(&self) -> Result<Connection> {
        let mut state = self.lock();
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok(connection);
            }
            if state.made < CONNECTIONS_MAX {
                let connection = state.seed.try_clone().on(While::Reading, &self.path)?;
                connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
                state.made += 1;
                return Ok(connection);
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing that runs under this lock can leave the list half changed, so a panic elsewhere
    /// does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the connection back even when a query panics.
struct Lent<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.pool.lock().idle.extend(self.connection.take());
        self.pool.returned.notify_one();
    }
}
