//! NewestFirst: versions of a file in the order in which a walk visits them.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::versions::VersionKey;

/// A queue that gives the newest version first; of equally old ones, that which came first.
#[derive(Default)]
pub(super) struct NewestFirst {
    queue: BinaryHeap<Queued>,
    pushed: usize,
}

#[derive(PartialEq, Eq)]
struct Queued {
    time_s: i64,
    number: usize,
    key: VersionKey,
}

impl NewestFirst {
    pub fn push(&mut self, time_s: i64, key: VersionKey) {
        self.pushed += 1;
        self.queue.push(Queued { time_s, number: self.pushed, key });
    }

    pub fn pop(&mut self) -> Option<VersionKey> {
        self.queue.pop().map(|queued| queued.key)
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        self.time_s.cmp(&other.time_s).then(other.number.cmp(&self.number))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
