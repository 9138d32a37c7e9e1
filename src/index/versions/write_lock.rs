//! The lock that one writer at a time holds on a data folder.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use super::manifest::now;
use super::version_folder::{LOCK, VERSIONS};
use crate::base::error::{Error, Result};

/// The right to write into a data folder. It is released when this value is dropped or its process
/// ends.
#[derive(Debug)]
pub struct WriteLock {
    _file: File,
}

impl WriteLock {
    /// Takes the lock of the data folder `data`, or returns `IndexLocked` with its holder.
    pub(super) fn acquire(data: &Path) -> Result<Self> {
        fs::create_dir_all(data.join(VERSIONS)).map_err(|e| Error::io("create", data, e))?;
        let path = data.join(LOCK);
        let mut file = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::IndexLocked { data: data.to_path_buf(), holder: holder(file) });
            }
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path, e)),
        }
        let this_process = format!("process {} since {}\n", std::process::id(), now());
        file.set_len(0)
            .and_then(|()| file.write_all(this_process.as_bytes()))
            .map_err(|e| Error::io("write", &path, e))?;
        Ok(Self { _file: file })
    }
}

/// What the holder of the lock wrote into it.
fn holder(mut file: File) -> String {
    let mut text = String::new();
    // The holder may be about to write its name; then it stays unnamed.
    let _ = file.read_to_string(&mut text);
    let name = text.trim();
    if name.is_empty() { "another process".to_owned() } else { name.to_owned() }
}
