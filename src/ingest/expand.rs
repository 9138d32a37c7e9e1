//! The impacts of the chunks of a block, for the sparse index.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::build::{Known, without_failing};
use crate::base::error::{Error, Result};
use crate::base::hit::ChunkId;
use crate::base::telemetry::RunContext;
use crate::corpus::chunk::Chunk;
use crate::corpus::source::Channels;
use crate::embedding::engine::{EmbedRequest, Engine, PromptKind};
use crate::index::Impacts;

/// The impacts of some chunks.
#[derive(Default)]
pub struct Expanded {
    /// One for each chunk, in order; none if there is no sparse index.
    pub impacts: Vec<Impacts>,
    /// Chunks that were not in the previous version.
    pub computed: usize,
    pub truncated: usize,
    /// By chunk, why the model cannot expand it.
    pub failed: BTreeMap<usize, Arc<Error>>,
}

/// Expands `chunks`, `[n]`, without those that the previous version has. Those that are found by their
/// words only have no impacts.
pub fn expand(
    engine: &Engine,
    chunks: &[(&Chunk, Channels)],
    known: Option<Known<'_>>,
    cx: &RunContext,
) -> Result<Expanded> {
    let known = known.and_then(|known| Some((known.rows, known.sparse?)));
    let known_id = |(chunk, _): &(&Chunk, Channels)| {
        known.and_then(|(rows, _)| rows.get(&chunk.hash).copied())
    };
    let ids: Vec<Option<ChunkId>> = chunks.iter().map(known_id).collect();
    let found: Vec<ChunkId> = ids.iter().flatten().copied().collect();
    let mut old = known.map(|(_, sparse)| sparse.rows(&found)).unwrap_or_default().into_iter();
    let old = ids.iter().zip(chunks).map(|(id, (_, channels))| {
        let old = id.map(|_| old.next().expect("the impacts of each known chunk"));
        match channels {
            Channels::Words => Some(Impacts::default()),
            Channels::Every => old.filter(|impacts| !impacts.0.is_empty()),
        }
    });
    let old: Vec<Option<Impacts>> = old.collect();

    let fresh: Vec<usize> = (0..chunks.len()).filter(|chunk| old[*chunk].is_none()).collect();
    let texts: Vec<String> = fresh.iter().map(|chunk| chunks[*chunk].0.embedded_text()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let compute =
        |texts: &[&str]| engine.expand(EmbedRequest::bulk(texts, PromptKind::Document), cx);
    let (expansions, failed) = without_failing(&texts, compute)?;
    let failed: BTreeMap<usize, Arc<Error>> =
        failed.into_iter().map(|(text, error)| (fresh[text], error)).collect();
    let mut new = expansions.vectors.iter();
    let mut impacts = Vec::with_capacity(chunks.len());
    for (chunk, old) in old.into_iter().enumerate() {
        impacts.push(match old {
            Some(impacts) => impacts,
            None if failed.contains_key(&chunk) => Impacts::default(),
            None => Impacts::new(new.next().expect("an expansion of each other text"))?,
        });
    }
    Ok(Expanded {
        impacts,
        computed: expansions.vectors.len(),
        truncated: expansions.truncated,
        failed,
    })
}
