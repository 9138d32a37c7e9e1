//! Reads and chunks files, block by block.

use std::sync::mpsc::SyncSender;
use std::time::SystemTime;

use rayon::prelude::*;

use crate::base::error::Result;
use crate::base::panic::guarded;
use crate::corpus::chunk::{Chunker, FileChunks, TokenCount};
use crate::corpus::scip::{Misfit, Occurrence, ScipIndex};
use crate::corpus::source::{Entry, Repo, RepoPath, SkipReason, SourceFile};
use crate::embedding::token::Tokenizer;

/// Source bytes that are chunked, embedded and written together. At most three blocks are in memory: one
/// that is chunked, one that is embedded and one that is written.
const BLOCK_BYTES: u64 = 192 << 10;

/// A file with its chunks.
pub struct Prepared {
    pub file: SourceFile,
    pub chunks: FileChunks,
    /// What `index.scip` says about it.
    pub occurrences: Vec<Occurrence>,
    /// When the file was read, seconds since 1970.
    pub read_at_s: i64,
}

/// Consecutive files of the listing.
#[derive(Default)]
pub struct Block {
    pub files: Vec<Prepared>,
    pub skipped: Vec<SkipReason>,
    /// Files that `index.scip` describes as they are not.
    pub scip_misfits: Vec<RepoPath>,
    /// Bytes of these files according to the listing.
    pub bytes: usize,
}

/// Counts tokens for the chunker with the tokenizer of the model.
pub struct ModelTokens<'a>(pub &'a Tokenizer);

impl TokenCount for ModelTokens<'_> {
    fn count_lines(&self, lines: &[&str]) -> Vec<u32> {
        self.0.count_lines(lines)
    }
}

/// Reads and chunks `entries` on all cores and sends them in order, block by block. Returns early if the
/// receiver is gone.
pub fn prepare(
    repo: &Repo,
    entries: &[Entry],
    chunker: &Chunker,
    scip: &ScipIndex,
    tokenizer: &Tokenizer,
    blocks: &SyncSender<Result<Block>>,
) {
    let mut rest = entries;
    while !rest.is_empty() {
        let (head, tail) = rest.split_at(block_len(rest));
        rest = tail;
        let block =
            guarded("the chunking of files", || block(repo, head, chunker, scip, tokenizer));
        let failed = block.is_err();
        if blocks.send(block).is_err() || failed {
            return;
        }
    }
}

fn block_len(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let fits = |entry: &&Entry| {
        bytes += entry.size_bytes;
        bytes <= BLOCK_BYTES
    };
    entries.iter().take_while(fits).count().max(1)
}

fn block(
    repo: &Repo,
    entries: &[Entry],
    chunker: &Chunker,
    scip: &ScipIndex,
    tokenizer: &Tokenizer,
) -> Result<Block> {
    type Found = (Prepared, std::result::Result<Vec<Occurrence>, Misfit>);
    let read = |entry: &Entry| -> Result<std::result::Result<Found, SkipReason>> {
        let read_at_s = now_s();
        Ok(repo.read(entry)?.map(|file| {
            let chunks = chunker.chunk(&file, &ModelTokens(tokenizer));
            let occurrences = scip.occurrences(&file.path, &file.text);
            (Prepared { file, chunks, occurrences: Vec::new(), read_at_s }, occurrences)
        }))
    };
    let files: Vec<_> = entries.par_iter().map(read).collect::<Result<_>>()?;
    let bytes = entries.iter().map(|entry| entry.size_bytes as usize).sum();
    let mut block = Block { bytes, ..Block::default() };
    for file in files {
        match file {
            Ok((prepared, Ok(occurrences))) => {
                block.files.push(Prepared { occurrences, ..prepared })
            }
            Ok((prepared, Err(Misfit))) => {
                block.scip_misfits.push(prepared.file.path.clone());
                block.files.push(prepared);
            }
            Err(reason) => block.skipped.push(reason),
        }
    }
    Ok(block)
}

/// Seconds since 1970.
pub fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
