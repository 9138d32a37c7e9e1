//! The results of one request, collected as they arrive.

use std::collections::HashSet;
use std::time::Duration;

use super::cache::{Key, Record, Usage, VectorCache};
use super::input::Input;
use super::pending::{Response, SlotRow};
use super::request::{Embeddings, Expansions, Scores, TokenVectors};
use super::worker::Search;
use super::worker::compute::BatchRows;
use crate::base::error::{Error, Result, Warning};
use crate::base::hit::Hit;
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Lane;
use crate::base::vector::{Matrix, SparseVec};
use crate::embedding::models::{ModelIdentity, Task};

/// The state of a request's items so far.
pub(super) struct Collector<'a> {
    cache: Option<&'a VectorCache>,
    /// Values of one vector, or logits of one pair.
    d: usize,
    output: Output,
    /// `[n]`
    usages: Vec<Usage>,
    /// `[n]`, or empty without a cache.
    keys: Vec<Key>,
    cache_hits: usize,
    computed_tokens: usize,
    cache_failed: bool,
    searched: Duration,
    queue_time: Option<Duration>,
}

/// A result for each item of a request.
enum Output {
    /// `[n * d]`
    Dense(Vec<f32>),
    /// `[n]`
    Sparse(Vec<SparseVec>),
    /// `[n]`, each `[tokens, d]`
    Tokens(Vec<Matrix>),
    /// `[n]`: the hits of each vector. The vectors stay on the device.
    Nearest(Search, Vec<Vec<Hit>>),
}

/// The results of a whole request.
pub(super) struct Results {
    output: Output,
    d: usize,
    searched: Duration,
    pub tokens: usize,
    pub computed_tokens: usize,
    pub truncated: usize,
    pub cache_hits: usize,
    pub tokenise: Duration,
    pub queue_time: Duration,
}

impl<'a> Collector<'a> {
    /// Reserves room for the results of `n` items. A vector that stays on the device is not cached.
    pub fn new(
        identity: &ModelIdentity,
        cache: Option<&'a VectorCache>,
        search: Option<Search>,
        n: usize,
    ) -> Self {
        let cache = cache.filter(|_| search.is_none());
        let d = identity.dim;
        let output = match (identity.task, search) {
            (Task::Expand, _) => Output::Sparse(vec![SparseVec::default(); n]),
            (Task::TokenVectors, _) => Output::Tokens(vec![Matrix::with_capacity(0, d); n]),
            (_, Some(search)) => Output::Nearest(search, vec![Vec::new(); n]),
            (Task::Embed | Task::Score, None) => Output::Dense(vec![0.0; n * d]),
        };
        Self {
            cache,
            d,
            output,
            usages: vec![Usage::default(); n],
            keys: Vec::new(),
            cache_hits: 0,
            computed_tokens: 0,
            cache_failed: false,
            searched: Duration::ZERO,
            queue_time: None,
        }
    }

    /// Looks up the items of `slots` in the cache and returns the slots of the misses. Calls must
    /// pass slots in ascending order.
    pub fn look_up(&mut self, input: &Input<'_>, slots: std::ops::Range<usize>) -> Vec<usize> {
        let (Some(cache), Output::Dense(values)) = (self.cache, &mut self.output) else {
            return slots.collect();
        };
        let mut misses = Vec::new();
        for slot in slots {
            let key = input.key(cache, slot);
            self.keys.push(key);
            match cache.get(&key, &mut values[slot * self.d..(slot + 1) * self.d]) {
                Some(usage) => {
                    self.usages[slot] = usage;
                    self.cache_hits += 1;
                }
                None => misses.push(slot),
            }
        }
        misses
    }

    /// Values of one vector.
    pub fn d(&self) -> usize {
        self.d
    }

    /// Records the token count of an item.
    pub fn set_usage(&mut self, slot: usize, usage: Usage) {
        self.usages[slot] = usage;
    }

    /// Tokens of the items of `slots`.
    pub fn tokens(&self, slots: &[usize]) -> usize {
        slots.iter().map(|&slot| self.usages[slot].tokens as usize).sum()
    }

    /// Records the queue time of a batch. Only the first batch of a request counts.
    pub fn waited(&mut self, queue_time: Duration) {
        self.queue_time.get_or_insert(queue_time);
    }

    /// Counts tokens that were computed for this request.
    pub fn computed(&mut self, tokens: usize) {
        self.computed_tokens += tokens;
    }

    /// Stores the output of a batch of this process.
    pub fn take(&mut self, response: &Response, cx: &RunContext) -> Result<()> {
        let Ok(batch) = &response.result else { return Ok(()) };
        match (&mut self.output, &batch.rows) {
            (Output::Nearest(search, nearest), _) => {
                let found = batch.search(search).ok_or_else(|| Error::Internal {
                    what: "the encoder",
                    detail: "it did not search the index".to_owned(),
                })?;
                for &SlotRow { slot, row } in &response.rows {
                    nearest[slot] = found.nearest(row, search.k);
                }
                self.searched += found.took;
                Ok(())
            }
            (Output::Dense(_), Some(BatchRows::Dense(vectors))) if vectors.d() == self.d => {
                self.place(&response.rows, vectors, cx);
                Ok(())
            }
            (Output::Sparse(expansions), Some(BatchRows::Sparse(rows))) => {
                for &SlotRow { slot, row } in &response.rows {
                    expansions[slot] = rows[row].clone();
                }
                Ok(())
            }
            (Output::Tokens(tokens), Some(BatchRows::Tokens(rows))) => {
                for &SlotRow { slot, row } in &response.rows {
                    tokens[slot] = rows[row].clone();
                }
                Ok(())
            }
            (_, rows) => {
                let found = match rows {
                    Some(BatchRows::Dense(vectors)) => vectors.d(),
                    _ => 0,
                };
                let what = "vector of the encoder";
                Err(Error::Dimension { what, expected: self.d, found })
            }
        }
    }

    /// Copies `vectors`, `[rows, d]`, to their slots and into the cache.
    pub fn place(&mut self, rows: &[SlotRow], vectors: &Matrix, cx: &RunContext) {
        let d = self.d;
        if let Output::Dense(values) = &mut self.output {
            for &SlotRow { slot, row } in rows {
                values[slot * d..(slot + 1) * d].copy_from_slice(vectors.row(row));
            }
        }
        self.keep(rows, vectors, cx);
    }

    /// Caches each row of `vectors` once. A failure of the cache adds a warning, and the request
    /// continues.
    fn keep(&mut self, rows: &[SlotRow], vectors: &Matrix, cx: &RunContext) {
        let Some(cache) = self.cache.filter(|_| !self.cache_failed) else { return };
        let mut once = HashSet::new();
        let rows = rows.iter().filter(|place| once.insert(place.row));
        let record = |&SlotRow { slot, row }: &SlotRow| Record {
            key: self.keys[slot],
            usage: self.usages[slot],
            vector: vectors.row(row),
        };
        let records: Vec<_> = rows.map(record).collect();
        if let Err(error) = cache.insert(&records) {
            self.cache_failed = true;
            let message = format!("results are not cached: {error}");
            cx.warn(Warning::new("cache-write-failed", message));
        }
    }

    /// Returns the results of a request once every item has one. tokenise: the time spent on
    /// tokenising.
    pub fn finish(self, lane: Lane, tokenise: Duration, cx: &RunContext) -> Results {
        if self.cache.is_some() {
            let misses = self.usages.len() - self.cache_hits;
            cx.instruments().looked_up(lane, self.cache_hits, misses);
        }
        Results {
            output: self.output,
            d: self.d,
            searched: self.searched,
            tokens: self.usages.iter().map(|usage| usage.tokens as usize).sum(),
            computed_tokens: self.computed_tokens,
            truncated: self.usages.iter().filter(|usage| usage.truncated).count(),
            cache_hits: self.cache_hits,
            tokenise,
            queue_time: self.queue_time.unwrap_or_default(),
        }
    }
}

impl Results {
    pub fn into_embeddings(self) -> Result<Embeddings> {
        let (values, nearest) = match self.output {
            Output::Dense(values) => (values, Vec::new()),
            Output::Nearest(_, nearest) => (Vec::new(), nearest),
            Output::Sparse(_) | Output::Tokens(_) => {
                unreachable!("the task of the engine was checked")
            }
        };
        Ok(Embeddings {
            vectors: Matrix::new(values, self.d)?,
            nearest,
            searched: self.searched,
            tokens: self.tokens,
            computed_tokens: self.computed_tokens,
            truncated: self.truncated,
            cache_hits: self.cache_hits,
            tokenise: self.tokenise,
            queue: self.queue_time,
        })
    }

    pub fn into_expansions(self) -> Result<Expansions> {
        let Output::Sparse(vectors) = self.output else {
            unreachable!("the task of the engine was checked")
        };
        Ok(Expansions {
            vectors,
            tokens: self.tokens,
            computed_tokens: self.computed_tokens,
            truncated: self.truncated,
        })
    }

    pub fn into_token_vectors(self) -> Result<TokenVectors> {
        let Output::Tokens(vectors) = self.output else {
            unreachable!("the task of the engine was checked")
        };
        Ok(TokenVectors {
            vectors,
            tokens: self.tokens,
            computed_tokens: self.computed_tokens,
            truncated: self.truncated,
        })
    }

    pub fn into_scores(self) -> Result<Scores> {
        let Output::Dense(logits) = self.output else {
            unreachable!("the task of the engine was checked")
        };
        Ok(Scores {
            logits: Matrix::new(logits, self.d)?,
            tokens: self.tokens,
            computed_tokens: self.computed_tokens,
            truncated: self.truncated,
            cache_hits: self.cache_hits,
        })
    }
}
