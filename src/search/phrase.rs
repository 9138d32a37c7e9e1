//! Quotations: which of the best chunks have the query's words in a row, and its quoted texts as they are?
//!
//! The indexes know words, not their order. The texts of the best chunks are read from the catalog.

use std::collections::{HashMap, HashSet};

use super::channels::ChannelName;
use super::fuse::Fused;
use super::plan::{QueryClass, QueryProfile};
use super::rank::{best_first, multiply};
use crate::base::error::Result;
use crate::base::hit::ChunkId;
use crate::index::QueryText;
use crate::index::catalog::Catalog;
use crate::index::words::{lower, words};

/// Chunks whose text is read: a chunk with all words of a query is among the best of the lexical
/// channel; one with a quoted text may be any.
const CHUNKS_MAX: usize = 32;
const QUOTED_CHUNKS_MAX: usize = 400;
/// Words of a query that are compared; of a longer one the last, because a report of an error ends
/// with what went wrong.
const WORDS_MAX: usize = 64;
/// A run counts if it has more than this share of a query's words, in a literal and in prose. A question stands in
/// the code as a whole, as the text of an error does, or is no quotation.
const RUN_MIN: f64 = 0.0;
const RUN_MIN_PROSE: f64 = 0.8;
/// Words of the shortest quotation in prose.
const PROSE_WORDS_MIN: usize = 4;
/// Prose can only stand in a chunk if the lexical channel found one with about this share of its words.
const SUPPORT_MIN: f64 = 0.35;
/// What a run of all words adds to 1, and the power of its share.
const RUN_ALL: f64 = 8.0;
const RUN_POWER: i32 = 5;

/// The share of the words that a run must exceed; `None` if a query is no quotation.
///
/// support: the share of the query's words that the best chunk of the lexical channel has.
pub fn run_min(profile: &QueryProfile, support: f64) -> Option<f64> {
    if matches!(profile.class, QueryClass::Literal | QueryClass::ErrorText) {
        return Some(RUN_MIN);
    }
    let may_be_quoted = !profile.looks_literal && profile.length >= PROSE_WORDS_MIN;
    (may_be_quoted && support >= SUPPORT_MIN).then_some(RUN_MIN_PROSE)
}

/// Raises the chunks that have the words of a query in a row, and removes those without its quoted texts
/// if any chunk has them all. `ranked` is best first, and stays so. A file that its kind lowers, such as
/// a document, may repeat a question and does not answer it.
///
/// run_min: see [`run_min`]. Returns whether quoted texts were asked for and no chunk has them.
pub fn raise(
    ranked: &mut Vec<Fused>,
    query: &QueryText,
    run_min: Option<f64>,
    catalog: &Catalog,
) -> Result<bool> {
    if query.quoted.is_empty() && run_min.is_none() {
        return Ok(false);
    }
    let mut asked: Vec<String> = words(&query.raw).map(lower).collect();
    asked.drain(..asked.len().saturating_sub(WORDS_MAX));
    let quoted: Vec<String> = query.quoted.iter().map(|text| lower(text)).collect();
    let chunks_max = if quoted.is_empty() { CHUNKS_MAX } else { QUOTED_CHUNKS_MAX };
    let mut texts = texts(ranked, chunks_max, catalog)?;
    let mut has_quotes = HashSet::new();
    for chunk in ranked.iter_mut() {
        let Some(text) = texts.remove(&chunk.id) else { continue };
        if quoted.iter().all(|quoted| text.contains(quoted)) {
            has_quotes.insert(chunk.id);
        }
        let is_lowered = chunk.why.factors.iter().any(|f| f.name == "path" && f.value < 1.0);
        if let Some(run_min) = run_min.filter(|_| !is_lowered) {
            let run = longest_run(&asked, &words(&text).collect::<Vec<_>>());
            let share = if run < 2 { 0.0 } else { run as f64 / asked.len() as f64 };
            if share > run_min {
                multiply(chunk, "phrase", 1.0 + RUN_ALL * share.powi(RUN_POWER));
            }
        }
    }
    let missing = !quoted.is_empty() && has_quotes.is_empty();
    if !quoted.is_empty() && !missing {
        ranked.retain(|chunk| has_quotes.contains(&chunk.id));
    }
    ranked.sort_by(best_first);
    Ok(missing)
}

/// The texts in lower case of the `n` chunks that have most of the query's words, or of the best ones if the
/// words were not searched.
fn texts(ranked: &[Fused], n: usize, catalog: &Catalog) -> Result<HashMap<ChunkId, String>> {
    let lexical = |chunk: &Fused| {
        let of = chunk.why.contributions.iter().find(|c| c.channel == ChannelName::Lexical);
        of.map_or(usize::MAX, |c| c.rank)
    };
    let mut order: Vec<(usize, ChunkId)> = ranked.iter().map(|c| (lexical(c), c.id)).collect();
    order.sort_by_key(|(rank, _)| *rank);
    order.truncate(n);
    let ids: Vec<ChunkId> = order.into_iter().map(|(_, id)| id).collect();
    let rows = catalog.rows(&ids)?.rows;
    Ok(rows.into_iter().map(|row| (row.id, lower(&row.text))).collect())
}

/// The number of words of the longest run that both have.
fn longest_run(a: &[String], b: &[&str]) -> usize {
    let (mut longest, mut before) = (0, vec![0; b.len() + 1]);
    for word in a {
        let mut runs = vec![0; b.len() + 1];
        for (i, other) in b.iter().enumerate() {
            if word == other {
                runs[i + 1] = before[i] + 1;
                longest = longest.max(runs[i + 1]);
            }
        }
        before = runs;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_run_counts_words_in_the_same_order() {
        let run = |a: &str, b: &str| {
            let a: Vec<String> = words(a).map(lower).collect();
            longest_run(&a, &words(b).collect::<Vec<_>>())
        };
        assert_eq!(run("cannot open the file", "x cannot open the door, open the file"), 3);
        assert_eq!(run("a b", "b a"), 1);
        assert_eq!(run("", "a"), 0);
    }
}
