//! Search hits: chunk ids, scores, the best k, and sets of chunks.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// The id of a chunk: dense, and equal to its row in every index and in the catalog of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId(pub u32);

impl ChunkId {
    pub fn row(self) -> usize {
        self.0 as usize
    }
}

/// Similarity of a chunk to the query; higher is better. Its scale depends on the channel.
pub type Score = f32;

/// One result of one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    pub id: ChunkId,
    pub score: Score,
}

impl Hit {
    /// Best first: the higher score, and the lower id among equal scores.
    pub fn best_first(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.id.cmp(&other.id))
    }
}

/// A hit in the order of [`Hit::best_first`], so that the maximum is the worst hit.
struct Ranked(Hit);

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Ranked {}
impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.best_first(&other.0)
    }
}

/// Keeps the best `k` hits of any number pushed, in the order of [`Hit::best_first`].
pub struct TopK {
    k: usize,
    /// A max-heap with the worst hit on top.
    heap: BinaryHeap<Ranked>,
}

impl TopK {
    pub fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::with_capacity(k.min(1 << 16) + 1) }
    }

    /// Scores must not be NaN; an index rejects vectors that contain one.
    pub fn push(&mut self, hit: Hit) {
        debug_assert!(!hit.score.is_nan());
        if self.heap.len() < self.k {
            self.heap.push(Ranked(hit));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && hit.best_first(&worst.0) == Ordering::Less
        {
            *worst = Ranked(hit);
        }
    }

    /// Whether `hit` would be kept now.
    pub fn accepts(&self, hit: &Hit) -> bool {
        let is_better = |worst: &Ranked| hit.best_first(&worst.0) == Ordering::Less;
        self.heap.len() < self.k || self.heap.peek().is_some_and(is_better)
    }

    /// The hits, best first.
    pub fn into_sorted(self) -> Vec<Hit> {
        self.heap.into_sorted_vec().into_iter().map(|Ranked(hit)| hit).collect()
    }
}

/// A set of chunks as a bitmap: the scope of a search, handed to every channel before it searches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkSet {
    words: Vec<u64>,
    len: usize,
}

impl ChunkSet {
    /// The empty set over `len` chunks.
    pub fn none(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// All of `len` chunks.
    pub fn all(len: usize) -> Self {
        let mut set = Self { words: vec![u64::MAX; len.div_ceil(64)], len };
        if !len.is_multiple_of(64)
            && let Some(last) = set.words.last_mut()
        {
            *last = (1 << (len % 64)) - 1;
        }
        set
    }

    /// Number of chunks that the set ranges over, whether contained or not.
    pub fn universe(&self) -> usize {
        self.len
    }

    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    pub fn insert(&mut self, id: ChunkId) {
        assert!(id.row() < self.len, "chunk {} outside a set of {}", id.0, self.len);
        self.words[id.row() / 64] |= 1 << (id.row() % 64);
    }

    pub fn remove(&mut self, id: ChunkId) {
        if let Some(word) = self.words.get_mut(id.row() / 64) {
            *word &= !(1 << (id.row() % 64));
        }
    }

    pub fn contains(&self, id: ChunkId) -> bool {
        self.words.get(id.row() / 64).is_some_and(|w| w >> (id.row() % 64) & 1 == 1)
    }

    /// Keeps only chunks that are in both sets.
    pub fn intersect(&mut self, other: &Self) {
        assert_eq!(self.len, other.len);
        for (word, theirs) in self.words.iter_mut().zip(&other.words) {
            *word &= theirs;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = ChunkId> + '_ {
        self.words.iter().enumerate().flat_map(|(i, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros();
                    rest &= rest - 1;
                    ChunkId(i as u32 * 64 + bit)
                })
            })
        })
    }

    /// The bitmap, `[universe / 64, rounded up]` words. Chunk `i` is bit `i % 64` of word `i / 64`.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// A set over `len` chunks from the words that [`ChunkSet::words`] returned.
    ///
    /// words: `[len / 64, rounded up]`; `None` if the number of words does not match `len`.
    pub fn from_words(words: Vec<u64>, len: usize) -> Option<Self> {
        (words.len() == len.div_ceil(64)).then(|| {
            let mut set = Self { words, len };
            set.intersect(&Self::all(len));
            set
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_k_orders_equal_scores_by_id() {
        let mut top = TopK::new(3);
        for (id, score) in [(9, 1.0), (4, 2.0), (7, 1.0), (2, 1.0), (8, 0.5)] {
            top.push(Hit { id: ChunkId(id), score });
        }
        let ids: Vec<u32> = top.into_sorted().iter().map(|h| h.id.0).collect();
        assert_eq!(ids, [4, 2, 7]);
    }

    #[test]
    fn a_set_knows_its_members() {
        let mut set = ChunkSet::none(130);
        for id in [0, 63, 64, 129] {
            set.insert(ChunkId(id));
        }
        assert_eq!(set.iter().map(|c| c.0).collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert_eq!(ChunkSet::all(130).count(), 130);
        assert!(!set.contains(ChunkId(500)));
        let again = ChunkSet::from_words(set.words().to_vec(), 130);
        assert_eq!(again, Some(set));
    }
}
