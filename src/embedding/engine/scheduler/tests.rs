//! Does the scheduler keep its promises, whatever arrives and whatever fails?
//!
//! The scheduler of the worker, driven by a clock that only the test moves and a device whose times
//! are made up. What happens depends on the seed alone, which every failure names.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::schedule::{Scheduler, Settled, Step};
use super::{Claim, Lane, Limits, Sequence};
use crate::base::error::Error;

/// Batches that may go before the oldest of a lane: queries wait for one turn of bulk, and bulk for
/// as many batches as earn it a turn.
const PASSED_MAX: [usize; 2] = [1, 8];
const LANES: [Lane; 2] = [Lane::Interactive, Lane::Bulk];

/// What happens in a simulation. Shares: 0 to 1.
#[derive(Debug, Clone, Copy)]
struct Scene {
    limits: Limits,
    lasts: Duration,
    /// How long after one query the next one comes, on average; 0: so many wait that no batch holds
    /// them.
    query_every: Duration,
    cancelled: f64,
    with_deadline: f64,
    failing: f64,
    /// Those that may be longer than a batch.
    long: f64,
    /// What the device really holds.
    memory_tokens: usize,
    /// By how much a time differs from what it should be.
    noise: f64,
}

const CALM: Scene = Scene {
    limits: Limits {
        batch_tokens_max: 4096,
        batch_seqs_max: 256,
        queue_tokens_max: 1 << 20,
        batch_time_max: Some(Duration::from_millis(150)),
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
};

/// The time of a batch without noise: 4 ms, and 10,000 tokens a second.
fn time(tokens: usize) -> Duration {
    Duration::from_millis(4) + Duration::from_micros(100) * tokens as u32
}

/// SplitMix64 (Steele et al., 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn happens(&mut self, share: f64) -> bool {
        self.share() < share
    }
}

#[derive(Debug, Clone, Copy)]
struct Ticket {
    number: usize,
    cancelled: Option<Instant>,
    deadline: Option<Instant>,
}

impl Claim for Ticket {
    fn is_dead(&self, now: Instant) -> bool {
        [self.cancelled, self.deadline].into_iter().flatten().any(|at| at <= now)
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// One request of one text.
struct Request {
    lane: Lane,
    ids: Vec<u32>,
    ticket: Ticket,
    asked: Instant,
    launched: bool,
    answers: usize,
}

#[derive(Debug, Default)]
struct Seen {
    /// How long queries took that were answered with a vector.
    waits: Vec<Duration>,
    vectors: usize,
    shared: usize,
    late: usize,
    dropped: usize,
    failed: usize,
    halved: usize,
    too_long: usize,
}

struct World {
    scene: Scene,
    seed: u64,
    numbers: Numbers,
    scheduler: Scheduler<Ticket>,
    now: Instant,
    next_query: Instant,
    /// Until when somebody asks.
    end: Instant,
    requests: Vec<Request>,
    /// Of each lane, in the order in which they came.
    waiting: [VecDeque<usize>; 2],
    passed: [usize; 2],
    seen: Seen,
}

fn simulate(scene: Scene, seed: u64) -> World {
    let now = Instant::now();
    let mut world = World {
        scene,
        seed,
        numbers: Numbers(seed),
        scheduler: Scheduler::new(scene.limits),
        now,
        next_query: now,
        end: now + scene.lasts,
        requests: Vec::new(),
        waiting: Default::default(),
        passed: [0, 0],
        seen: Seen::default(),
    };
    loop {
        world.arrive(world.now);
        let Step { batch, late } = world.scheduler.next(world.now);
        late.into_iter().for_each(|ticket| world.too_late(ticket));
        match batch {
            Some(batch) => world.compute(batch),
            None if world.now >= world.end => break,
            None => world.now = world.next_query.min(world.end),
        }
    }
    world.check_all_answered();
    world
}

impl World {
    /// What arrives until `now`: bulk keeps its lane full.
    fn arrive(&mut self, now: Instant) {
        let full = 2 * self.scene.limits.batch_tokens_max;
        let now = now.min(self.end);
        while self.next_query <= now && now < self.end {
            let asked = self.next_query;
            if self.scene.query_every.is_zero() {
                if self.scheduler.lanes().tokens(Lane::Interactive) > full {
                    break;
                }
            } else {
                let far = -(1.0 - self.numbers.share()).ln();
                self.next_query += self.scene.query_every.mul_f64(far);
            }
            let long = self.numbers.happens(self.scene.long);
            let tokens = self.numbers.below(if long { 5000 } else { 30 });
            self.ask(Lane::Interactive, tokens, asked);
        }
        while self.scheduler.lanes().tokens(Lane::Bulk) < full && now < self.end {
            let long = self.numbers.happens(self.scene.long);
            let tokens = self.numbers.below(if long { 5000 } else { 400 });
            self.ask(Lane::Bulk, tokens, now);
        }
    }

    fn ask(&mut self, lane: Lane, tokens: usize, asked: Instant) {
        let number = self.requests.len();
        // One in ten was asked before.
        let id = if self.numbers.happens(0.1) { 7 } else { 1000 + number as u32 };
        let tokens = if id == 7 { 40 } else { tokens };
        let ids = vec![id; tokens];
        let Scene { cancelled, with_deadline, .. } = self.scene;
        let mut at = |share, most_ms: usize| {
            let after = Duration::from_millis(self.numbers.below(most_ms) as u64);
            self.numbers.happens(share).then_some(asked + after)
        };
        let (cancelled, deadline) = (at(cancelled, 800), at(with_deadline, 1500));
        let ticket = Ticket { number, cancelled, deadline };
        self.scheduler.check_room(lane, tokens).expect("nobody asks beyond the lane");
        self.scheduler.push(lane, Sequence { ids: ids.clone(), ticket });
        let (launched, answers) = (false, 0);
        self.requests.push(Request { lane, ids, ticket, asked, launched, answers });
        self.waiting[lane as usize].push_back(number);
    }

    fn compute(&mut self, batch: Batch<Ticket>) {
        self.check_batch(&batch);
        self.check_fair(&batch);
        let fits = batch.tokens <= self.scene.memory_tokens;
        let noise = 1.0 + self.scene.noise * (2.0 * self.numbers.share() - 1.0);
        let took = if fits { time(batch.tokens).mul_f64(noise) } else { time(0) };
        let end = self.now + took;
        self.arrive(end);
        self.now = end;
        let ids: Vec<_> = batch.sequences.iter().map(|(ids, _)| ids.clone()).collect();
        let outcome = if !fits {
            Err(Error::OutOfMemory { tokens: batch.tokens, bytes: 1 })
        } else if self.numbers.happens(self.scene.failing) {
            Err(Error::Internal { what: "the device", detail: "it fell off the bus".to_owned() })
        } else {
            Ok(ids.clone())
        };
        match self.scheduler.settle(batch, outcome, took) {
            Settled::Halved(_) => self.seen.halved += 1,
            Settled::Done { tickets, outcome } => {
                assert_eq!(tickets.len(), ids.len(), "seed {}", self.seed);
                for (row, ticket) in
                    tickets.iter().enumerate().flat_map(|(i, t)| t.iter().map(move |t| (i, t)))
                {
                    self.answer(ticket);
                    let request = &self.requests[ticket.number];
                    match &outcome {
                        Ok(rows) => {
                            assert_eq!(rows[row], request.ids, "seed {}", self.seed);
                            self.seen.vectors += 1;
                            if request.lane == Lane::Interactive {
                                self.seen.waits.push(self.now - request.asked);
                            }
                        }
                        Err(Error::OutOfMemory { .. }) => {
                            let tokens = request.ids.len();
                            assert!(tokens > self.scene.memory_tokens, "seed {}", self.seed);
                            self.seen.too_long += 1;
                        }
                        Err(_) => self.seen.failed += 1,
                    }
                }
                self.seen.shared += tickets.iter().filter(|tickets| tickets.len() > 1).count();
            }
        }
    }

    fn answer(&mut self, ticket: &Ticket) {
        let request = &mut self.requests[ticket.number];
        request.answers += 1;
        assert_eq!(request.answers, 1, "seed {}: answered again", self.seed);
    }

    fn too_late(&mut self, ticket: Ticket) {
        self.answer(&ticket);
        self.seen.late += 1;
        let request = &mut self.requests[ticket.number];
        request.launched = true;
        let deadline = ticket.deadline.expect("who has none is never late");
        let tokens = self.scheduler.batch_tokens_max().max(request.ids.len());
        let hasty = deadline > self.now + time(tokens).mul_f64(1.3);
        assert!(!hasty && deadline > self.now, "seed {}: it had time", self.seed);
    }

    fn check_batch(&self, batch: &Batch<Ticket>) {
        let (seed, limits) = (self.seed, self.scene.limits);
        let n = batch.sequences.len();
        let tokens: usize = batch.sequences.iter().map(|(ids, _)| ids.len().max(1)).sum();
        assert_eq!(tokens, batch.tokens, "seed {seed}");
        assert!(batch.tokens_max <= limits.batch_tokens_max, "seed {seed}");
        assert!(n == 1 || tokens <= batch.tokens_max, "seed {seed}: {tokens} tokens");
        assert!(n <= limits.batch_seqs_max, "seed {seed}: {n} sequences");
        let distinct: HashSet<_> = batch.sequences.iter().map(|(ids, _)| ids).collect();
        assert_eq!(distinct.len(), n, "seed {seed}: a text is computed twice");
        for (ids, tickets) in &batch.sequences {
            assert!(!tickets.is_empty(), "seed {seed}: nobody waits for it");
            for ticket in tickets {
                assert_eq!(*ids, self.requests[ticket.number].ids, "seed {seed}");
                assert!(!ticket.is_dead(self.now), "seed {seed}: nobody wants it any more");
            }
        }
    }

    /// Counts the batches that go before the oldest of each lane.
    fn check_fair(&mut self, batch: &Batch<Ticket>) {
        let tickets = || batch.sequences.iter().flat_map(|(_, tickets)| tickets);
        for lane in LANES.map(|lane| lane as usize) {
            let (waiting, passed) = (&mut self.waiting[lane], &mut self.passed[lane]);
            let left = |number: &usize| {
                let request = &self.requests[*number];
                request.launched || request.ticket.is_dead(self.now)
            };
            while waiting.front().is_some_and(left) {
                waiting.pop_front();
                *passed = 0;
            }
            let Some(oldest) = waiting.front() else { continue };
            *passed = if tickets().any(|t| t.number == *oldest) { 0 } else { *passed + 1 };
            // Halves go before everybody.
            let fair = *passed <= PASSED_MAX[lane] || self.scene.memory_tokens < usize::MAX;
            assert!(
                fair,
                "seed {}: {passed} batches before the oldest {:?}",
                self.seed, LANES[lane]
            );
        }
        tickets().for_each(|ticket| self.requests[ticket.number].launched = true);
    }

    fn check_all_answered(&mut self) {
        for request in &self.requests {
            let dropped = request.answers == 0 && request.ticket.is_dead(self.now);
            self.seen.dropped += usize::from(dropped);
            let number = request.ticket.number;
            assert!(dropped || request.answers == 1, "seed {}: {number} is lost", self.seed);
        }
        let lanes = self.scheduler.lanes();
        let left = (lanes.waiting(), LANES.map(|lane| lanes.tokens(lane)));
        assert_eq!(left, (0, [0, 0]), "seed {}", self.seed);
    }
}

#[test]
fn a_query_waits_for_little_more_than_one_batch_while_bulk_fills_the_device() {
    for seed in 0..20 {
        let mut world = simulate(CALM, seed);
        let full = world.scheduler.batch_tokens_max();
        let expected = world.scheduler.cost().expected(1, full).unwrap();
        let asked = CALM.limits.batch_time_max.unwrap();
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
fn neither_lane_starves_while_both_have_more_than_the_device_computes() {
    for seed in 0..10 {
        for batch_seqs_max in [256, 16, 4] {
            let limits = Limits { batch_seqs_max, ..CALM.limits };
            let lasts = Duration::from_secs(10);
            let scene = Scene { limits, lasts, query_every: Duration::ZERO, long: 0.01, ..CALM };
            let world = simulate(scene, seed);
            let bulk = |request: &&Request| request.lane == Lane::Bulk && request.answers == 1;
            let bulk = world.requests.iter().filter(bulk).count();
            assert!(bulk > 20 && world.seen.waits.len() > 200, "seed {seed}: {:?}", world.seen);
        }
    }
}

#[test]
fn each_request_is_answered_once_whatever_is_cancelled_late_failing_or_too_large() {
    let mut seen = Seen::default();
    for seed in 0..40 {
        let memory_tokens = [usize::MAX, 1000, 420][seed as usize % 3];
        let scene = Scene {
            lasts: Duration::from_secs(20),
            query_every: Duration::from_millis(60),
            cancelled: 0.2,
            with_deadline: 0.3,
            failing: 0.05,
            long: 0.01,
            memory_tokens,
            ..CALM
        };
        let world = simulate(scene, seed);
        let halved = world.seen.halved;
        assert_eq!(halved > 0, memory_tokens < usize::MAX, "seed {seed}");
        // What was too much is remembered: not every batch runs into it again.
        let batches = world.requests.iter().filter(|r| r.launched).count() / 5;
        assert!(halved < batches / 4, "seed {seed}: {halved} of {batches}");
        seen.late += world.seen.late;
        seen.dropped += world.seen.dropped;
        seen.failed += world.seen.failed;
        seen.too_long += world.seen.too_long;
        seen.shared += world.seen.shared;
        seen.vectors += world.seen.vectors;
    }
    let Seen { late, dropped, failed, too_long, shared, vectors, .. } = seen;
    for count in [late, dropped, failed, too_long, shared, vectors] {
        assert!(count > 20, "it hardly happened: {seen:?}");
    }
}
