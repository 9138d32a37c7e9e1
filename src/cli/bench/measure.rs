//! What does each request cost, here and at the endpoint, in turn?

use std::time::{Duration, Instant};

use super::base::Base;
use super::texts::Corpus;
use crate::base::error::Result;
use crate::base::telemetry::RunContext;
use crate::device::process_cpu_time;
use crate::embedding::engine::{EmbedRequest, Endpoint, Engine, PromptKind};
use crate::embedding::nn::Cost;
use crate::tools::wire::{Bench, Cell, StagesMs};

/// Rounds of a cell, whatever its time.
const ROUNDS_MIN: usize = 3;

/// Who is measured, and what a rate is held against.
pub struct Bencher<'a> {
    pub engine: &'a Engine,
    /// What is searched for each text, if anything.
    pub base: Option<&'a Base>,
    pub endpoint: Option<&'a Endpoint>,
    pub cost: &'a Cost,
    pub roof_gflops: f64,
    pub batch_tokens_max: usize,
    pub least: Duration,
    pub run: &'a RunContext,
}

/// The rounds of one target so far.
#[derive(Default)]
struct Tally {
    /// Of each round.
    took: Vec<Duration>,
    sequences: usize,
    /// None when a round's are not known.
    tokens: Option<usize>,
}

impl Tally {
    fn add(&mut self, took: Duration, sequences: usize, tokens: Option<usize>) {
        let before = if self.took.is_empty() { Some(0) } else { self.tokens };
        self.tokens = before.zip(tokens).map(|(before, tokens)| before + tokens);
        self.took.push(took);
        self.sequences += sequences;
    }

    fn wall(&self) -> Duration {
        self.took.iter().sum()
    }

    /// What any target can tell.
    fn cell(mut self, target: &str, length: String, batch: usize) -> Cell {
        let wall_s = self.wall().as_secs_f64();
        let per_s = |n: usize| n as f64 / wall_s;
        self.took.sort_unstable();
        Cell {
            target: target.to_owned(),
            length,
            batch,
            rounds: self.took.len(),
            sequences: self.sequences,
            tokens: self.tokens,
            wall_s,
            cpu_s: None,
            p50_ms: percentile_ms(&self.took, 50),
            p95_ms: percentile_ms(&self.took, 95),
            p99_ms: percentile_ms(&self.took, 99),
            sequences_per_s: per_s(self.sequences),
            tokens_per_s: self.tokens.map(per_s),
            tokens_per_cpu_s: None,
            roof_share: None,
            batch_fill: None,
            cosine: None,
            stages_ms: StagesMs { tokenise: None, queue: None, compute: None, search: None },
        }
    }
}

/// What only this process can tell of its rounds.
#[derive(Default)]
struct Inside {
    cpu: Duration,
    /// Of each round.
    tokenise: Vec<Duration>,
    queue: Vec<Duration>,
    compute: Vec<Duration>,
    search: Vec<Duration>,
    flops: f64,
    batches: u64,
    /// Tokens computed: equal texts of a batch once.
    computed: u64,
}

impl Bencher<'_> {
    /// Requests of `batch` texts, until each target has had its rounds and its time; the first of each
    /// warms up and is not counted. What the endpoint refuses is told in `notes`, and the cell has no
    /// figures of it.
    pub fn cells(
        &self,
        corpus: &Corpus,
        batch: usize,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Cell>> {
        let (mut here, mut inside, mut there) =
            (Tally::default(), Inside::default(), Tally::default());
        let (mut endpoint, mut first, mut is_warm) = (self.endpoint, 0, false);
        let enough = |tally: &Tally| tally.took.len() >= ROUNDS_MIN && tally.wall() >= self.least;
        while !(enough(&here) && (endpoint.is_none() || enough(&there))) {
            let (texts, tokens) = corpus.take(first, batch);
            first = (first + batch) % corpus.texts.len();
            self.here(&texts, &tokens, &mut here, &mut inside)?;
            if let Some(asked) = endpoint
                && let Err(error) = self.there(asked, &texts, &mut there)
            {
                if self.run.is_cancelled() {
                    return Err(error);
                }
                let length = corpus.length;
                notes.push(format!("{batch} texts, length {length}, not measured there: {error}"));
                endpoint = None;
            }
            if !is_warm {
                is_warm = true;
                (here, inside, there) = Default::default();
            }
        }
        let length = corpus.length.to_string();
        let ours = here.cell(Bench::HERE, length.clone(), batch);
        let mut cells = vec![self.with_inside(ours, inside)];
        cells.extend(endpoint.map(|endpoint| there.cell(endpoint.base(), length, batch)));
        Ok(cells)
    }

    fn here(
        &self,
        texts: &[&str],
        tokens: &[usize],
        tally: &mut Tally,
        inside: &mut Inside,
    ) -> Result<()> {
        let request = if texts.len() == 1 {
            EmbedRequest::query(texts, PromptKind::None)
        } else {
            EmbedRequest::bulk(texts, PromptKind::None)
        };
        let (before, cpu, began) = (self.engine.stats(), process_cpu_time(), Instant::now());
        let embeddings = match self.base {
            None => self.engine.embed(request, self.run)?,
            Some(base) => {
                let (embeddings, searched) = base.nearest(self.engine, request, self.run)?;
                inside.search.push(searched);
                embeddings
            }
        };
        let (took, cpu) = (began.elapsed(), process_cpu_time() - cpu);
        // The worker counts a batch before it delivers it.
        let after = self.engine.stats();
        tally.add(took, texts.len(), Some(embeddings.tokens));
        inside.cpu += cpu;
        inside.tokenise.push(embeddings.tokenise);
        inside.queue.push(embeddings.queue);
        inside.compute.push(after.computed - before.computed);
        inside.flops += tokens.iter().map(|n| self.cost.flops(*n)).sum::<f64>();
        inside.batches += after.batches - before.batches;
        inside.computed += after.tokens - before.tokens;
        Ok(())
    }

    fn there(&self, endpoint: &Endpoint, texts: &[&str], tally: &mut Tally) -> Result<()> {
        let began = Instant::now();
        let answer = endpoint.embed(texts, self.run)?;
        tally.add(began.elapsed(), texts.len(), answer.tokens);
        Ok(())
    }

    fn with_inside(&self, cell: Cell, inside: Inside) -> Cell {
        let median_ms = |mut rounds: Vec<Duration>| {
            rounds.sort_unstable();
            (!rounds.is_empty()).then(|| percentile_ms(&rounds, 50))
        };
        let cpu_s = inside.cpu.as_secs_f64();
        let fill = inside.computed as f64 / (inside.batches as f64 * self.batch_tokens_max as f64);
        Cell {
            cpu_s: Some(cpu_s),
            tokens_per_cpu_s: cell.tokens.map(|tokens| tokens as f64 / cpu_s),
            roof_share: Some(inside.flops / cell.wall_s / (1e9 * self.roof_gflops)),
            // A sequence that is longer than a batch counts as a full one.
            batch_fill: Some(fill.min(1.0)),
            stages_ms: StagesMs {
                tokenise: median_ms(inside.tokenise),
                queue: median_ms(inside.queue),
                compute: median_ms(inside.compute),
                search: median_ms(inside.search),
            },
            ..cell
        }
    }
}

/// The time that `percent` of the rounds did not pass (nearest rank): of fewer than a hundred rounds
/// the 99th is the slowest. sorted: `[rounds]`, ascending, not empty.
fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (percent * sorted.len()).div_ceil(100).max(1);
    1e3 * sorted[rank - 1].as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let ms = |n: u64| (1..=n).map(Duration::from_millis).collect::<Vec<_>>();
        let of = |n, percent| percentile_ms(&ms(n), percent).round();
        assert_eq!([of(3, 50), of(3, 95), of(3, 99)], [2.0, 3.0, 3.0]);
        assert_eq!([of(200, 50), of(200, 95), of(200, 99)], [100.0, 190.0, 198.0]);
        assert_eq!(of(1, 50), 1.0);
    }

    #[test]
    fn tokens_are_known_only_where_every_round_tells_them() {
        let mut tally = Tally::default();
        tally.add(Duration::from_millis(1), 2, Some(7));
        tally.add(Duration::from_millis(3), 2, Some(8));
        assert_eq!((tally.tokens, tally.sequences), (Some(15), 4));
        tally.add(Duration::from_millis(1), 2, None);
        tally.add(Duration::from_millis(1), 2, Some(7));
        let cell = tally.cell("inproc", "mixed".to_owned(), 2);
        assert_eq!((cell.tokens, cell.tokens_per_s), (None, None));
        assert_eq!((cell.rounds, cell.sequences, cell.p50_ms), (4, 8, 1.0));
    }
}
