//! A request to an endpoint.

use std::ops::Range;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, never, select_biased, unbounded};

use super::call::Call;
use super::collector::Results;
use super::endpoint::{Ask, Fetched, Remote};
use super::pending::SlotRow;
use super::worker::stopped;
use crate::base::error::{Error, Result};

/// How often a request without a batch in the queue tries to queue one.
const POLL: Duration = Duration::from_millis(20);

pub(super) struct RemoteCall<'a> {
    call: Call<'a>,
    remote: &'a Remote,
    /// The slots that the cache does not hold.
    misses: Vec<usize>,
    /// The part of `misses` that each batch asks for.
    batches: Vec<Range<usize>>,
    /// The first batch that is not queued.
    next: usize,
    /// Batches that are queued or being answered.
    pending: usize,
    sender: Sender<Fetched>,
    responses: Receiver<Fetched>,
}

impl<'a> RemoteCall<'a> {
    /// Queues the first batches, or refuses the request as a whole. Does not wait. Tokens are
    /// counted in this process, because the cache stores the counts.
    pub fn submit(mut call: Call<'a>, remote: &'a Remote) -> Result<Self> {
        let mut misses = Vec::new();
        while let Some(missed) = call.look_up_next() {
            call.check_wanted()?;
            call.encode(&missed)?;
            misses.extend(missed);
        }
        let texts: Vec<&str> = misses.iter().map(|&slot| call.input.text(slot)).collect();
        let batches = remote.split(&texts);
        let (sender, responses) = unbounded();
        let mut asked =
            Self { call, remote, misses, batches, next: 0, pending: 0, sender, responses };
        asked.queue()?;
        if asked.next == 0 && !asked.batches.is_empty() {
            return Err(remote.overloaded());
        }
        Ok(asked)
    }

    /// Queues the rest and waits for the results.
    pub fn wait(mut self) -> Result<Results> {
        let cancelled = self.call.cx.cancelled().receiver();
        let stop = self.remote.stopped().receiver();
        let deadline = self.call.at_deadline();
        while self.next < self.batches.len() || self.pending > 0 {
            self.queue()?;
            // Without a batch of its own in the queue, nothing but the time announces room.
            let room = if self.pending == 0 { after(POLL) } else { never() };
            select_biased! {
                recv(self.responses) -> fetched => {
                    // This thread holds a sender, so the channel is open.
                    if let Ok(fetched) = fetched {
                        self.take(fetched)?;
                    }
                }
                recv(room) -> _ => {}
                recv(cancelled) -> _ => return Err(Error::Cancelled),
                recv(stop) -> _ => return Err(stopped()),
                recv(deadline) -> _ => return Err(self.call.cx.late("embedding")),
            }
        }
        Ok(self.call.finish())
    }

    /// Queues the next batches, as many as keep the threads of the endpoint busy and fit.
    fn queue(&mut self) -> Result<()> {
        while self.next < self.batches.len() && self.pending < self.remote.ahead() {
            if !self.queue_one(self.next)? {
                break;
            }
            self.next += 1;
            self.pending += 1;
        }
        Ok(())
    }

    /// Queues batch number `batch`. Returns false if the queue is full.
    fn queue_one(&self, batch: usize) -> Result<bool> {
        let Self { call, remote, sender, .. } = self;
        // Endpoints reject an empty text. A space has the same tokens.
        let text = |&slot: &usize| match &*call.parts.tokenizer.relevant(call.input.text(slot)) {
            "" => " ".to_owned(),
            relevant => relevant.to_owned(),
        };
        let ask = || Ask {
            texts: self.misses[self.batches[batch].clone()].iter().map(text).collect(),
            d: Some(call.collector.d()),
            cx: Some(call.cx.clone()),
            gone: call.gone.share(),
        };
        remote.submit(call.lane, batch, ask, sender)
    }

    /// Stores the vectors of one batch.
    fn take(&mut self, fetched: Fetched) -> Result<()> {
        let slots = &self.misses[self.batches[fetched.batch].clone()];
        let answer = fetched.result.map_err(|error| match error {
            Error::Input { index, source } => Error::Input { index: slots[index], source },
            error => error,
        })?;
        self.pending -= 1;
        let Call { collector, cx, lane, .. } = &mut self.call;
        collector.waited(fetched.queue);
        let tokens = answer.tokens.unwrap_or_else(|| collector.tokens(slots));
        collector.computed(tokens);
        self.remote.count(slots.len(), tokens);
        cx.instruments().fetched(*lane, slots.len(), tokens, fetched.took);
        let rows = slots.iter().enumerate().map(|(row, &slot)| SlotRow { slot, row });
        collector.place(&rows.collect::<Vec<_>>(), &answer.vectors, cx);
        cx.items_done(slots.len());
        Ok(())
    }
}
