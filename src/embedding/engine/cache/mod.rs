//! Has this model already embedded this text, in any process that shares the folder?
//!
//! The cache is a folder of append-only segments, each written by one process. Nothing is ever
//! overwritten, so several processes may share the folder, and any of them may be killed at any
//! instant. When the folder exceeds its limit in bytes, the oldest segments are removed.

mod segment;

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{BuildHasherDefault, Hasher};
use std::path::{Path, PathBuf};

use parking_lot::RwLock;
use segment::{Owner, Reader, Writer};

use crate::base::error::{Error, Result};

/// A segment is closed at this fraction of the limit, so that removing the oldest one loses little.
const SEGMENTS_PER_BOUND: u64 = 8;
/// Opening the folder merges small segments if there are more than this.
const SMALL_SEGMENTS_MAX: usize = 32;
/// A segment is small if it is below this fraction of a full one.
const SMALL_SHARE: u64 = 16;
/// The lock file that the merging process holds.
const MERGE_LOCK: &str = "merge.lock";

/// The key of a text or a pair: its blake3 hash, keyed with the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub(self) [u8; 32]);

/// The number of tokens of a text or a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub tokens: u32,
    pub truncated: bool,
}

impl Usage {
    const TRUNCATED: u32 = 1 << 31;

    fn pack(self) -> u32 {
        self.tokens & !Self::TRUNCATED | if self.truncated { Self::TRUNCATED } else { 0 }
    }

    fn unpack(word: u32) -> Self {
        Self { tokens: word & !Self::TRUNCATED, truncated: word & Self::TRUNCATED != 0 }
    }
}

/// One vector to store.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub key: Key,
    pub usage: Usage,
    /// `[d]`
    pub vector: &'a [f32],
}

/// The cache of one model. Threads share it, and other processes may use the folder at the same
/// time.
#[derive(Debug)]
pub struct VectorCache {
    folder: PathBuf,
    owner: Owner,
    bytes_max: u64,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Keyed by the first 8 bytes of the key. The checksum distinguishes two keys that share them.
    places: HashMap<u64, Place, BuildHasherDefault<PrefixHasher>>,
    /// Indexed by segment number. A removed segment leaves a gap.
    segments: Vec<Option<Reader>>,
    writer: Option<(Writer, u32)>,
}

/// The location of a vector.
#[derive(Debug, Clone, Copy)]
struct Place {
    segment: u32,
    record: u32,
    usage: u32,
    check: u32,
}

/// A hasher that passes keys through, because they are hashes already.
#[derive(Debug, Default)]
struct PrefixHasher(u64);

impl Hasher for PrefixHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 keys are hashed");
    }
    fn write_u64(&mut self, prefix: u64) {
        self.0 = prefix;
    }
}

fn prefix(key: &Key) -> u64 {
    u64::from_le_bytes(key.0[..8].try_into().expect("8 bytes"))
}

impl VectorCache {
    /// Opens the cache of `model`, a key that changes whenever its vectors change. Each vector has
    /// `d` values.
    pub fn open(folder: &Path, model: &str, d: usize, bytes_max: u64) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let owner = Owner { model: *blake3::hash(model.as_bytes()).as_bytes(), d };
        let cache = Self {
            folder: folder.to_path_buf(),
            owner,
            bytes_max,
            state: RwLock::new(State::default()),
        };
        cache.merge_small()?;
        let mut state = State::default();
        for listed in segment::list(folder)? {
            let Some((reader, entries)) = Reader::open(&listed.stem, &cache.owner) else {
                continue;
            };
            let number = state.segments.len() as u32;
            state.places.reserve(entries.len());
            for (record, entry) in (0..).zip(&entries) {
                let (usage, check) = (entry.usage, entry.check);
                let place = Place { segment: number, record, usage, check };
                state.places.insert(prefix(&entry.key), place);
            }
            state.segments.push(Some(reader));
        }
        cache.make_room(&mut state, 0)?;
        *cache.state.write() = state;
        Ok(cache)
    }

    /// The key of a text.
    pub fn key(&self, text: &str) -> Key {
        Key(*blake3::keyed_hash(&self.owner.model, text.as_bytes()).as_bytes())
    }

    /// The key of a pair of texts.
    pub fn pair_key(&self, (first, second): (&str, &str)) -> Key {
        let mut hasher = blake3::Hasher::new_keyed(&self.owner.model);
        // The length distinguishes two pairs whose concatenations are equal.
        hasher.update(&(first.len() as u64).to_le_bytes());
        hasher.update(first.as_bytes()).update(second.as_bytes());
        Key(*hasher.finalize().as_bytes())
    }

    /// Fills `vector`, `[d]`, if the cache holds the vector of `key`. A vector that is not finite,
    /// as other versions may have stored, counts as damaged.
    pub fn get(&self, key: &Key, vector: &mut [f32]) -> Option<Usage> {
        assert_eq!(vector.len(), self.owner.d);
        let mut bytes = vec![0; vector.len() * 4];
        {
            let state = self.state.read();
            let place = state.places.get(&prefix(key))?;
            let reader = state.segments[place.segment as usize].as_ref()?;
            let read = reader.read(place.record, &mut bytes);
            if read.is_ok() && segment::check(key, place.usage, &bytes) == place.check {
                for (value, bytes) in vector.iter_mut().zip(bytes.chunks_exact(4)) {
                    *value = f32::from_le_bytes(bytes.try_into().expect("chunks of 4"));
                }
                if vector.iter().all(|value| value.is_finite()) {
                    return Some(Usage::unpack(place.usage));
                }
            }
        }
        // Remove the damaged entry, so that the vector computed next replaces it.
        let mut state = self.state.write();
        state.places.remove(&prefix(key));
        None
    }

    /// Stores those of `records` that are finite, and removes the oldest segments to make room. A
    /// failure does not affect records already stored.
    pub fn insert(&self, records: &[Record<'_>]) -> Result<()> {
        let mut state = self.state.write();
        let is_fresh = |record: &&Record<'_>| {
            !state.holds(&record.key) && record.vector.iter().all(|value| value.is_finite())
        };
        let fresh: Vec<_> = records.iter().filter(is_fresh).copied().collect();
        let room = self.segment_bytes_max() / self.owner.record_bytes();
        // If the limit has no room for a segment of one vector, nothing is stored.
        let records_max = usize::try_from(room.saturating_sub(1)).unwrap_or(usize::MAX);
        if records_max == 0 {
            return Ok(());
        }
        for records in fresh.chunks(records_max.min(1024)) {
            self.append(&mut state, records)?;
        }
        Ok(())
    }

    fn segment_bytes_max(&self) -> u64 {
        self.bytes_max / SEGMENTS_PER_BOUND
    }

    fn append(&self, state: &mut State, records: &[Record<'_>]) -> Result<()> {
        let bytes = records.len() as u64 * self.owner.record_bytes();
        let full = |writer: &Writer| writer.bytes + bytes > self.segment_bytes_max();
        if state.writer.as_ref().is_some_and(|(w, _)| full(w) || !w.is_linked()) {
            state.writer = None;
        }
        self.make_room(state, bytes)?;
        let (mut writer, number) = match state.writer.take() {
            Some(writer) => writer,
            None => {
                let writer = Writer::create(&self.folder, &self.owner)?;
                state.segments.push(Some(writer.reader()?));
                (writer, state.segments.len() as u32 - 1)
            }
        };
        let first = writer.n;
        // A writer that failed is not put back, so its incomplete record remains the last of its
        // segment.
        let checks = writer.append(records)?;
        for ((record, r), check) in (first..).zip(records).zip(checks) {
            let place = Place { segment: number, record, usage: r.usage.pack(), check };
            state.places.insert(prefix(&r.key), place);
        }
        state.writer = Some((writer, number));
        Ok(())
    }

    /// Removes the oldest segments of any model until `bytes` more fit, and drops their entries.
    fn make_room(&self, state: &mut State, bytes: u64) -> Result<()> {
        let mut listed = segment::list(&self.folder)?;
        let active = state.writer.as_ref().map(|(writer, _)| writer.stem.clone());
        let mut total: u64 = listed.iter().map(|segment| segment.bytes).sum();
        listed.retain(|segment| {
            let keep = total + bytes <= self.bytes_max || Some(&segment.stem) == active.as_ref();
            if !keep {
                segment::remove(&segment.stem);
                total -= segment.bytes;
            }
            keep
        });
        let stems: std::collections::HashSet<_> = listed.iter().map(|s| &s.stem).collect();
        // An open file keeps its bytes on disk, so segments removed by other processes are closed
        // too.
        let mut gone = false;
        for slot in &mut state.segments {
            if slot.as_ref().is_some_and(|reader| !stems.contains(&reader.stem)) {
                *slot = None;
                gone = true;
            }
        }
        if gone {
            let State { places, segments, .. } = state;
            places.retain(|_, place| segments[place.segment as usize].is_some());
        }
        Ok(())
    }

    /// Merges small segments that no running process writes into one, and removes empty ones.
    fn merge_small(&self) -> Result<()> {
        let path = self.folder.join(MERGE_LOCK);
        let lock = File::create(&path).map_err(|e| Error::io("create", &path, e))?;
        if lock.try_lock().is_err() {
            return Ok(());
        }
        let small_max = self.segment_bytes_max() / SMALL_SHARE;
        let mut small = Vec::new();
        for listed in segment::list(&self.folder)?.into_iter().filter(|s| s.bytes < small_max) {
            let Some((reader, entries)) = Reader::open(&listed.stem, &self.owner) else {
                continue;
            };
            if let Some(claim) = segment::claim(&listed.stem) {
                small.push((listed, reader, entries, claim));
            }
        }
        for (listed, ..) in small.iter().filter(|(_, _, entries, _)| entries.is_empty()) {
            segment::remove(&listed.stem);
        }
        small.retain(|(_, _, entries, _)| !entries.is_empty());
        if small.len() <= SMALL_SEGMENTS_MAX {
            return Ok(());
        }
        let mut merged = Writer::create(&self.folder, &self.owner)?;
        for (listed, reader, entries, _claim) in &small {
            if merged.bytes + listed.bytes > self.segment_bytes_max() {
                break;
            }
            copy(reader, entries, self.owner.d, &mut merged)?;
            segment::remove(&listed.stem);
        }
        Ok(())
    }
}

impl State {
    fn holds(&self, key: &Key) -> bool {
        self.places.contains_key(&prefix(key))
    }
}

/// Appends the complete records of one segment to another.
fn copy(reader: &Reader, entries: &[segment::Entry], d: usize, merged: &mut Writer) -> Result<()> {
    let mut bytes = vec![0; d * 4];
    for (record, entry) in (0..).zip(entries) {
        let read = reader.read(record, &mut bytes);
        if read.is_err() || segment::check(&entry.key, entry.usage, &bytes) != entry.check {
            continue;
        }
        let words = bytes.chunks_exact(4);
        let vector: Vec<f32> =
            words.map(|b| f32::from_le_bytes(b.try_into().expect("chunks of 4"))).collect();
        let usage = Usage::unpack(entry.usage);
        merged.append(&[Record { key: entry.key, usage, vector: &vector }])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
