//! A simulation of the queue and its workers under random load and failures.
//!
//! It drives the code of the workers with a simulated clock and simulated devices. Each run depends
//! only on its seed, and every assertion prints the seed.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::WorkerLimits;
use super::batcher::{Action, BatchOutcome, Batcher};
use crate::base::error::{Error, Result};
use crate::base::telemetry::labels::Lane;
use crate::embedding::engine::queue::{Batch, BatchLimits, Entry, Queue, Sequence, Waiter};

/// Maximum batches that may overtake the oldest entry of a lane: a query waits for one turn of
/// bulk, and bulk waits until it has earned a turn.
const PASSED_MAX: [usize; 2] = [1, 8];
const LANES: [Lane; 2] = [Lane::Interactive, Lane::Bulk];
/// Tokens that may wait in a lane.
const LANE_TOKENS_MAX: usize = 1 << 20;

/// The parameters of a simulation. Fractions are 0 to 1.
#[derive(Debug, Clone, Copy)]
struct Scene {
    workers: usize,
    limits: WorkerLimits,
    lasts: Duration,
    /// Average time between two queries; 0 keeps more queries waiting than fit into a batch.
    query_every: Duration,
    cancelled: f64,
    with_deadline: f64,
    /// Fraction of texts on which every device fails.
    failing: f64,
    /// Fraction of entries that may be longer than a batch.
    long: f64,
    /// Tokens that fit into the memory of each device.
    memory_tokens: usize,
    /// Maximum relative deviation of a batch's time.
    noise: f64,
    /// How many times longer than [`time`] a batch takes.
    slowness: f64,
}

const CALM: Scene = Scene {
    workers: 1,
    limits: WorkerLimits {
        batch: BatchLimits { tokens_max: 4096, seqs_max: 256 },
        time_max: Some(Duration::from_millis(150)),
        busy_tokens: 512,
    },
    lasts: Duration::from_secs(60),
    query_every: Duration::from_millis(700),
    cancelled: 0.0,
    with_deadline: 0.0,
    failing: 0.0,
    long: 0.0,
    memory_tokens: usize::MAX,
    noise: 0.05,
    slowness: 1.0,
};

/// The time of a batch without noise: 4 ms plus 0.1 ms per token.
fn time(tokens: usize) -> Duration {
    Duration::from_millis(4) + Duration::from_micros(100) * tokens as u32
}

#[derive(Debug, Clone, Copy)]
struct Asker {
    number: usize,
    cancelled: Option<Instant>,
    deadline: Option<Instant>,
}

impl Waiter for Asker {
    fn is_gone(&self, now: Instant) -> bool {
        [self.cancelled, self.deadline].into_iter().flatten().any(|at| at <= now)
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// One request of one text.
struct Request {
    lane: Lane,
    sequence: Sequence,
    asker: Asker,
    asked: Instant,
    fails: bool,
    launched: bool,
    answers: usize,
}

#[derive(Debug, Default)]
struct Seen {
    /// The latency of each query that received a result.
    waits: Vec<Duration>,
    results: usize,
    shared: usize,
    late: usize,
    dropped: usize,
    failed: usize,
    /// Batches that did not fit into memory.
    halved: usize,
    /// Batches that were halved because a text failed.
    isolated: usize,
    too_long: usize,
    /// Number of batches of each worker.
    batches: Vec<usize>,
    /// The time and the number of texts of each batch.
    texts: Vec<(Instant, usize)>,
}

/// A batch on a device.
struct Running {
    batch: Batch<Asker>,
    ends: Instant,
    took: Duration,
}

struct World {
    scene: Scene,
    seed: u64,
    rng: Rng,
    queue: Queue<Asker>,
    batchers: Vec<Batcher<Asker>>,
    /// The batch that each worker is computing.
    running: Vec<Option<Running>>,
    now: Instant,
    next_query: Instant,
    /// The time after which no request arrives.
    end: Instant,
    requests: Vec<Request>,
    /// The numbers of the waiting requests of each lane, in order of arrival.
    waiting: [VecDeque<usize>; 2],
    passed: [usize; 2],
    seen: Seen,
}

fn simulate(scene: Scene, seed: u64) -> World {
    let now = Instant::now();
    let mut world = World {
        scene,
        seed,
        rng: Rng::with_seed(seed),
        queue: Queue::new(LANE_TOKENS_MAX),
        batchers: (0..scene.workers).map(|_| Batcher::new(scene.limits)).collect(),
        running: (0..scene.workers).map(|_| None).collect(),
        now,
        next_query: now,
        end: now + scene.lasts,
        requests: Vec::new(),
        waiting: Default::default(),
        passed: [0, 0],
        seen: Seen { batches: vec![0; scene.workers], ..Seen::default() },
    };
    loop {
        world.arrive();
        for worker in 0..scene.workers {
            if world.running[worker].as_ref().is_some_and(|running| running.ends <= world.now) {
                world.complete(worker);
            }
            if world.running[worker].is_none() {
                world.launch(worker);
            }
        }
        let Some(next) = world.next_event() else { break };
        world.now = next;
    }
    world.check_all_answered();
    world
}

impl World {
    fn happens(&mut self, fraction: f64) -> bool {
        self.rng.f64() < fraction
    }

    /// The time of the next event: a batch ends, or a query arrives while a worker is free.
    fn next_event(&self) -> Option<Instant> {
        let ends = self.running.iter().flatten().map(|running| running.ends).min();
        let is_idle = self.running.iter().any(Option::is_none);
        let arrival = (is_idle && self.now < self.end).then(|| self.next_query.min(self.end));
        ends.into_iter().chain(arrival).min()
    }

    /// Adds the requests that have arrived by now. Bulk keeps its lane full.
    fn arrive(&mut self) {
        let full = 2 * self.scene.workers * self.scene.limits.batch.tokens_max;
        let now = self.now.min(self.end);
        while self.next_query <= now && now < self.end {
            let asked = self.next_query;
            if self.scene.query_every.is_zero() {
                if self.queue.tokens(Lane::Interactive) > full {
                    break;
                }
            } else {
                let factor = -(1.0 - self.rng.f64()).ln();
                self.next_query += self.scene.query_every.mul_f64(factor);
            }
            let long = self.happens(self.scene.long);
            let tokens = self.rng.usize(0..if long { 5000 } else { 30 });
            self.ask(Lane::Interactive, tokens, asked);
        }
        while self.queue.tokens(Lane::Bulk) < full && now < self.end {
            let long = self.happens(self.scene.long);
            let tokens = self.rng.usize(0..if long { 5000 } else { 400 });
            self.ask(Lane::Bulk, tokens, now);
        }
    }

    fn ask(&mut self, lane: Lane, tokens: usize, asked: Instant) {
        let number = self.requests.len();
        // One request in ten repeats an earlier text.
        let id = if self.happens(0.1) { 7 } else { 1000 + number as u32 };
        let tokens = if id == 7 { 40 } else { tokens };
        let sequence = Sequence::from_ids(vec![id; tokens]);
        let Scene { cancelled, with_deadline, .. } = self.scene;
        let mut at = |fraction, most_ms: u64| {
            let after = Duration::from_millis(self.rng.u64(0..most_ms));
            (self.rng.f64() < fraction).then_some(asked + after)
        };
        let (cancelled, deadline) = (at(cancelled, 800), at(with_deadline, 1500));
        let asker = Asker { number, cancelled, deadline };
        let room = self.queue.check_room(lane, tokens, |_| None);
        room.expect("nobody asks for more than the lane holds");
        self.queue.push(lane, Entry { sequence: sequence.clone(), waiter: asker });
        let fails = id != 7 && self.happens(self.scene.failing);
        let (launched, answers) = (false, 0);
        self.requests.push(Request { lane, sequence, asker, asked, fails, launched, answers });
        self.waiting[lane as usize].push_back(number);
    }

    /// Gives an idle worker its next batch.
    fn launch(&mut self, worker: usize) {
        let Action { batch, late } = self.batchers[worker].next(&mut self.queue, self.now);
        late.into_iter().for_each(|asker| self.too_late(worker, asker));
        let Some(batch) = batch else { return };
        self.seen.batches[worker] += 1;
        self.seen.texts.push((self.now, batch.rows.len()));
        self.check_batch(&batch);
        self.check_fair(&batch);
        let took = if batch.tokens <= self.scene.memory_tokens {
            let noise = 1.0 + self.scene.noise * (2.0 * self.rng.f64() - 1.0);
            time(batch.tokens).mul_f64(noise * self.scene.slowness)
        } else {
            time(0)
        };
        self.running[worker] = Some(Running { batch, ends: self.now + took, took });
    }

    /// Completes the batch of a worker.
    fn complete(&mut self, worker: usize) {
        let Running { batch, took, .. } = self.running[worker].take().expect("it computes");
        let rows: Vec<_> = batch.rows.iter().map(|row| row.sequence.clone()).collect();
        let fails = batch.waiters().any(|asker| self.requests[asker.number].fails);
        let result: Result<Vec<Sequence>> = if batch.tokens > self.scene.memory_tokens {
            Err(Error::OutOfMemory { tokens: batch.tokens, bytes: 1 })
        } else if fails {
            Err(Error::Internal { what: "the device", detail: "it cannot compute this".to_owned() })
        } else {
            Ok(rows.clone())
        };
        match self.batchers[worker].settle(batch, result, took) {
            BatchOutcome::Halved(Error::OutOfMemory { .. }) => self.seen.halved += 1,
            BatchOutcome::Halved(_) => self.seen.isolated += 1,
            BatchOutcome::Done { rows: done, result } => {
                assert_eq!(done.len(), rows.len(), "seed {}", self.seed);
                self.seen.shared += done.iter().filter(|row| row.waiters.len() > 1).count();
                for (row, done) in done.into_iter().enumerate() {
                    for asker in done.waiters {
                        self.answer(asker, result.as_ref().map(|rows| &rows[row]));
                    }
                }
            }
        }
    }

    fn answer(&mut self, asker: Asker, result: Result<&Sequence, &Error>) {
        self.count_answer(asker);
        let request = &self.requests[asker.number];
        match result {
            Ok(row) => {
                assert_eq!(*row, request.sequence, "seed {}", self.seed);
                self.seen.results += 1;
                if request.lane == Lane::Interactive {
                    self.seen.waits.push(self.now - request.asked);
                }
            }
            Err(Error::OutOfMemory { .. }) => {
                let tokens = request.sequence.ids.len();
                assert!(tokens > self.scene.memory_tokens, "seed {}", self.seed);
                self.seen.too_long += 1;
            }
            Err(_) => {
                assert!(request.fails, "seed {}: another text failed", self.seed);
                self.seen.failed += 1;
            }
        }
    }

    fn count_answer(&mut self, asker: Asker) {
        let request = &mut self.requests[asker.number];
        request.answers += 1;
        assert_eq!(request.answers, 1, "seed {}: answered again", self.seed);
    }

    fn too_late(&mut self, worker: usize, asker: Asker) {
        self.count_answer(asker);
        self.seen.late += 1;
        let request = &mut self.requests[asker.number];
        request.launched = true;
        let deadline = asker.deadline.expect("a request without one is never late");
        let tokens = self.batchers[worker].tokens_max().max(request.sequence.ids.len());
        let hasty = deadline > self.now + time(tokens).mul_f64(1.3);
        assert!(!hasty && deadline > self.now, "seed {}: it had time", self.seed);
    }

    fn check_batch(&self, batch: &Batch<Asker>) {
        let (seed, limits) = (self.seed, self.scene.limits.batch);
        let n = batch.rows.len();
        let tokens: usize = batch.rows.iter().map(|row| row.sequence.tokens()).sum();
        assert_eq!(tokens, batch.tokens, "seed {seed}");
        assert!(batch.tokens_max <= limits.tokens_max, "seed {seed}");
        assert!(n == 1 || tokens <= batch.tokens_max, "seed {seed}: {tokens} tokens");
        assert!(n <= limits.seqs_max, "seed {seed}: {n} sequences");
        let distinct: HashSet<_> = batch.rows.iter().map(|row| &row.sequence).collect();
        assert_eq!(distinct.len(), n, "seed {seed}: a text is computed twice");
        for row in &batch.rows {
            assert!(!row.waiters.is_empty(), "seed {seed}: nobody waits for it");
            for asker in &row.waiters {
                assert_eq!(row.sequence, self.requests[asker.number].sequence, "seed {seed}");
                assert!(!asker.is_gone(self.now), "seed {seed}: nobody needs it any more");
            }
        }
    }

    /// Counts the batches that overtake the oldest entry of each lane.
    fn check_fair(&mut self, batch: &Batch<Asker>) {
        for lane in LANES.map(|lane| lane as usize) {
            let (waiting, passed) = (&mut self.waiting[lane], &mut self.passed[lane]);
            let left = |number: &usize| {
                let request = &self.requests[*number];
                request.launched || request.asker.is_gone(self.now)
            };
            while waiting.front().is_some_and(left) {
                waiting.pop_front();
                *passed = 0;
            }
            let Some(oldest) = waiting.front() else { continue };
            let is_in = batch.waiters().any(|asker| asker.number == *oldest);
            *passed = if is_in { 0 } else { *passed + 1 };
            // Halves go before all waiting entries.
            let no_halves = self.scene.memory_tokens == usize::MAX && self.scene.failing == 0.0;
            let fair = *passed <= PASSED_MAX[lane] || !no_halves;
            let lane = LANES[lane];
            assert!(fair, "seed {}: {passed} batches before the oldest {lane:?}", self.seed);
        }
        batch.waiters().for_each(|asker| self.requests[asker.number].launched = true);
    }

    fn check_all_answered(&mut self) {
        for request in &self.requests {
            let dropped = request.answers == 0 && request.asker.is_gone(self.now);
            self.seen.dropped += usize::from(dropped);
            let number = request.asker.number;
            assert!(dropped || request.answers == 1, "seed {}: {number} is lost", self.seed);
        }
        let left = (self.queue.len(), LANES.map(|lane| self.queue.tokens(lane)));
        assert_eq!(left, (0, [0, 0]), "seed {}", self.seed);
        let busy = self.seen.batches.iter().all(|batches| *batches > 10);
        assert!(busy, "seed {}: a worker stood idle: {:?}", self.seed, self.seen.batches);
    }
}

#[test]
fn a_query_waits_for_little_more_than_one_batch_while_bulk_fills_the_devices() {
    for (workers, seed) in (1..=3).flat_map(|workers| (0..20).map(move |seed| (workers, seed))) {
        let mut world = simulate(Scene { workers, ..CALM }, seed);
        let full = world.batchers[0].tokens_max();
        let expected = world.batchers[0].cost().expected(1, full).unwrap();
        let asked = CALM.limits.time_max.unwrap();
        let off = time(full).as_secs_f64() / asked.as_secs_f64() - 1.0;
        assert!(off.abs() < 0.15, "seed {seed}: {full} tokens take {:?}", time(full));
        let waits = &mut world.seen.waits;
        waits.sort_unstable();
        let p99 = waits[(waits.len() * 99).div_ceil(100) - 1];
        assert!(waits.len() > 40, "seed {seed}");
        assert!(p99 <= expected.mul_f64(1.2), "seed {seed}: {p99:?}, a batch takes {expected:?}");
    }
}

#[test]
fn a_slow_device_computes_several_bulk_texts_at_once_unless_queries_arrive() {
    for (slowness, seed) in [20.0, 200.0].into_iter().flat_map(|s| (0..5).map(move |i| (s, i))) {
        let lasts = Duration::from_secs(1000);
        // One query at the beginning, and no other one.
        let never = Duration::from_secs(1_000_000);
        let scene = Scene { slowness, lasts, query_every: never, ..CALM };
        let world = simulate(scene, seed);
        let quiet = world.end - lasts + Duration::from_secs(60);
        let full = world.end - Duration::from_secs(1);
        let texts = world.seen.texts.iter().filter(|(at, _)| (quiet..full).contains(at));
        let texts: Vec<usize> = texts.map(|(_, texts)| *texts).collect();
        assert!(texts.len() >= 2, "seed {seed}: {} batches", texts.len());
        // On average a text has 200 tokens, and a batch 2048.
        let few = texts.iter().filter(|texts| **texts < 4).count();
        assert_eq!(few, 0, "seed {seed}: {texts:?}");
    }
    for seed in 0..5 {
        let (slowness, lasts) = (20.0, Duration::from_secs(300));
        let scene = Scene { slowness, lasts, query_every: Duration::from_secs(3), ..CALM };
        let waits = simulate(scene, seed).seen.waits;
        let short = time(4 * CALM.limits.busy_tokens).mul_f64(slowness);
        let long = waits.iter().filter(|wait| **wait > short).count();
        assert!(waits.len() > 50 && long == 0, "seed {seed}: {waits:?}");
    }
}

#[test]
fn neither_lane_starves_while_both_have_more_than_the_devices_compute() {
    for (workers, seed) in (1..=3).flat_map(|workers| (0..10).map(move |seed| (workers, seed))) {
        for seqs_max in [256, 16, 4] {
            let batch = BatchLimits { seqs_max, ..CALM.limits.batch };
            let limits = WorkerLimits { batch, ..CALM.limits };
            let (lasts, query_every) = (Duration::from_secs(10), Duration::ZERO);
            let scene = Scene { workers, limits, lasts, query_every, long: 0.01, ..CALM };
            let world = simulate(scene, seed);
            let bulk = |request: &&Request| request.lane == Lane::Bulk && request.answers == 1;
            let bulk = world.requests.iter().filter(bulk).count();
            assert!(bulk > 20 && world.seen.waits.len() > 200, "seed {seed}: {:?}", world.seen);
        }
    }
}

#[test]
fn each_request_is_answered_once_whatever_is_cancelled_late_failing_or_too_large() {
    for workers in 1..=3 {
        let mut seen = Seen::default();
        for seed in 0..40 {
            let memory_tokens = [usize::MAX, 1000, 420][seed as usize % 3];
            let scene = Scene {
                workers,
                lasts: Duration::from_secs(20),
                query_every: Duration::from_millis(60),
                cancelled: 0.2,
                with_deadline: 0.3,
                failing: 0.01,
                long: 0.01,
                memory_tokens,
                ..CALM
            };
            let world = simulate(scene, seed);
            let halved = world.seen.halved;
            assert_eq!(halved > 0, memory_tokens < usize::MAX, "seed {seed}");
            // The batcher remembers the memory limit, so not every batch exceeds it again.
            let batches = world.requests.iter().filter(|r| r.launched).count() / 5;
            assert!(halved < batches / 4, "seed {seed}: {halved} of {batches}");
            seen.late += world.seen.late;
            seen.dropped += world.seen.dropped;
            seen.failed += world.seen.failed;
            seen.isolated += world.seen.isolated;
            seen.too_long += world.seen.too_long;
            seen.shared += world.seen.shared;
            seen.results += world.seen.results;
        }
        let Seen { late, dropped, failed, isolated, too_long, shared, results, .. } = seen;
        for count in [late, dropped, failed, isolated, too_long, shared, results] {
            assert!(count > 20, "it hardly happened with {workers} workers: {seen:?}");
        }
    }
}
