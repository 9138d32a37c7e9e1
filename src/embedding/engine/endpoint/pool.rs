//! The thread pool of an endpoint, with two lanes of waiting requests.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::base::error::{Error, Result};
use crate::base::panic::guarded;
use crate::base::signal::Signal;
use crate::base::telemetry::labels::Lane;
use crate::embedding::engine::worker::stopped;

/// Maximum requests waiting in each lane. A call queues twice as many as are sent in parallel, so
/// with the default settings a lane has room for 16 calls with 8 MiB of text each.
const JOBS_MAX: usize = 128;
/// One in this many requests is taken from the bulk lane first, so that the lane never starves.
const BULK_TURN: usize = 8;

pub type Job = Box<dyn FnOnce() + Send>;

/// Threads that each handle one request at a time, and two lanes of waiting requests.
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    stopped: Signal,
}

#[derive(Default)]
struct State {
    interactive: VecDeque<Job>,
    bulk: VecDeque<Job>,
    turn: usize,
}

impl Pool {
    pub fn start(threads: usize) -> Result<Self> {
        let pool = Self { shared: Arc::default() };
        for i in 0..threads {
            let shared = pool.shared.clone();
            std::thread::Builder::new()
                .name(format!("endpoint-{i}"))
                .spawn(move || shared.work_until_stopped())
                .map_err(Error::library("engine", "start a thread for the endpoint"))?;
        }
        Ok(pool)
    }

    /// Queues the job that `make` returns. If the lane is full, returns false and does not call
    /// `make`.
    pub fn submit(&self, lane: Lane, make: impl FnOnce() -> Job) -> Result<bool> {
        let mut state = self.shared.state.lock();
        if self.shared.stopped.is_raised() {
            return Err(stopped());
        }
        let queue = state.queue(lane);
        if queue.len() >= JOBS_MAX {
            return Ok(false);
        }
        queue.push_back(make());
        self.shared.work.notify_one();
        Ok(true)
    }

    /// The signal that [`Pool::stop`] raises.
    pub fn stopped(&self) -> &Signal {
        &self.shared.stopped
    }

    pub fn waiting(&self) -> usize {
        let state = self.shared.state.lock();
        state.interactive.len() + state.bulk.len()
    }

    /// Drops the waiting jobs. Requests in progress end by themselves, and no thread waits for
    /// them.
    pub fn stop(&self) {
        let mut state = self.shared.state.lock();
        self.shared.stopped.raise();
        state.interactive.clear();
        state.bulk.clear();
        self.shared.work.notify_all();
    }

    /// The limit of a lane, for messages.
    pub fn limit() -> String {
        format!("{JOBS_MAX} requests")
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

impl State {
    fn queue(&mut self, lane: Lane) -> &mut VecDeque<Job> {
        match lane {
            Lane::Interactive => &mut self.interactive,
            Lane::Bulk => &mut self.bulk,
        }
    }

    fn next(&mut self) -> Option<Job> {
        self.turn = (self.turn + 1) % BULK_TURN;
        match self.turn {
            0 => self.bulk.pop_front().or_else(|| self.interactive.pop_front()),
            _ => self.interactive.pop_front().or_else(|| self.bulk.pop_front()),
        }
    }
}

impl Shared {
    fn work_until_stopped(&self) {
        let mut state = self.state.lock();
        while !self.stopped.is_raised() {
            let Some(job) = state.next() else {
                self.work.wait(&mut state);
                continue;
            };
            drop(state);
            // A job reports its own failures; a panic must not end the thread.
            let _: Result<()> = guarded("a job of the endpoint", || {
                job();
                Ok(())
            });
            state = self.state.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn queries_go_first_bulk_gets_its_turn_and_a_full_lane_refuses() {
        let pool = Pool::start(1).unwrap();
        let (release, gate) = channel::<()>();
        let (began, begun) = channel();
        let hold: Job = Box::new(move || {
            began.send(()).unwrap();
            let _ = gate.recv();
        });
        assert!(pool.submit(Lane::Bulk, || hold).unwrap());
        begun.recv().unwrap();
        let (tell, told) = channel();
        let job = |name: &'static str| -> Job {
            let tell = tell.clone();
            Box::new(move || tell.send(name).unwrap())
        };
        (0..JOBS_MAX).for_each(|_| assert!(pool.submit(Lane::Bulk, || job("bulk")).unwrap()));
        assert!(!pool.submit(Lane::Bulk, || unreachable!()).unwrap());
        (0..20).for_each(|_| assert!(pool.submit(Lane::Interactive, || job("query")).unwrap()));
        assert_eq!(pool.waiting(), JOBS_MAX + 20);
        drop(release);
        let order: Vec<_> = (0..20).map(|_| told.recv().unwrap()).collect();
        assert_eq!(order.iter().filter(|name| **name == "bulk").count(), 2);
        assert_eq!(order[0], "query");
    }

    #[test]
    fn a_job_that_panics_ends_no_thread_and_a_stopped_pool_takes_nothing() {
        let pool = Pool::start(1).unwrap();
        assert!(pool.submit(Lane::Bulk, || Box::new(|| panic!("a bug"))).unwrap());
        let (tell, told) = channel();
        let job: Job = Box::new(move || tell.send(()).unwrap());
        assert!(pool.submit(Lane::Bulk, || job).unwrap());
        told.recv().unwrap();
        pool.stop();
        assert!(pool.submit(Lane::Bulk, || Box::new(|| ())).is_err());
    }
}
