//! The queue of one model, and the workers that take batches from it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::batcher::{Batcher, drain_time};
use super::compute::Compute;
use super::worker::Worker;
use super::{EngineStats, WorkerLimits};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Lane;
use crate::device::Device;
use crate::embedding::engine::pending::Slot;
use crate::embedding::engine::queue::{Entry, Queue};

/// A model on one device.
pub(in crate::embedding::engine) struct DeviceCompute {
    pub limits: WorkerLimits,
    pub compute: Box<dyn Compute>,
    /// The device that `compute` uses, if it is known.
    pub device: Option<Device>,
}

/// The worker threads, one per device, and the queue that they share.
pub(in crate::embedding::engine) struct Workers {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The fewest tokens that keep every device busy.
    busy_tokens: usize,
    searches: bool,
}

pub(super) struct Shared {
    pub state: Mutex<State>,
    /// Signalled when an entry is queued or the workers must stop.
    pub work: Condvar,
    /// Signalled when a lane has room again or the workers have stopped.
    pub room: Condvar,
    pub workers: Vec<WorkerStatus>,
}

pub(super) struct State {
    pub queue: Queue<Slot>,
    /// One per worker.
    pub batchers: Vec<Batcher<Slot>>,
    pub stopped: bool,
}

/// The counters of one worker.
pub(super) struct WorkerStatus {
    pub device: Option<Device>,
    pub batches: AtomicU64,
    pub sequences: AtomicU64,
    pub tokens: AtomicU64,
    pub computed_ns: AtomicU64,
    /// Why the device can no longer be used; empty while it works.
    pub lost: OnceLock<String>,
}

impl Workers {
    /// Starts one worker for each of `devices`. lane_tokens_max: maximum tokens waiting in each
    /// lane.
    pub fn start(lane_tokens_max: usize, devices: Vec<DeviceCompute>) -> Result<Self> {
        assert!(!devices.is_empty(), "a queue has at least one worker");
        let busy = |limits: WorkerLimits| limits.busy_tokens.min(limits.batch.tokens_max);
        let busy_tokens = devices.iter().map(|device| busy(device.limits)).sum();
        // An index is resident on one device, but any worker may take the batch that needs the
        // search.
        let searches = devices.len() == 1 && devices[0].compute.searches();
        let batchers = devices.iter().map(|device| Batcher::new(device.limits)).collect();
        let status = |device: &DeviceCompute| WorkerStatus::new(device.device.clone());
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: Queue::new(lane_tokens_max),
                batchers,
                stopped: false,
            }),
            work: Condvar::new(),
            room: Condvar::new(),
            workers: devices.iter().map(status).collect(),
        });
        let workers = Self { shared, threads: Mutex::default(), busy_tokens, searches };
        for (index, DeviceCompute { mut compute, .. }) in devices.into_iter().enumerate() {
            let worker = Worker { shared: workers.shared.clone(), index };
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || worker.run(&mut *compute))
                .map_err(Error::library("engine", "start a worker thread"))?;
            workers.threads.lock().push(thread);
        }
        Ok(workers)
    }

    /// Moves the first entries of a request into `lane`, or refuses the request as a whole.
    ///
    /// If a request exceeds an empty lane, its other entries stay in `entries`; pass them to
    /// [`Workers::feed`].
    pub fn admit(&self, lane: Lane, entries: &mut VecDeque<Entry<Slot>>) -> Result<()> {
        let mut state = self.shared.state.lock();
        state.check_running()?;
        state.check_room(lane, entries.iter().map(|entry| entry.sequence.tokens()).sum())?;
        let request = entries.front().map(|entry| entry.waiter.request.clone());
        state.move_what_fits(lane, entries);
        if let Some(request) = request {
            state.record_depth(&request.cx);
        }
        self.shared.work.notify_all();
        Ok(())
    }

    /// Checks before tokenising whether [`Workers::admit`] would refuse the request.
    pub fn check_room(&self, lane: Lane, texts: usize) -> Result<()> {
        self.shared.state.lock().check_room(lane, texts)
    }

    /// Moves the entries of an admitted request that fit into `lane`. Waits up to `patience` if
    /// none fits.
    pub fn feed(
        &self,
        lane: Lane,
        entries: &mut VecDeque<Entry<Slot>>,
        patience: Duration,
    ) -> Result<()> {
        let mut state = self.shared.state.lock();
        state.check_running()?;
        let before = entries.len();
        state.move_what_fits(lane, entries);
        if entries.len() < before {
            self.shared.work.notify_all();
        } else if before > 0 {
            self.shared.room.wait_for(&mut state, patience);
        }
        Ok(())
    }

    /// The fewest tokens that keep every device busy.
    pub fn busy_tokens(&self) -> usize {
        self.busy_tokens
    }

    pub fn stats(&self) -> EngineStats {
        let state = self.shared.state.lock();
        let State { queue, batchers, .. } = &*state;
        let workers = &self.shared.workers;
        let sum = |count: fn(&WorkerStatus) -> &AtomicU64| {
            workers.iter().map(|worker| count(worker).load(Ordering::Relaxed)).sum::<u64>()
        };
        EngineStats {
            batches: sum(|worker| &worker.batches),
            sequences: sum(|worker| &worker.sequences),
            tokens: sum(|worker| &worker.tokens),
            computed: Duration::from_nanos(sum(|worker| &worker.computed_ns)),
            queue_depth: queue.len(),
            interactive_tokens: queue.tokens(Lane::Interactive),
            bulk_tokens: queue.tokens(Lane::Bulk),
            batch_tokens_max: batchers.iter().map(Batcher::tokens_max).max().unwrap_or_default(),
            tokens_per_s: batchers.iter().map(|batcher| batcher.cost().tokens_per_s()).sum(),
            out_of_memory: batchers.iter().map(Batcher::out_of_memory).sum(),
            memory: self.device().and_then(Device::memory),
        }
    }

    /// The device of the first worker, if it is known.
    pub fn device(&self) -> Option<&Device> {
        self.shared.workers[0].device.as_ref()
    }

    /// Whether the device can search an index for the vectors that it computes.
    pub fn searches(&self) -> bool {
        self.searches
    }

    /// Why no device can be used any more; `None` while one can.
    pub fn lost(&self) -> Option<String> {
        let lost = self.shared.workers.iter().map(|worker| worker.lost.get().cloned());
        lost.collect::<Option<Vec<_>>>()?.pop()
    }

    /// Finishes the batches in flight, drops the waiting entries, and ends the threads.
    pub fn stop(&self) {
        self.shared.stop();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A worker's panic has been caught and reported as the error of its batch.
            let _ = thread.join();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        // Dropping the entries closes the channels of their requests.
        state.queue.clear();
        state.batchers.iter_mut().for_each(|batcher| drop(batcher.take_halves()));
        self.work.notify_all();
        self.room.notify_all();
    }

    /// Whether worker `index` takes batches. A worker whose device is lost leaves them to the
    /// others. If all devices are lost, each request fails with the reason.
    pub fn may_compute(&self, index: usize) -> bool {
        let lost = |worker: &WorkerStatus| worker.lost.get().is_some();
        !lost(&self.workers[index]) || self.workers.iter().all(lost)
    }
}

impl WorkerStatus {
    fn new(device: Option<Device>) -> Self {
        Self {
            device,
            batches: AtomicU64::new(0),
            sequences: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            computed_ns: AtomicU64::new(0),
            lost: OnceLock::new(),
        }
    }
}

impl State {
    fn check_running(&self) -> Result<()> {
        if self.stopped { Err(stopped()) } else { Ok(()) }
    }

    fn check_room(&self, lane: Lane, tokens: usize) -> Result<()> {
        self.queue.check_room(lane, tokens, |excess| drain_time(&self.batchers, excess))
    }

    pub fn record_depth(&self, cx: &RunContext) {
        let tokens = |lane| self.queue.tokens(lane);
        cx.instruments().waiting(tokens(Lane::Interactive), tokens(Lane::Bulk));
    }

    fn move_what_fits(&mut self, lane: Lane, entries: &mut VecDeque<Entry<Slot>>) {
        while let Some(entry) = entries.pop_front() {
            if self.queue.excess(lane, entry.sequence.tokens()) > 0 {
                return entries.push_front(entry);
            }
            self.queue.push(lane, entry);
        }
    }
}

/// The error of a request to a stopped engine.
pub(in crate::embedding::engine) fn stopped() -> Error {
    Error::Unavailable {
        what: "the embedding engine".to_owned(),
        remedy: "it is shutting down; try again after it has been restarted".to_owned(),
    }
}
