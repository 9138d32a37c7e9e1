//! Panics that become errors, with their text.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::Error;

/// Runs `work`. A panic becomes an internal error of `what` that holds its text, and is logged.
pub fn guarded<T, E: From<Error>>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let error = panicked(what, &*payload);
        tracing::error!(%error, "a panic was caught");
        Err(error.into())
    })
}

/// The error for a caught panic. payload: what `catch_unwind` returned.
pub fn panicked(what: &'static str, payload: &(dyn Any + Send)) -> Error {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let detail = match text {
        Some(text) => format!("it panicked: {text}"),
        None => "it panicked without a message".to_owned(),
    };
    Error::Internal { what, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(work: impl FnOnce()) -> String {
        let caught = guarded("a part", || {
            work();
            Ok::<(), Error>(())
        });
        caught.unwrap_err().to_string()
    }

    #[test]
    fn the_text_of_a_panic_is_in_the_error() {
        let index = 3;
        for (error, text) in [
            (error_of(|| panic!("a fixed text")), "in a part: it panicked: a fixed text"),
            (error_of(|| panic!("no row {index}")), "in a part: it panicked: no row 3"),
            (error_of(|| std::panic::panic_any(7_u32)), "it panicked without a message"),
        ] {
            assert!(error.contains(text), "{error}");
        }
        assert_eq!(guarded("a part", || Ok::<_, Error>(7)).unwrap(), 7);
    }
}
