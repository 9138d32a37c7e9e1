//! The sparse index on disk, and opening it.
//!
//! `sparse.base` and, if rows were appended, `sparse.delta`, little-endian: a head of [`HEAD_BYTES`]
//! (magic, a digest of all the rest, the number of rows, the lengths of the sections in bytes), then the
//! sections, which are the fields of [`Postings`] in their order.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::BLOCK_ROWS;
use super::build::{Impacts, Postings};
use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;
use crate::index::versions::file::{corrupt, digest, map, remove_if_there, replace_with};

const BASE: &str = "sparse.base";
const DELTA: &str = "sparse.delta";
const MAGIC: &[u8; 8] = b"CISPARS1";
const SECTIONS: usize = 6;
const ABOUT_BYTES: usize = 8 * (1 + SECTIONS);
const HEAD_BYTES: usize = MAGIC.len() + 32 + ABOUT_BYTES;

/// The impacts of the chunks of one version.
pub struct SparseIndex {
    pub(super) base: Part,
    pub(super) delta: Option<Part>,
}

/// The postings of consecutive rows.
pub(super) struct Part {
    bytes: Bytes,
    rows: usize,
    sections: [Range<usize>; SECTIONS],
}

enum Bytes {
    Built(Vec<u8>),
    Mapped(Arc<Mmap>),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Built(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

impl SparseIndex {
    /// Builds an index without a delta. rows: `[n]`, in the order of the chunks.
    pub fn build(rows: &[Impacts]) -> Result<Self> {
        Ok(Self { base: Part::build(rows)?, delta: None })
    }

    /// Appends rows to the delta. rows: `[any]`.
    pub fn append(&mut self, rows: Vec<Impacts>) -> Result<()> {
        let first = self.base.rows as u32;
        let mut all = self.rows(&(first..self.n() as u32).map(ChunkId).collect::<Vec<_>>());
        all.extend(rows);
        self.delta = if all.is_empty() { None } else { Some(Part::build(&all)?) };
        Ok(())
    }

    /// Writes base and delta into `folder`, each by rename. A missing folder is created.
    pub fn save(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        replace_with(&folder.join(BASE), &[self.base.bytes.as_ref()])?;
        self.save_delta(folder)
    }

    /// Writes the delta into a folder that has the base.
    pub fn save_delta(&self, folder: &Path) -> Result<()> {
        let path = folder.join(DELTA);
        match &self.delta {
            Some(delta) => replace_with(&path, &[delta.bytes.as_ref()]),
            None => remove_if_there(&path).map_err(|source| Error::io("remove", &path, source)),
        }
    }

    /// Opens the index in `folder` memory-mapped and checks every byte of it.
    pub fn open(folder: &Path) -> Result<Self> {
        let delta = folder.join(DELTA);
        let has_delta = fs::exists(&delta).map_err(|source| Error::io("read", &delta, source))?;
        Ok(Self {
            base: Part::open(&folder.join(BASE))?,
            delta: has_delta.then(|| Part::open(&delta)).transpose()?,
        })
    }

    /// Rows of both parts.
    pub fn n(&self) -> usize {
        self.base.rows + self.delta.as_ref().map_or(0, |delta| delta.rows)
    }

    /// Impacts of both parts.
    pub fn impacts(&self) -> usize {
        self.parts().map(|(_, part)| part.section(5).len() / 2).sum()
    }

    /// Each part, with its first row.
    pub(super) fn parts(&self) -> impl Iterator<Item = (u32, &Part)> {
        let delta = self.delta.iter().map(|delta| (self.base.rows as u32, delta));
        [(0, &self.base)].into_iter().chain(delta)
    }

    /// The impacts of the chunks `ids`, `[any]`, in their order: the expansions of their texts need not be
    /// computed again. A chunk outside of the index has none.
    pub fn rows(&self, ids: &[ChunkId]) -> Vec<Impacts> {
        let mut rows = vec![Impacts::default(); ids.len()];
        for (first, part) in self.parts() {
            let inside = |(at, id): (usize, &ChunkId)| {
                let row = id.0.checked_sub(first)?;
                ((row as usize) < part.rows).then_some((row, at))
            };
            let mut wanted: Vec<(u32, usize)> = ids.iter().enumerate().filter_map(inside).collect();
            wanted.sort_unstable();
            part.fill(&wanted, &mut rows);
        }
        rows
    }
}

impl Part {
    fn build(rows: &[Impacts]) -> Result<Self> {
        let Postings { words, word_starts, blocks, block_starts, maxima, postings } =
            Postings::new(rows)?;
        let bytes =
            |numbers: Vec<u32>| numbers.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<_>>();
        let [words, word_starts, blocks, block_starts] =
            [words, word_starts, blocks, block_starts].map(bytes);
        let sections = [words, word_starts, blocks, block_starts, maxima, postings];
        let counts = [rows.len()].into_iter().chain(sections.iter().map(Vec::len));
        let about: Vec<u8> = counts.flat_map(|count| (count as u64).to_le_bytes()).collect();
        let body = sections.concat();
        let digest = digest(&body, &about);
        let bytes = [&MAGIC[..], &digest, &about, &body].concat();
        Self::check(Bytes::Built(bytes), Path::new(BASE))
    }

    fn open(path: &Path) -> Result<Self> {
        Self::check(Bytes::Mapped(Arc::new(map(path)?)), path)
    }

    fn check(bytes: Bytes, path: &Path) -> Result<Self> {
        let all = bytes.as_ref();
        let (head, body) = all
            .split_first_chunk::<HEAD_BYTES>()
            .ok_or_else(|| corrupt(path, format!("it has only {} bytes", all.len())))?;
        let (magic, rest) = head.split_at(MAGIC.len());
        let (stored, about) = rest.split_at(32);
        if magic != MAGIC {
            return Err(corrupt(path, "it is not a sparse index: its magic number is another"));
        }
        if digest(body, about) != stored {
            return Err(corrupt(path, "its digest does not match its bytes"));
        }
        let (rows, sections) = places(about, all.len())
            .ok_or_else(|| corrupt(path, "its sections do not add up to its length"))?;
        Ok(Self { bytes, rows, sections })
    }

    pub(super) fn section(&self, section: usize) -> &[u8] {
        &self.bytes.as_ref()[self.sections[section].clone()]
    }

    fn u32_at(&self, section: usize, i: usize) -> u32 {
        let bytes = &self.section(section)[4 * i..4 * i + 4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    fn words(&self) -> usize {
        self.section(0).len() / 4
    }

    /// Blocks that hold a row.
    pub(super) fn blocks(&self) -> usize {
        self.rows.div_ceil(BLOCK_ROWS as usize)
    }

    /// The blocks of `word`, as positions in the section of blocks.
    pub(super) fn blocks_of(&self, word: u32) -> Range<usize> {
        let at = partition_point(0..self.words(), |i| self.u32_at(0, i) < word);
        if at == self.words() || self.u32_at(0, at) != word {
            return 0..0;
        }
        self.u32_at(1, at) as usize..self.u32_at(1, at + 1) as usize
    }

    /// The number of the block at `position`.
    pub(super) fn block(&self, position: usize) -> u32 {
        self.u32_at(2, position)
    }

    /// The largest impact in the block at `position`.
    pub(super) fn maximum(&self, position: usize) -> u8 {
        self.section(4)[position]
    }

    /// The place in the block and the impact of each posting of the block at `position`.
    pub(super) fn postings(&self, position: usize) -> impl Iterator<Item = (u8, u8)> {
        let range =
            2 * self.u32_at(3, position) as usize..2 * self.u32_at(3, position + 1) as usize;
        self.section(5)[range].as_chunks::<2>().0.iter().map(|[place, impact]| (*place, *impact))
    }

    /// Adds the impacts of the rows of `wanted` to `rows`. wanted: rows of this part, ascending, each with
    /// its place in `rows`.
    fn fill(&self, wanted: &[(u32, usize)], rows: &mut [Impacts]) {
        for word in 0..self.words() {
            let (id, end) = (self.u32_at(0, word), self.u32_at(1, word + 1) as usize);
            let mut position = self.u32_at(1, word) as usize;
            for wanted in wanted.chunk_by(|a, b| a.0 / BLOCK_ROWS == b.0 / BLOCK_ROWS) {
                let block = wanted[0].0 / BLOCK_ROWS;
                position = partition_point(position..end, |i| self.block(i) < block);
                if position == end {
                    break;
                }
                if self.block(position) != block {
                    continue;
                }
                let mut postings = self.postings(position).peekable();
                for &(row, at) in wanted {
                    let place = (row % BLOCK_ROWS) as u8;
                    while postings.next_if(|(other, _)| *other < place).is_some() {}
                    if let Some((_, impact)) = postings.peek().filter(|(other, _)| *other == place)
                    {
                        rows[at].0.push((id, *impact));
                    }
                }
            }
        }
    }
}

/// The first of `range` for which `is_before` is false; it is true for none behind that.
pub(super) fn partition_point(range: Range<usize>, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The number of rows, and where each section lies; `None` when together they are not `total` bytes.
///
/// about: `[8 * (1 + sections)]` bytes.
fn places(about: &[u8], total: usize) -> Option<(usize, [Range<usize>; SECTIONS])> {
    let (rows, lengths) = about.as_chunks::<8>().0.split_first()?;
    let mut at = HEAD_BYTES;
    let mut sections: [Range<usize>; SECTIONS] = std::array::from_fn(|_| 0..0);
    for (section, length) in sections.iter_mut().zip(lengths) {
        let end = at.checked_add(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        *section = at..end;
        at = end;
    }
    Some((usize::try_from(u64::from_le_bytes(*rows)).ok()?, sections)).filter(|_| at == total)
}
