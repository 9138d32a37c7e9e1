//! The number of requests at work at once, which is limited for each tool.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::error::{Error, Result};

/// The requests at work, by tool. Each of them holds a thread, so that the requests of one tool
/// that wait for a slow engine cannot take the threads of another.
pub struct Slots {
    /// Maximum requests at work for each tool.
    requests_max: usize,
    at_work: Mutex<HashMap<&'static str, usize>>,
}

/// The place of one request, which is free again when this is dropped.
pub struct Slot {
    slots: Arc<Slots>,
    tool: &'static str,
}

impl Slots {
    pub fn new(requests_max: usize) -> Self {
        Self { requests_max, at_work: Mutex::default() }
    }

    /// Takes a place for a request to `tool`.
    pub fn take(self: &Arc<Self>, tool: &'static str) -> Result<Slot> {
        let mut at_work = self.at_work.lock();
        let requests = at_work.entry(tool).or_default();
        if *requests >= self.requests_max {
            let limit = format!("{} requests to {tool}, serve.requests_max", self.requests_max);
            return Err(Error::Overloaded { what: "the server", limit, retry_ms: None });
        }
        *requests += 1;
        Ok(Slot { slots: self.clone(), tool })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(requests) = self.slots.at_work.lock().get_mut(self.tool) {
            *requests -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_has_its_own_limit_and_a_place_becomes_free_again() {
        let slots = Arc::new(Slots::new(2));
        let first = slots.take("embed").unwrap();
        let second = slots.take("embed").unwrap();
        let error = slots.take("embed").err().unwrap();
        assert!(matches!(error, Error::Overloaded { .. }));
        assert!(error.to_string().contains("2 requests to embed, serve.requests_max"), "{error}");
        let other = slots.take("search").unwrap();
        drop(first);
        slots.take("embed").unwrap();
        drop((second, other));
    }
}
