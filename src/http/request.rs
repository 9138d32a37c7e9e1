//! Execution of a tool for a request, and the parts that all dialects share.
//!
//! A tool runs outside the async threads and is cancelled when the client disconnects.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::slots::Slots;
use crate::base::error::{Error, Result};
use crate::base::panic::guarded;
use crate::base::telemetry::{Caller, RunContext, TIMEOUT_HEADER, TIMEOUT_MS_MAX};
use crate::tools::{App, ToolSpec};

/// OpenAI's clients read this header before Retry-After.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Characters of a wrong header value that an error shows.
const VALUE_CHARS_MAX: usize = 80;

/// The head of a request to a tool, which is read before its body.
pub struct RequestHead {
    caller: Caller,
    /// The value of the header X-Request-Timeout-Ms.
    timeout_ms: Result<Option<u64>>,
    /// `None` if the router has no limit.
    slots: Option<Arc<Slots>>,
}

impl<S: Sync> FromRequestParts<S> for RequestHead {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_else(Caller::nobody);
        let slots = parts.extensions.get::<Arc<Slots>>().cloned();
        Ok(Self { caller, timeout_ms: timeout_ms(&parts.headers), slots })
    }
}

/// The value of the header X-Request-Timeout-Ms, if it is there.
fn timeout_ms(headers: &HeaderMap) -> Result<Option<u64>> {
    let mut values = headers.get_all(TIMEOUT_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let digits = Some(text.trim()).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let ms = digits.and_then(|digits| digits.parse().ok());
    let is_repeated = values.any(|other| other != value);
    match ms.filter(|ms| (1..=TIMEOUT_MS_MAX).contains(ms) && !is_repeated) {
        Some(ms) => Ok(Some(ms)),
        None => Err(Error::Argument {
            name: "X-Request-Timeout-Ms",
            value: if is_repeated { "several values".to_owned() } else { shown(&text) },
            expected: format!("whole milliseconds, 1 to {TIMEOUT_MS_MAX}"),
        }),
    }
}

/// The head of a wrong value, in quotes, for an error.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(VALUE_CHARS_MAX).collect::<String>())
}

/// Cancels the run when its request is dropped because the client closed the connection.
struct CancelOnDrop(RunContext);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs a tool as `work` on a thread of its own and ends its run. A panic fails only this request.
///
/// The deadline of the run counts from the arrival of the request. `work` is not begun after it.
pub async fn run_tool<T: Send + 'static>(
    app: App,
    head: RequestHead,
    spec: &'static ToolSpec,
    work: impl FnOnce(&App, &RunContext) -> Result<T, Arc<Error>> + Send + 'static,
) -> Result<T, Arc<Error>> {
    let RequestHead { caller, timeout_ms, slots } = head;
    let cx = spec.begin(&app, caller, *timeout_ms.as_ref().unwrap_or(&None));
    let _cancel = CancelOnDrop(cx.clone());
    let slot = slots.map(|slots| slots.take(spec.name)).transpose();
    let internal = |detail: String| Arc::new(Error::Internal { what: "request", detail });
    let run = move || {
        let result = guarded(spec.name, || {
            timeout_ms?;
            let _slot = slot?;
            cx.check_wanted("the request")?;
            work(&app, &cx)
        });
        cx.finish(result.as_ref().err().map(|error| &**error));
        result
    };
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|e| Err(internal(e.to_string())))
}

/// The HTTP status of a failed request.
pub fn status(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Adds the time to retry after, if `error` has one, in whole seconds and also in milliseconds for
/// clients that read that header.
pub fn add_retry_after(response: &mut Response, error: &Error) {
    let ms = match error {
        Error::Overloaded { retry_ms, .. } => retry_ms.unwrap_or(1000),
        Error::IndexBuilding { retry_ms, .. } => *retry_ms,
        _ => return,
    };
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000).max(1)));
    headers.insert(RETRY_AFTER_MS, HeaderValue::from(ms));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&[u8]]) -> Result<Option<u64>> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(HeaderName::from_static(TIMEOUT_HEADER), value);
        }
        timeout_ms(&headers)
    }

    #[test]
    fn a_timeout_is_whole_milliseconds_within_bounds_and_said_once() {
        assert_eq!(read(&[]).unwrap(), None);
        for (text, ms) in [("1", 1), ("250", 250), ("0042 ", 42), ("600000", 600_000)] {
            assert_eq!(read(&[text.as_bytes()]).unwrap(), Some(ms), "{text}");
        }
        assert_eq!(read(&[b"5", b"5"]).unwrap(), Some(5));
        let long = "9".repeat(4000);
        for (values, shown) in [
            (&["0"][..], "\"0\""),
            (&["-1"], "-1"),
            (&["+5"], "+5"),
            (&["1.5"], "1.5"),
            (&["1e3"], "1e3"),
            (&["5s"], "5s"),
            (&[""], "\"\""),
            (&["600001"], "600001"),
            (&["18446744073709551616"], "18446744073709551616"),
            (&[long.as_str()], "999"),
            (&["5", "6"], "several values"),
            (&["5, 6"], "5, 6"),
        ] {
            let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            let error = read(&values).unwrap_err();
            assert_eq!(status(&error), StatusCode::BAD_REQUEST);
            let message = error.to_string();
            for part in ["X-Request-Timeout-Ms", shown, "1 to 600000"] {
                assert!(message.contains(part), "{part}: {message}");
            }
            assert!(message.len() < 300, "{message}");
        }
        assert!(read(&[b"\xff\xfe"]).is_err());
    }
}
