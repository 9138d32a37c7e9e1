//! A request to the workers of this process.
//!
//! It looks up and tokenises one slice of the items at a time, while the workers compute the
//! previous slices.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select_biased, unbounded};

use super::call::{Call, CallError};
use super::collector::Results;
use super::pending::{PendingRequest, Response, Slot};
use super::queue::{Entry, Sequence};
use super::worker::{Search, Workers, stopped};
use crate::base::error::{Error, Result};

/// How often a request that is larger than its lane checks whether it is still needed while it waits
/// for room.
const POLL: Duration = Duration::from_millis(20);

pub(super) struct LocalCall<'a> {
    call: Call<'a>,
    workers: &'a Workers,
    /// Dropped when every item is queued: then only the entries in the queue keep the channel open.
    request: Option<Arc<PendingRequest>>,
    responses: Receiver<Response>,
    /// Tokenised items for which the lane had no room yet.
    waiting: VecDeque<Entry<Slot>>,
    /// Items that are waiting, queued or being computed.
    pending: usize,
    admitted: bool,
}

/// A request without results, which an endpoint may still compute.
pub(super) struct FailedCall<'a> {
    pub failure: CallError,
    pub call: Call<'a>,
}

impl<'a> LocalCall<'a> {
    /// Queues the first items, or refuses the request as a whole. Does not wait.
    pub fn submit(call: Call<'a>, workers: &'a Workers, search: Option<&Search>) -> Result<Self> {
        call.check_wanted()?;
        let (sender, responses) = unbounded();
        let request = Arc::new(PendingRequest {
            cx: call.cx.clone(),
            gone: call.gone.share(),
            responses: sender,
            search: search.cloned(),
        });
        let (waiting, pending) = (VecDeque::new(), 0);
        let mut local = Self {
            call,
            workers,
            request: Some(request),
            responses,
            waiting,
            pending,
            admitted: false,
        };
        local.queue_next()?;
        Ok(local)
    }

    /// Queues the rest and waits for the results. An error returns the request as well.
    pub fn wait(mut self) -> Result<Results, Box<FailedCall<'a>>> {
        match self.complete() {
            Ok(()) => Ok(self.call.finish()),
            Err(failure) => Err(Box::new(FailedCall { failure, call: self.call })),
        }
    }

    fn complete(&mut self) -> Result<(), CallError> {
        loop {
            self.feed()?;
            if !self.queue_next()? {
                break;
            }
        }
        self.request = None;
        let cancelled = self.call.cx.cancelled().receiver();
        let deadline = self.call.at_deadline();
        while self.pending > 0 {
            select_biased! {
                recv(self.responses) -> response => match response {
                    Ok(response) => self.take(response)?,
                    // A worker may drop expired entries before this thread notices the deadline.
                    Err(_) => {
                        self.call.check_wanted()?;
                        return Err(stopped().into());
                    }
                },
                recv(cancelled) -> _ => return Err(Error::Cancelled.into()),
                recv(deadline) -> _ => return Err(self.call.cx.late("embedding").into()),
            }
        }
        Ok(())
    }

    /// Tokenises the next slice and queues what fits; returns false after the last slice.
    fn queue_next(&mut self) -> Result<bool> {
        let Some(slots) = self.call.look_up_next() else { return Ok(false) };
        let Some(request) = self.request.clone().filter(|_| !slots.is_empty()) else {
            return Ok(true);
        };
        let lane = self.call.lane;
        if !self.admitted {
            self.workers.check_room(lane, slots.len())?;
        }
        let ragged = self.call.encode(&slots)?;
        let queued = Instant::now();
        let entry = |(i, &slot): (usize, &usize)| Entry {
            sequence: Sequence::new(&ragged, i),
            waiter: Slot { request: request.clone(), index: slot, queued },
        };
        self.waiting.extend(slots.iter().enumerate().map(entry));
        self.pending += slots.len();
        if !self.admitted {
            self.workers.admit(lane, &mut self.waiting)?;
            self.admitted = true;
        }
        Ok(true)
    }

    /// Queues the waiting items. Waits for room if necessary.
    fn feed(&mut self) -> Result<(), CallError> {
        while !self.waiting.is_empty() {
            self.call.check_wanted()?;
            self.workers.feed(self.call.lane, &mut self.waiting, POLL)?;
            self.take_ready()?;
        }
        self.take_ready()
    }

    fn take_ready(&mut self) -> Result<(), CallError> {
        while let Ok(response) = self.responses.try_recv() {
            self.take(response)?;
        }
        Ok(())
    }

    /// Stores the results of one batch.
    fn take(&mut self, response: Response) -> Result<(), CallError> {
        if let Err(failure) = response.result {
            return Err(failure.into());
        }
        self.call.collector.waited(response.queue_time);
        self.call.collector.computed(response.computed_tokens);
        self.pending -= response.rows.len();
        self.call.collector.take(&response, &self.call.cx)?;
        self.call.cx.items_done(response.rows.len());
        Ok(())
    }
}
