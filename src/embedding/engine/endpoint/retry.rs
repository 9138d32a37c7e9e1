//! The wait before a retry: exponential backoff, or the endpoint's `Retry-After`.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// Maximum backoff.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Maximum `Retry-After` that is respected.
const AFTER_MAX: Duration = Duration::from_secs(120);

/// The wait after `tries` attempts. It doubles with each attempt and is reduced by up to half at
/// random, so that many callers do not retry at the same time.
pub fn backoff(first: Duration, tries: usize) -> Duration {
    let doubled = first.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    doubled.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Parses the value of `Retry-After`, which is in seconds or a date.
pub fn after(value: &str) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = DateTimeParser::new().relaxed_weekday(true).parse_timestamp(value).ok()?;
            Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()
        }
    };
    Some(wait.min(AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_differ() {
        let first = Duration::from_millis(100);
        for (tries, most) in [(1, 100), (2, 200), (4, 800), (60, 10_000)] {
            let most = Duration::from_millis(most);
            let waits: Vec<_> = (0..50).map(|_| backoff(first, tries)).collect();
            assert!(waits.iter().all(|wait| *wait <= most && *wait >= most / 2), "{waits:?}");
            assert!(waits.iter().any(|wait| *wait != waits[0]));
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_is_believed_up_to_a_bound() {
        assert_eq!(after("3"), Some(Duration::from_secs(3)));
        assert_eq!(after(" 0 "), Some(Duration::ZERO));
        assert_eq!(after("86400"), Some(AFTER_MAX));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("Wed, 21 Oct 2099 07:28:00 GMT"), Some(AFTER_MAX));
        assert_eq!((after("soon"), after("-1"), after("")), (None, None, None));
    }
}
