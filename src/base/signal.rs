//! A flag that is raised once and wakes every thread that waits for it.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

/// Reading the flag costs one load. A channel is made for the first thread that waits.
#[derive(Default)]
pub struct Signal {
    is_raised: AtomicBool,
    /// The sender never sends: dropping it wakes the receivers.
    channel: Mutex<Option<(Sender<Infallible>, Receiver<Infallible>)>>,
}

impl Signal {
    pub fn raise(&self) {
        let mut channel = self.channel.lock();
        self.is_raised.store(true, Ordering::Relaxed);
        *channel = None;
    }

    pub fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::Relaxed)
    }

    /// A receiver, for `select!`, that is disconnected once the flag is raised.
    pub fn receiver(&self) -> Receiver<Infallible> {
        let mut channel = self.channel.lock();
        if self.is_raised() {
            return bounded(0).1;
        }
        channel.get_or_insert_with(|| bounded(0)).1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{RecvTimeoutError, TryRecvError};
    use std::time::Duration;

    #[test]
    fn raising_it_wakes_those_who_wait_and_those_who_come_later() {
        let signal = Signal::default();
        let early = signal.receiver();
        assert!(!signal.is_raised());
        assert_eq!(early.try_recv(), Err(TryRecvError::Empty));
        std::thread::scope(|scope| {
            let woken = scope.spawn(|| early.recv_timeout(Duration::from_secs(120)));
            signal.raise();
            assert_eq!(woken.join().unwrap(), Err(RecvTimeoutError::Disconnected));
        });
        assert!(signal.is_raised());
        assert_eq!(signal.receiver().try_recv(), Err(TryRecvError::Disconnected));
    }
}
