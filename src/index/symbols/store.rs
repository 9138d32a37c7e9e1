//! The symbol index on disk, and opening it.
//!
//! `symbols.fst`, little-endian: a head of [`HEAD_BYTES`] (magic, version, a digest of all the
//! rest, the lengths of the sections), then the sections. Three transducers map a key to the number
//! of a list; the lists of each follow as `u32` starts `[lists + 1]` and `u32` items.
//!
//! | transducer | key | items of its lists |
//! |---|---|---|
//! | names | the name without case and underscores | entries |
//! | paths | the qualified name reversed, `acquire.pool.net` | entries |
//! | parts | a part of a name, lower case | numbers of lists of `names` |
//!
//! An entry is four `u32`: start and length of its name in the text section, chunk, and the kind as
//! its position in [`SymbolKind::ALL`]. In files of the format before (`CISYMBL1`) the last is the
//! penalty that the writer gave to the kind, 0 to 2.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;

use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;
use crate::corpus::chunk::SymbolKind;
use crate::index::versions::file::{corrupt, digest, map, replace_with};

use super::{SymbolEntry, folded, parts, reversed};

const FILE: &str = "symbols.fst";
const MAGIC: &[u8; 8] = b"CISYMBL2";
/// The format before, which is still read.
const MAGIC_1: &[u8; 8] = b"CISYMBL1";
const SECTIONS: usize = 11;
const ABOUT_BYTES: usize = 8 * SECTIONS;
const HEAD_BYTES: usize = MAGIC.len() + 32 + ABOUT_BYTES;
const ENTRY_BYTES: usize = 16;

/// The names of one version and the chunks that define them.
pub struct SymbolIndex {
    bytes: Bytes,
    sections: [Range<usize>; SECTIONS],
    pub(super) names: Keys,
    pub(super) paths: Keys,
    pub(super) parts: Keys,
    names_count: usize,
    /// All entries, in the order of their chunks.
    by_chunk: Vec<u32>,
    kind_of: fn(u32) -> SymbolKind,
}

/// A transducer in the bytes of the index, and the sections of its lists.
pub(super) struct Keys {
    pub(super) map: fst::Map<Part>,
    starts: usize,
    items: usize,
}

/// The bytes of an index, shared by its transducers.
#[derive(Clone)]
enum Bytes {
    Built(std::sync::Arc<[u8]>),
    Mapped(std::sync::Arc<Mmap>),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Built(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

/// One section of the bytes.
pub(super) struct Part(Bytes, Range<usize>);

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.0.as_ref()[self.1.clone()]
    }
}

/// One definition as it is stored.
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) id: ChunkId,
    pub(super) kind: SymbolKind,
}

impl SymbolIndex {
    /// Builds an index of all definitions, in any order.
    pub fn build<'a>(entries: impl IntoIterator<Item = SymbolEntry<'a>>) -> Result<Self> {
        let mut entries: Vec<SymbolEntry<'_>> =
            entries.into_iter().filter(|entry| !folded(entry.name).is_empty()).collect();
        entries.sort_unstable_by_key(|e| (e.name, e.id, e.kind, e.qualified));
        let mut text = String::new();
        let mut rows = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        let mut names: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let mut paths: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let mut last = None;
        let mut start = 0;
        for (i, entry) in entries.iter().enumerate() {
            if last != Some(entry.name) {
                last = Some(entry.name);
                start = text.len();
                text += entry.name;
            }
            let fields = [start as u32, entry.name.len() as u32, entry.id.0, entry.kind as u32];
            rows.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
            names.entry(folded(entry.name)).or_default().push(i as u32);
            let path = reversed(entry.qualified);
            if path.contains('.') {
                paths.entry(path).or_default().push(i as u32);
            }
        }
        if u32::try_from(text.len()).is_err() || u32::try_from(entries.len()).is_err() {
            return Err(Error::Unavailable {
                what: format!("a symbol index of {} definitions", entries.len()),
                remedy: "index fewer roots together".to_owned(),
            });
        }
        let parts = parts_of(&names, &entries);
        let mut sections = vec![rows, text.into_bytes()];
        for keys in [&names, &paths, &parts] {
            sections.extend(lists(keys)?);
        }
        let bytes = assemble(&sections);
        Self::check(Bytes::Built(bytes.into()), Path::new(FILE))
    }

    /// Writes the index into `folder`, by rename.
    pub fn save(&self, folder: &Path) -> Result<()> {
        replace_with(&folder.join(FILE), &[self.bytes.as_ref()])
    }

    /// Opens the index in `folder` memory-mapped and checks every byte of it.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        Self::check(Bytes::Mapped(std::sync::Arc::new(map(&path)?)), &path)
    }

    fn check(bytes: Bytes, path: &Path) -> Result<Self> {
        let all = bytes.as_ref();
        let (head, body) = all
            .split_first_chunk::<HEAD_BYTES>()
            .ok_or_else(|| corrupt(path, format!("it has only {} bytes", all.len())))?;
        let (magic, rest) = head.split_at(MAGIC.len());
        let (stored, about) = rest.split_at(32);
        let kind_of = match magic {
            magic if magic == MAGIC => kind_at,
            magic if magic == MAGIC_1 => kind_of_penalty,
            _ => {
                return Err(corrupt(path, "it is not a symbol index: its magic number is another"));
            }
        };
        if digest(body, about) != stored {
            return Err(corrupt(path, "its digest does not match its bytes"));
        }
        let sections = places(about, all.len())
            .ok_or_else(|| corrupt(path, "its sections do not add up to its length"))?;
        let keys = |first: usize| -> Result<Keys> {
            let part = Part(bytes.clone(), sections[first].clone());
            let map = fst::Map::new(part).map_err(|error| corrupt(path, error.to_string()))?;
            Ok(Keys { map, starts: first + 1, items: first + 2 })
        };
        let mut index = Self {
            names: keys(2)?,
            paths: keys(5)?,
            parts: keys(8)?,
            bytes: bytes.clone(),
            sections: sections.clone(),
            names_count: 0,
            by_chunk: Vec::new(),
            kind_of,
        };
        index.names_count = index.count_names();
        let mut by_chunk: Vec<u32> = (0..index.n() as u32).collect();
        by_chunk.sort_unstable_by_key(|&i| (index.chunk_of(i), i));
        index.by_chunk = by_chunk;
        Ok(index)
    }

    fn section(&self, section: usize) -> &[u8] {
        &self.bytes.as_ref()[self.sections[section].clone()]
    }

    fn u32_at(&self, section: usize, i: usize) -> u32 {
        let bytes = &self.section(section)[4 * i..4 * i + 4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// The items of list `list` of a transducer.
    pub(super) fn items(&self, keys: &Keys, list: u64) -> impl ExactSizeIterator<Item = u32> {
        let list = list as usize;
        let section = keys.items;
        let range =
            self.u32_at(keys.starts, list) as usize..self.u32_at(keys.starts, list + 1) as usize;
        range.map(move |i| self.u32_at(section, i))
    }

    pub(super) fn entry(&self, i: u32) -> Entry<'_> {
        let at = |field: usize| self.u32_at(0, i as usize * ENTRY_BYTES / 4 + field);
        let range = at(0) as usize..(at(0) + at(1)) as usize;
        // The digest was right, so these are the bytes of a `str` that was written.
        let name = std::str::from_utf8(&self.section(1)[range]).unwrap_or_default();
        Entry { name, id: ChunkId(at(2)), kind: (self.kind_of)(at(3)) }
    }

    fn chunk_of(&self, i: u32) -> ChunkId {
        ChunkId(self.u32_at(0, i as usize * ENTRY_BYTES / 4 + 2))
    }

    /// The names that a chunk defines, without the headings of a text.
    pub fn defined_in(&self, chunk: ChunkId) -> impl Iterator<Item = &str> {
        let first = self.by_chunk.partition_point(|&i| self.chunk_of(i) < chunk);
        let entries = self.by_chunk[first..].iter().map(|&i| self.entry(i));
        let here = entries.take_while(move |entry| entry.id == chunk);
        here.filter(|entry| entry.kind != SymbolKind::Section).map(|entry| entry.name)
    }

    /// Definitions in the index.
    pub fn n(&self) -> usize {
        self.section(0).len() / ENTRY_BYTES
    }

    /// Distinct names; case distinguishes them.
    pub fn names(&self) -> usize {
        self.names_count
    }

    fn count_names(&self) -> usize {
        let starts: BTreeSet<u32> = (0..self.n()).map(|i| self.u32_at(0, 4 * i)).collect();
        starts.len()
    }

    /// Whether a definition has exactly this name.
    pub fn contains(&self, name: &str) -> bool {
        self.names
            .map
            .get(folded(name))
            .is_some_and(|list| self.items(&self.names, list).any(|i| self.entry(i).name == name))
    }
}

fn kind_at(position: u32) -> SymbolKind {
    // The digest was right, so this is the position of a kind that was written.
    SymbolKind::ALL.get(position as usize).copied().unwrap_or(SymbolKind::Function)
}

/// A kind that the writer of the format before gave this penalty.
fn kind_of_penalty(penalty: u32) -> SymbolKind {
    match penalty {
        0 => SymbolKind::Function,
        1 => SymbolKind::Module,
        _ => SymbolKind::Section,
    }
}

/// Each part of each name, with the numbers of the lists of names that have it.
fn parts_of(
    names: &BTreeMap<String, Vec<u32>>,
    entries: &[SymbolEntry<'_>],
) -> BTreeMap<String, Vec<u32>> {
    let mut found: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (list, items) in names.values().enumerate() {
        let spellings: BTreeSet<&str> = items.iter().map(|i| entries[*i as usize].name).collect();
        let own: BTreeSet<String> =
            spellings.iter().flat_map(|name| parts(name)).map(super::lower).collect();
        for part in own {
            found.entry(part).or_default().push(list as u32);
        }
    }
    found
}

/// Three sections: the transducer, the starts, the items.
fn lists(keys: &BTreeMap<String, Vec<u32>>) -> Result<[Vec<u8>; 3]> {
    let numbered = keys.keys().enumerate().map(|(i, key)| (key, i as u64));
    let map = fst::Map::from_iter(numbered).map_err(Error::library("fst", "build a map"))?;
    let mut starts = vec![0u32];
    let mut items = Vec::new();
    for list in keys.values() {
        items.extend_from_slice(list);
        starts.push(items.len() as u32);
    }
    let bytes = |numbers: Vec<u32>| numbers.into_iter().flat_map(u32::to_le_bytes).collect();
    Ok([map.into_fst().into_inner(), bytes(starts), bytes(items)])
}

fn assemble(sections: &[Vec<u8>]) -> Vec<u8> {
    let about: Vec<u8> =
        sections.iter().flat_map(|section| (section.len() as u64).to_le_bytes()).collect();
    let body = sections.concat();
    let digest = digest(&body, &about);
    [&MAGIC[..], &digest, &about, &body].concat()
}

/// Where each section lies; `None` when together they are not `total` bytes.
///
/// about: `[8 * sections]` bytes.
fn places(about: &[u8], total: usize) -> Option<[Range<usize>; SECTIONS]> {
    let mut at = HEAD_BYTES;
    let mut sections: [Range<usize>; SECTIONS] = std::array::from_fn(|_| 0..0);
    for (section, length) in sections.iter_mut().zip(about.as_chunks::<8>().0) {
        let end = at.checked_add(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        *section = at..end;
        at = end;
    }
    (at == total).then_some(sections)
}
