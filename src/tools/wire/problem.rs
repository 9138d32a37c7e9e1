//! A failure as RFC 9457 problem details.

use serde::Serialize;

use crate::base::error::Error;

/// A problem document.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    pub uri: String,
    pub title: &'static str,
    pub status: u16,
    pub detail: String,
    pub code: &'static str,
}

impl Problem {
    pub fn new(error: &Error) -> Self {
        let kind = error.kind();
        Self::with(kind.http_status(), kind.code(), error.to_string())
    }

    /// A problem that is no [`Error`] of this crate.
    pub fn with(status: u16, code: &'static str, detail: String) -> Self {
        let uri = format!("urn:codeintel:problem:{code}");
        Self { uri, title: code, status, detail, code }
    }
}
