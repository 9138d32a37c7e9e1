//! The failure of one attempt, and whether a retry may succeed.

use std::time::Duration;

use super::tls;

/// Maximum characters of an error response that a message shows.
const SHOWN_CHARS_MAX: usize = 200;

/// The kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection was refused, or was closed before a response.
    Unreachable,
    /// TLS failed, or only one side speaks it.
    NotSecure,
    /// The response did not arrive in time.
    Slow,
    /// Nobody needs the response any more.
    Unwanted,
    /// Status 429.
    Busy,
    /// Status 5xx.
    Failing,
    /// Status 413, or the 422 of text-embeddings-inference: a request with fewer texts may succeed.
    TooLarge,
    /// Any other status: the endpoint works but rejects this request.
    Refused,
    /// The response was incomplete.
    Cut,
    /// The response could not be parsed.
    Garbage,
    /// The vector of this text of the request holds a number that is not finite.
    NotFinite { text: usize },
}

impl Fault {
    /// Whether a retry may succeed. A request that was too slow would only be computed twice, and
    /// an invalid response is usually repeated.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Unreachable | Self::Busy | Self::Failing | Self::Cut)
    }
}

/// One failed attempt.
#[derive(Debug)]
pub struct Failure {
    pub fault: Fault,
    /// A sentence about the endpoint: `it answered 500: …`.
    pub message: String,
    /// The wait before a retry that the endpoint asks for.
    pub wait: Option<Duration>,
}

impl Failure {
    pub fn new(fault: Fault, message: String) -> Self {
        Self { fault, message, wait: None }
    }

    pub fn slow(budget: Duration) -> Self {
        let message = format!("no answer within {} ms (endpoint.timeout_ms)", budget.as_millis());
        Self::new(Fault::Slow, message)
    }

    pub fn unwanted() -> Self {
        Self::new(Fault::Unwanted, "its answer is no longer needed".to_owned())
    }

    /// No response came. Another certificate or another port answers no retry.
    pub fn unreachable(error: reqwest::Error, is_https: bool) -> Self {
        let error = error.without_url();
        let message = tls::chain(&error);
        match tls::remedy(&error, is_https) {
            Some(remedy) => Self::new(Fault::NotSecure, format!("{message}; {remedy}")),
            None => Self::new(Fault::Unreachable, message),
        }
    }

    /// The message after `tries` attempts.
    pub fn after(&self, tries: usize) -> String {
        if tries <= 1 {
            self.message.clone()
        } else {
            format!("{} (tried {tries} times)", self.message)
        }
    }
}

/// The beginning of a body, on one line.
pub fn clip(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = words.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect();
    if line.is_empty() { "no reason given".to_owned() } else { line }
}
