//! Latency and throughput of requests of one size, to this process and to another target in turn.

use std::time::{Duration, Instant};

use super::other_target::OtherTarget;
use super::report::{Cell, Report, StagesMs};
use super::texts::Corpus;
use super::vectors::SearchedVectors;
use crate::base::error::Result;
use crate::base::telemetry::RunContext;
use crate::device::process_cpu_time;
use crate::embedding::engine::{EmbedRequest, Engine, PromptKind};
use crate::embedding::nn::Cost;

/// Rounds of a cell, however long they take.
const ROUNDS_MIN: usize = 3;

/// The targets, and what their rates are compared with.
pub struct Bencher<'a> {
    pub engine: &'a Engine,
    /// In which each text is searched, if it is.
    pub vectors: Option<&'a SearchedVectors>,
    pub other_target: Option<&'a OtherTarget>,
    pub cost: &'a Cost,
    pub roof_gflops: f64,
    pub batch_tokens_max: usize,
    /// How long each cell is measured at least.
    pub duration_min: Duration,
    pub run: &'a RunContext,
}

/// The rounds of one target so far.
#[derive(Default)]
struct Tally {
    /// The latency of each round.
    latencies: Vec<Duration>,
    sequences: usize,
    /// `None` if they are not known of some round.
    tokens: Option<usize>,
    /// Likewise.
    cpu: Option<Duration>,
}

impl Tally {
    fn add(
        &mut self,
        latency: Duration,
        sequences: usize,
        tokens: Option<usize>,
        cpu: Option<Duration>,
    ) {
        if self.latencies.is_empty() {
            (self.tokens, self.cpu) = (Some(0), Some(Duration::ZERO));
        }
        self.tokens = self.tokens.zip(tokens).map(|(before, tokens)| before + tokens);
        self.cpu = self.cpu.zip(cpu).map(|(before, cpu)| before + cpu);
        self.latencies.push(latency);
        self.sequences += sequences;
    }

    fn wall(&self) -> Duration {
        self.latencies.iter().sum()
    }

    /// The figures that are known of any target.
    fn cell(mut self, target: &str, length: String, batch: usize) -> Cell {
        let wall_s = self.wall().as_secs_f64();
        let per_s = |n: usize| n as f64 / wall_s;
        let cpu_s = self.cpu.map(|cpu| cpu.as_secs_f64());
        self.latencies.sort_unstable();
        Cell {
            target: target.to_owned(),
            length,
            batch,
            rounds: self.latencies.len(),
            sequences: self.sequences,
            tokens: self.tokens,
            wall_s,
            cpu_s,
            p50_ms: percentile_ms(&self.latencies, 50),
            p95_ms: percentile_ms(&self.latencies, 95),
            p99_ms: percentile_ms(&self.latencies, 99),
            sequences_per_s: per_s(self.sequences),
            tokens_per_s: self.tokens.map(per_s),
            tokens_per_cpu_s: self.tokens.zip(cpu_s).map(|(tokens, cpu_s)| tokens as f64 / cpu_s),
            roof_share: None,
            batch_fill: None,
            cosine: None,
            stages_ms: StagesMs::default(),
        }
    }
}

/// What is known of the rounds of this process only.
#[derive(Default)]
struct LocalTally {
    rounds: Tally,
    /// Of each round, as the next three.
    tokenise: Vec<Duration>,
    queue: Vec<Duration>,
    compute: Vec<Duration>,
    search: Vec<Duration>,
    flops: f64,
    batches: u64,
    /// Tokens computed: equal texts of a batch count once.
    computed: usize,
}

impl Bencher<'_> {
    /// Sends requests of `batch` texts until each target has had its rounds and its time. The first
    /// round warms up and is not counted. If the other target refuses them, `notes` says so and it has no
    /// cell.
    pub fn cells(
        &self,
        corpus: &Corpus,
        batch: usize,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Cell>> {
        let mut local = LocalTally::default();
        let mut remote = Tally::default();
        let mut other_target = self.other_target;
        let mut first = 0;
        let mut is_warm = false;
        let enough = |tally: &Tally| {
            tally.latencies.len() >= ROUNDS_MIN && tally.wall() >= self.duration_min
        };
        while !(enough(&local.rounds) && (other_target.is_none() || enough(&remote))) {
            let (texts, tokens) = corpus.take(first, batch);
            first = (first + batch) % corpus.texts.len();
            self.local_round(&texts, &tokens, &mut local)?;
            if let Some(target) = other_target
                && let Err(error) = self.remote_round(target, &texts, &mut remote)
            {
                if self.run.is_cancelled() {
                    return Err(error);
                }
                let length = corpus.length;
                notes.push(format!(
                    "{} was not measured with {batch} texts of length {length}: {error}",
                    target.name()
                ));
                other_target = None;
            }
            if !is_warm {
                is_warm = true;
                local = LocalTally::default();
                remote = Tally::default();
            }
        }
        let length = corpus.length.to_string();
        let mut cells = vec![self.local_cell(local, length.clone(), batch)];
        cells.extend(
            other_target.map(|other_target| remote.cell(other_target.name(), length, batch)),
        );
        Ok(cells)
    }

    fn local_round(&self, texts: &[&str], tokens: &[usize], tally: &mut LocalTally) -> Result<()> {
        let request = if texts.len() == 1 {
            EmbedRequest::query(texts, PromptKind::None)
        } else {
            EmbedRequest::bulk(texts, PromptKind::None)
        };
        let before = self.engine.stats();
        let cpu_before = process_cpu_time();
        let began = Instant::now();
        let embeddings = match self.vectors {
            None => self.engine.embed(request, self.run)?,
            Some(vectors) => {
                let (embeddings, searched) = vectors.nearest(self.engine, request, self.run)?;
                tally.search.push(searched);
                embeddings
            }
        };
        let latency = began.elapsed();
        let cpu = process_cpu_time() - cpu_before;
        // The worker counts a batch before it delivers it.
        let after = self.engine.stats();
        tally.rounds.add(latency, texts.len(), Some(embeddings.tokens), Some(cpu));
        tally.tokenise.push(embeddings.tokenise);
        tally.queue.push(embeddings.queue);
        tally.compute.push(after.computed - before.computed);
        tally.flops += tokens.iter().map(|n| self.cost.flops(*n)).sum::<f64>();
        tally.batches += after.batches - before.batches;
        tally.computed += embeddings.computed_tokens;
        Ok(())
    }

    fn remote_round(
        &self,
        other_target: &OtherTarget,
        texts: &[&str],
        tally: &mut Tally,
    ) -> Result<()> {
        let began = Instant::now();
        let answered = other_target.embed(texts, self.run)?;
        tally.add(began.elapsed(), texts.len(), answered.tokens, answered.cpu);
        Ok(())
    }

    fn local_cell(&self, tally: LocalTally, length: String, batch: usize) -> Cell {
        let median_ms = |mut rounds: Vec<Duration>| {
            rounds.sort_unstable();
            (!rounds.is_empty()).then(|| percentile_ms(&rounds, 50))
        };
        let fill = tally.computed as f64 / (tally.batches as f64 * self.batch_tokens_max as f64);
        let cell = tally.rounds.cell(Report::LOCAL, length, batch);
        Cell {
            roof_share: Some(tally.flops / cell.wall_s / (1e9 * self.roof_gflops)),
            // A sequence that is longer than a batch counts as a full one.
            batch_fill: Some(fill.min(1.0)),
            stages_ms: StagesMs {
                tokenise: median_ms(tally.tokenise),
                queue: median_ms(tally.queue),
                compute: median_ms(tally.compute),
                search: median_ms(tally.search),
            },
            ..cell
        }
    }
}

/// The percentile by nearest rank: with fewer than a hundred rounds p99 is the slowest. sorted:
/// `[rounds]`, ascending, not empty.
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
    fn tokens_are_known_only_if_they_are_known_of_every_round() {
        let mut tally = Tally::default();
        tally.add(Duration::from_millis(1), 2, Some(7), Some(Duration::from_millis(2)));
        tally.add(Duration::from_millis(3), 2, Some(8), Some(Duration::from_millis(3)));
        assert_eq!((tally.tokens, tally.sequences), (Some(15), 4));
        assert_eq!(tally.cpu, Some(Duration::from_millis(5)));
        tally.add(Duration::from_millis(1), 2, None, None);
        tally.add(Duration::from_millis(1), 2, Some(7), None);
        let cell = tally.cell("inproc", "mixed".to_owned(), 2);
        assert_eq!((cell.tokens, cell.tokens_per_s, cell.cpu_s), (None, None, None));
        assert_eq!((cell.rounds, cell.sequences, cell.p50_ms), (4, 8, 1.0));
    }
}
