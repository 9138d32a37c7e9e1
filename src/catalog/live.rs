//! Which rows of a version were not deleted?
//!
//! `live.bits` is the bitmap of [`ChunkSet::words`] in little endian; it is absent when every row is
//! live.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::hit::ChunkSet;

const FILE: &str = "live.bits";

/// The live rows of the version in `folder`, which has `rows` rows; `None` when all are.
pub fn read(folder: &Path, rows: usize) -> Result<Option<ChunkSet>> {
    let path = folder.join(FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", &path, e)),
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    match ChunkSet::from_words(words, rows) {
        Some(live) if rest.is_empty() => Ok(Some(live)),
        _ => {
            let detail = format!("{} bytes do not fit {rows} rows", bytes.len());
            Err(Error::IndexCorrupt { path, detail })
        }
    }
}

/// Writes the live rows into a staging folder. A hard link to an older version's file is replaced,
/// never written through.
pub fn write(folder: &Path, live: &ChunkSet) -> Result<()> {
    let path = folder.join(FILE);
    let new = folder.join("live.bits.new");
    let bytes: Vec<u8> = live.words().iter().flat_map(|word| word.to_le_bytes()).collect();
    fs::write(&new, bytes).map_err(|e| Error::io("write", &new, e))?;
    fs::rename(&new, &path).map_err(|e| Error::io("rename", &path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hit::ChunkId;

    #[test]
    fn live_rows_come_back_and_a_wrong_length_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), 70).unwrap(), None);
        let mut live = ChunkSet::all(70);
        live.remove(ChunkId(3));
        write(folder.path(), &live).unwrap();
        assert_eq!(read(folder.path(), 70).unwrap(), Some(live));
        assert!(matches!(read(folder.path(), 7000), Err(Error::IndexCorrupt { .. })));
    }
}
