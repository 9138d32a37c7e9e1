//! Literals: which of the best chunks have the query's words in a row, and its quoted texts as they are?
//!
//! The indexes know words, not their order. The texts of the best chunks are read from the catalog.

use super::fuse::Fused;
use super::plan::QueryClass;
use super::rank::{best_first, multiply};
use crate::base::error::Result;
use crate::base::hit::ChunkId;
use crate::index::QueryText;
use crate::index::catalog::Catalog;
use crate::index::words::{lower, words};

/// Chunks whose text is read.
const CHUNKS_MAX: usize = 100;
/// Words of a query that are compared; of a longer one the last, because a report of an error ends
/// with what went wrong.
const WORDS_MAX: usize = 64;
/// Words of the shortest run that counts.
const RUN_MIN: usize = 2;

/// Raises the chunks that have the words of a literal query in a row, and removes those without its
/// quoted texts if any chunk has them all. `ranked` is best first, and stays so.
///
/// Returns whether quoted texts were asked for and no chunk has them.
pub fn raise(
    ranked: &mut Vec<Fused>,
    query: &QueryText,
    class: QueryClass,
    catalog: &Catalog,
) -> Result<bool> {
    let is_literal = matches!(class, QueryClass::Literal | QueryClass::ErrorText);
    if query.quoted.is_empty() && !is_literal {
        return Ok(false);
    }
    let ids: Vec<ChunkId> = ranked.iter().take(CHUNKS_MAX).map(|chunk| chunk.id).collect();
    let rows = catalog.rows(&ids)?.rows;
    let mut asked: Vec<String> = words(&query.raw).map(lower).collect();
    asked.drain(..asked.len().saturating_sub(WORDS_MAX));
    let quoted: Vec<String> = query.quoted.iter().map(|text| lower(text)).collect();
    let mut quotes = vec![false; ranked.len()];
    for ((chunk, quotes), row) in ranked.iter_mut().zip(&mut quotes).zip(&rows) {
        let text = lower(&row.text);
        *quotes = quoted.iter().all(|quoted| text.contains(quoted));
        let run = longest_run(&asked, &words(&text).collect::<Vec<_>>());
        let share = if run < RUN_MIN { 0.0 } else { run as f64 / asked.len() as f64 };
        multiply(chunk, "phrase", 1.0 + share);
    }
    let missing = !quoted.is_empty() && !quotes.contains(&true);
    if !quoted.is_empty() && !missing {
        let mut kept = quotes.iter();
        ranked.retain(|_| *kept.next().unwrap_or(&false));
    }
    ranked.sort_by(best_first);
    Ok(missing)
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
