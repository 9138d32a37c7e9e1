//! What the integration tests share: places with an index, the binary, servers, models and sources.

mod endpoint;
mod files;
mod hub;
mod model;
mod place;
mod ran;
mod serving;
mod tls;

use std::process::Command;
use std::time::{Duration, Instant};

pub use endpoint::Endpoint;
pub use files::{many, many_files, rust_file};
pub use hub::{Hub, Request, TOKEN, sha256};
pub use model::{golden, golden_json, overflow_token, tiny_model};
pub use place::{CONTENT_CHANNELS, Place, ask, cx, engine, fingerprint, only, paths};
pub use ran::Ran;
pub use serving::{Reply, Serving, agent, is_hex, reply};
pub use tls::TlsProxy;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_codeintel");

/// Longer than anything takes here: a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(120);

#[track_caller]
pub fn wait_for(what: &str, is_so: impl FnMut() -> bool) {
    wait_until(what, PATIENCE, is_so);
}

/// Waits until `is_so`, at most for `limit`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < limit, "{what} did not come within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal to a process, by its name as in `kill -TERM`.
pub fn signal(pid: u32, name: &str) {
    let kill = format!("kill -{name} {pid}");
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}
