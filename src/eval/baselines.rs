//! Baselines that use nothing but the texts of the chunks: raw BM25, and the number of words found.

use std::collections::{HashMap, HashSet};

use crate::base::hit::{ChunkId, Hit};
use crate::index::QueryText;

const K1: f32 = 1.2;
const B: f32 = 0.75;

/// The words of all chunks, in lower case and not split any further.
pub struct WordIndex {
    ids: Vec<ChunkId>,
    lengths: Vec<u32>,
    mean_length: f32,
    /// By word, the chunks that have it and how often.
    postings: HashMap<String, Vec<(u32, u32)>>,
}

impl WordIndex {
    pub fn new<'a>(chunks: impl Iterator<Item = (ChunkId, &'a str)>) -> Self {
        let (mut ids, mut lengths) = (Vec::new(), Vec::new());
        let mut postings: HashMap<String, Vec<(u32, u32)>> = HashMap::new();
        for (place, (id, text)) in (0..).zip(chunks) {
            let words = QueryText::new(text).words;
            lengths.push(words.len() as u32);
            ids.push(id);
            for word in words {
                let chunks = postings.entry(word.to_lowercase()).or_default();
                match chunks.last_mut().filter(|(last, _)| *last == place) {
                    Some((_, count)) => *count += 1,
                    None => chunks.push((place, 1)),
                }
            }
        }
        let total: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
        let mean_length = total as f32 / lengths.len().max(1) as f32;
        Self { ids, lengths, mean_length, postings }
    }

    /// BM25 with k1 1.2 and b 0.75 (Robertson, Zaragoza 2009), best first.
    pub fn bm25(&self, query: &QueryText, depth: usize) -> Vec<Hit> {
        let n = self.ids.len() as f32;
        self.rank(query, depth, |chunks, place, count| {
            let df = chunks as f32;
            let idf = (1.0 + (n - df + 0.5) / (df + 0.5)).ln();
            let length = self.lengths[place as usize] as f32 / self.mean_length;
            let count = count as f32;
            idf * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length))
        })
    }

    /// As somebody who searches each word with ripgrep: the chunks with most of the words first.
    pub fn words_found(&self, query: &QueryText, depth: usize) -> Vec<Hit> {
        self.rank(query, depth, |_, _, _| 1.0)
    }

    fn rank(
        &self,
        query: &QueryText,
        depth: usize,
        score: impl Fn(usize, u32, u32) -> f32,
    ) -> Vec<Hit> {
        let words: HashSet<String> = query.words.iter().map(|word| word.to_lowercase()).collect();
        let mut scores: HashMap<u32, f32> = HashMap::new();
        for chunks in words.iter().filter_map(|word| self.postings.get(word)) {
            for &(place, count) in chunks {
                *scores.entry(place).or_default() += score(chunks.len(), place, count);
            }
        }
        let hit = |(place, score): (u32, f32)| Hit { id: self.ids[place as usize], score };
        let mut hits: Vec<Hit> = scores.into_iter().map(hit).collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
        hits.truncate(depth);
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_in_short_chunks_rank_first() {
        let texts = ["the pool", "the retry of the pool and the lock", "the lock", "nothing"];
        let index = WordIndex::new((0..).map(ChunkId).zip(texts));
        let order = |hits: Vec<Hit>| hits.iter().map(|hit| hit.id.0).collect::<Vec<_>>();
        let query = QueryText::new("the Pool");
        assert_eq!(order(index.bm25(&query, 10)), [0, 1, 2]);
        assert_eq!(order(index.words_found(&query, 2)), [0, 1]);
        assert!(index.bm25(&QueryText::new("absent"), 10).is_empty());
    }
}
