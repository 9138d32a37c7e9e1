//! Why did a try fail, and would another one help?

use std::error::Error as _;
use std::time::Duration;

/// Characters of a refusal that an error shows.
const SHOWN_CHARS_MAX: usize = 200;

/// Whose fault it was.
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
    /// Any other status: the endpoint is well and does not want this.
    Refused,
    /// The answer broke off.
    Cut,
    /// The answer is none.
    Garbage,
}

impl Fault {
    /// Whether the same request may be answered later. One that was too slow would only be asked
    /// for twice, and nonsense is mostly repeated.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Unreachable | Self::Busy | Self::Failing | Self::Cut)
    }
}

/// One try that failed.
#[derive(Debug)]
pub struct Failure {
    pub fault: Fault,
    /// A sentence about the endpoint: `it answered 500: …`.
    pub what: String,
    /// How long the endpoint asks us to wait.
    pub wait: Option<Duration>,
}

impl Failure {
    pub fn new(fault: Fault, what: String) -> Self {
        Self { fault, what, wait: None }
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

    /// The failure after the last of so many tries.
    pub fn told(&self, tries: usize) -> String {
        match tries {
            0 | 1 => self.what.clone(),
            _ => format!("{} (tried {tries} times)", self.what),
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
