//! Where does a file come from that a commit added? From a file that the commit removed.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice};

use super::objects::{Deleted, Node, Objects};
use crate::base::error::Result;
use crate::corpus::time_limit::TimeLimit;

/// The least similarity of a renamed file, as in git.
const SIMILARITY_MIN: f64 = 0.5;
/// The least similarity at which a file of the same name is taken before others, as in git.
const SAME_NAME_SIMILARITY_MIN: f64 = 0.75;
/// Of more removed files than these only those with equal content or an equal name are compared:
/// comparing reads every one of them.
const CANDIDATES_MAX: usize = 1000;
/// The longest piece of a line that is compared as one, as in git.
const CHUNK_BYTES_MAX: usize = 64;

/// The path in `parent` of the file that `commit` has at `path` with the content `blob`; `None` if
/// the commit added it, or if no time is left.
pub(super) fn renamed_from(
    objects: &Objects<'_>,
    parent: &Node,
    commit: &Node,
    path: &BStr,
    blob: ObjectId,
    limit: &TimeLimit<'_>,
) -> Result<Option<BString>> {
    let mut deleted = objects.deleted(parent, commit)?;
    let named = |candidate: &Deleted| file_name(candidate.path.as_bstr()) == file_name(path);
    let mut equal = deleted.iter().filter(|candidate| candidate.blob == blob);
    if let Some(first) = equal.clone().find(|candidate| named(candidate)).or_else(|| equal.next()) {
        return Ok(Some(first.path.clone()));
    }
    if deleted.len() > CANDIDATES_MAX {
        deleted.retain(named);
        deleted.truncate(CANDIDATES_MAX);
    }
    let bytes = objects.blob_bytes(blob)?;
    if bytes == 0 || deleted.is_empty() {
        return Ok(None);
    }
    let content = Chunks::new(&objects.blob(blob)?);
    let only_name = deleted.iter().filter(|candidate| named(candidate)).count() == 1;
    let mut best: Option<(f64, Deleted)> = None;
    for candidate in deleted {
        if limit.is_over()? {
            return Ok(None);
        }
        let other = objects.blob_bytes(candidate.blob)?;
        if (bytes.min(other) as f64) < SIMILARITY_MIN * bytes.max(other) as f64 {
            continue;
        }
        let similarity = content.similarity(&Chunks::new(&objects.blob(candidate.blob)?));
        if only_name && named(&candidate) && similarity >= SAME_NAME_SIMILARITY_MIN {
            return Ok(Some(candidate.path));
        }
        let least = best.as_ref().map_or(SIMILARITY_MIN, |(best, _)| *best);
        if similarity > least || best.is_none() && similarity >= least {
            best = Some((similarity, candidate));
        }
    }
    Ok(best.map(|(_, candidate)| candidate.path))
}

fn file_name(path: &BStr) -> &BStr {
    path.rsplit_str("/").next().unwrap_or(path).as_bstr()
}

/// The lines of a file as a multiset: how many bytes it has of each. Long lines count in pieces.
struct Chunks {
    bytes: HashMap<u64, usize>,
    total: usize,
}

impl Chunks {
    fn new(data: &[u8]) -> Self {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut bytes = HashMap::new();
        for line in data.lines_with_terminator() {
            for chunk in line.chunks(CHUNK_BYTES_MAX) {
                *bytes.entry(hasher.hash_one(chunk)).or_default() += chunk.len();
            }
        }
        Self { bytes, total: data.len() }
    }

    /// The bytes in common as a fraction of the larger file.
    fn similarity(&self, other: &Self) -> f64 {
        let common =
            |(hash, bytes): (&u64, &usize)| other.bytes.get(hash).map_or(0, |n| *n.min(bytes));
        let common: usize = self.bytes.iter().map(common).sum();
        common as f64 / self.total.max(other.total).max(1) as f64
    }
}
