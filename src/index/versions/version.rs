//! A published version: its folder, its manifest, and the check that every part is whole.

use std::fs;

use super::file::{checksum, corrupt};
use super::manifest::{Part, VersionManifest};
use super::version_folder::VersionFolder;
use crate::base::error::Result;

/// Files up to this size are compared with their checksum whenever a version is opened; of larger
/// ones only the length is checked then, and everything by [`IndexVersion::verify`].
const CHECKED_BYTES_MAX: u64 = 32 << 20;

/// A published version. Nothing in its folder ever changes.
#[derive(Debug, Clone)]
pub struct IndexVersion {
    pub folder: VersionFolder,
    pub manifest: VersionManifest,
}

impl IndexVersion {
    /// Reads the manifest in `folder` and checks the length of every part and the checksum of small
    /// ones.
    pub(super) fn open(folder: VersionFolder) -> Result<Self> {
        let version = Self { manifest: VersionManifest::read(&folder)?, folder };
        for part in &version.manifest.parts {
            version.check(part, part.bytes <= CHECKED_BYTES_MAX)?;
        }
        Ok(version)
    }

    /// Reads every file of the version and compares it with its checksum.
    pub fn verify(&self) -> Result<()> {
        self.manifest.parts.iter().try_for_each(|part| self.check(part, true))
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.manifest.parts.iter().map(|part| part.bytes).sum()
    }

    fn check(&self, part: &Part, with_checksum: bool) -> Result<()> {
        let path = self.folder.path().join(&part.path);
        let found = fs::metadata(&path).map_err(|e| corrupt(&path, e.to_string()))?.len();
        if found != part.bytes {
            let expected = part.bytes;
            return Err(corrupt(&path, format!("it has {found} bytes instead of {expected}")));
        }
        if with_checksum && checksum(&path)? != part.blake3 {
            return Err(corrupt(&path, "its checksum differs from the one in its manifest"));
        }
        Ok(())
    }
}
