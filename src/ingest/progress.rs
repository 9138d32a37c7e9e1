//! Progress: the counters of an ingest, for a progress bar.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

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

    pub(super) fn begin(&self, files: usize, bytes: usize) {
        for counter in [&self.files_done, &self.bytes_done, &self.chunks_done, &self.tokens_done] {
            counter.store(0, Ordering::Relaxed);
        }
        self.files_total.store(files, Ordering::Relaxed);
        self.bytes_total.store(bytes, Ordering::Relaxed);
        self.enter(Phase::Embedding);
    }

    pub(super) fn add_files(&self, files: usize, bytes: usize) {
        self.files_done.fetch_add(files, Ordering::Relaxed);
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_chunks(&self, chunks: usize, tokens: usize) {
        self.chunks_done.fetch_add(chunks, Ordering::Relaxed);
        self.tokens_done.fetch_add(tokens, Ordering::Relaxed);
    }
}
