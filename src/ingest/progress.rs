//! Progress: the counters of an ingest, for a progress bar.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// The phase of an ingest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Waiting,
    Walking,
    Comparing,
    Embedding,
    Indexing,
    Publishing,
}

const PHASES: [Phase; 6] = [
    Phase::Waiting,
    Phase::Walking,
    Phase::Comparing,
    Phase::Embedding,
    Phase::Indexing,
    Phase::Publishing,
];

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Walking => "walking",
            Self::Comparing => "comparing",
            Self::Embedding => "embedding",
            Self::Indexing => "indexing",
            Self::Publishing => "publishing",
        }
    }
}

/// Counters that an ingest raises and a progress bar reads, without locks.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    files_total: AtomicUsize,
    files_done: AtomicUsize,
    bytes_total: AtomicUsize,
    bytes_done: AtomicUsize,
    chunks_done: AtomicUsize,
    tokens_done: AtomicUsize,
}

impl Progress {
    pub fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Ordering::Relaxed)).min(PHASES.len() - 1)]
    }

    /// Files done, and all files.
    pub fn files(&self) -> (usize, usize) {
        (self.files_done.load(Ordering::Relaxed), self.files_total.load(Ordering::Relaxed))
    }

    /// Source bytes done, and all source bytes.
    pub fn bytes(&self) -> (usize, usize) {
        (self.bytes_done.load(Ordering::Relaxed), self.bytes_total.load(Ordering::Relaxed))
    }

    pub fn chunks(&self) -> usize {
        self.chunks_done.load(Ordering::Relaxed)
    }

    /// Tokens that were embedded, without those whose vectors were known.
    pub fn tokens(&self) -> usize {
        self.tokens_done.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Begins a run; when the result is dropped, the counters say that none is at work.
    pub(super) fn begin_run(&self) -> impl Drop + '_ {
        self.reset();
        Running(self)
    }

    fn reset(&self) {
        self.begin(0, 0);
        self.enter(Phase::Waiting);
    }

    pub(super) fn begin(&self, files: usize, bytes: usize) {
        for counter in [&self.files_done, &self.bytes_done, &self.chunks_done, &self.tokens_done] {
            counter.store(0, Ordering::Relaxed);
        }
        self.files_total.store(files, Ordering::Relaxed);
        self.bytes_total.store(bytes, Ordering::Relaxed);
        self.enter(Phase::Embedding);
    }
}

/// A run that raises the counters.
struct Running<'a>(&'a Progress);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.reset();
    }
}

/// Counts a block of files while its texts are embedded, in their order.
pub(super) struct BlockProgress {
    progress: Arc<Progress>,
    /// `[files]`: the texts of the block up to the last one of each file.
    ends: Vec<usize>,
    /// Files of the block that are not indexed.
    skipped: usize,
    chunks: usize,
    bytes: usize,
    counted: Mutex<Counted>,
}

/// What was added so far.
#[derive(Default)]
struct Counted {
    texts: usize,
    files: usize,
    chunks: usize,
    bytes: usize,
}

impl BlockProgress {
    pub fn new(
        progress: Arc<Progress>,
        ends: Vec<usize>,
        skipped: usize,
        chunks: usize,
        bytes: usize,
    ) -> Self {
        Self { progress, ends, skipped, chunks, bytes, counted: Mutex::default() }
    }

    /// Counts `texts` more texts as embedded. Those beyond the last one, of a request that was repeated,
    /// count nothing.
    pub fn embedded(&self, texts: usize) {
        let all = self.ends.last().copied().unwrap_or_default();
        let mut counted = self.counted.lock();
        counted.texts = all.min(counted.texts + texts);
        let done = counted.texts;
        let part = |n: usize| (n * done).checked_div(all).unwrap_or(0);
        let files = self.ends.partition_point(|end| *end <= done);
        self.advance(&mut counted, files, part(self.chunks), part(self.bytes));
    }

    /// Counts what remains of the block. tokens: those that were embedded.
    pub fn finish(&self, tokens: usize) {
        let files = self.ends.len() + self.skipped;
        self.advance(&mut self.counted.lock(), files, self.chunks, self.bytes);
        self.progress.tokens_done.fetch_add(tokens, Ordering::Relaxed);
    }

    fn advance(&self, counted: &mut Counted, files: usize, chunks: usize, bytes: usize) {
        let Progress { files_done, chunks_done, bytes_done, .. } = &*self.progress;
        for (counter, before, now) in [
            (files_done, &mut counted.files, files),
            (chunks_done, &mut counted.chunks, chunks),
            (bytes_done, &mut counted.bytes, bytes),
        ] {
            counter.fetch_add(now.saturating_sub(*before), Ordering::Relaxed);
            *before = now.max(*before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_block_count_one_by_one_and_each_once() {
        let progress = Arc::new(Progress::default());
        progress.begin(5, 100);
        // The second file has no text to embed, and one file is skipped.
        let block = BlockProgress::new(progress.clone(), vec![2, 2, 5, 8], 1, 9, 80);
        let mut seen = Vec::new();
        for texts in [1, 1, 2, 4, 8] {
            block.embedded(texts);
            seen.push((progress.files().0, progress.chunks(), progress.bytes().0));
        }
        assert_eq!(seen, [(0, 1, 10), (2, 2, 20), (2, 4, 40), (4, 9, 80), (4, 9, 80)]);
        block.finish(30);
        assert_eq!(
            (progress.files(), progress.bytes(), progress.tokens()),
            ((5, 5), (80, 100), 30)
        );
        drop(progress.begin_run());
        assert_eq!((progress.files(), progress.phase()), ((0, 0), Phase::Waiting));
    }
}
