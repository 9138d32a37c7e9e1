//! Checksums of files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::base::error::{Error, Result};

/// SHA-256, 64 hexadecimal digits, by path relative to a model's folder.
pub type FileSums = BTreeMap<String, String>;

/// The checksum comparison of one file of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCheck {
    /// Path relative to the model's folder.
    pub file: String,
    /// SHA-256, 64 hexadecimal digits.
    pub expected: String,
    /// SHA-256 of the file that is there; `None` if it is missing.
    pub found: Option<String>,
}

impl FileCheck {
    pub fn is_ok(&self) -> bool {
        self.found.as_ref() == Some(&self.expected)
    }
}

/// Compares each file under `folder` with its checksum.
pub fn compare(folder: &Path, files: &FileSums) -> Result<Vec<FileCheck>> {
    let check = |(file, expected): (&String, &String)| {
        let found = sha256(&folder.join(file))?;
        Ok(FileCheck { file: file.clone(), expected: expected.clone(), found })
    };
    files.iter().map(check).collect()
}

/// Returns an error for the first file under `folder` that is missing or differs.
pub fn require_whole(folder: &Path, files: &FileSums) -> Result<()> {
    match compare(folder, files)?.into_iter().find(|check| !check.is_ok()) {
        None => Ok(()),
        Some(bad) => Err(Error::ModelBroken {
            path: folder.join(bad.file),
            detail: match &bad.found {
                None => "the file is missing".to_owned(),
                Some(found) => format!("its SHA-256 is {found}, expected {}", bad.expected),
            },
        }),
    }
}

/// SHA-256 of a file as 64 hexadecimal digits; `None` if the file does not exist.
pub fn sha256(path: &Path) -> Result<Option<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::PathUnreadable { path: path.to_path_buf(), source }),
    };
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(|e| Error::io("read", path, e))? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(Some(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_is_the_published_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&path).unwrap().as_deref(), Some(abc));
        assert_eq!(sha256(&folder.path().join("none")).unwrap(), None);
    }
}
