//! Why a try failed, and whether another one may help.

use std::error::Error as _;
use std::time::Duration;

/// Characters of a refusal that an error shows.
const SHOWN_CHARS_MAX: usize = 200;

/// The kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens, or the connection was closed before an answer.
    Unreachable,
    /// No answer in time.
    Slow,
    /// 429.
    Busy,
    /// 5xx.
    Failing,
    /// 413, or the 422 of text-embeddings-inference: fewer texts at once may do.
    TooLarge,
    /// Any other status: the endpoint works and rejects this request.
    Refused,
    /// The response broke off.
    Cut,
    /// The response cannot be understood.
    Garbage,
}

impl Fault {
    /// Whether the same request may succeed later. One that was too slow would only be computed twice,
    /// and an endpoint that returns nonsense mostly repeats it.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Unreachable | Self::Busy | Self::Failing | Self::Cut)
    }
}

/// One try that failed.
#[derive(Debug)]
pub struct Failure {
    pub fault: Fault,
    /// A sentence about the endpoint: `it answered 500: …`.
    pub message: String,
    /// How long the endpoint asks us to wait before the next try.
    pub wait: Option<Duration>,
}

impl Failure {
    pub fn new(fault: Fault, message: String) -> Self {
        Self { fault, message, wait: None }
    }

    pub fn slow(budget: Duration) -> Self {
        let what = format!("no answer within {} ms (endpoint.timeout_ms)", budget.as_millis());
        Self::new(Fault::Slow, what)
    }

    pub fn unreachable(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut what = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            what = format!("{what}: {cause}");
            source = cause.source();
        }
        Self::new(Fault::Unreachable, what)
    }

    /// The message after the last of `tries` tries.
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
