//! JsonBody: the body of a request, which is JSON.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};

use crate::base::error::{Error, Result};
use crate::tools::{App, Fields, FromFields};

/// The body of a request as it arrived, or why it did not. The run of the request parses it, so that a
/// refusal is a run too.
pub struct JsonBody {
    content_type: String,
    bytes: std::result::Result<Bytes, BytesRejection>,
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Infallible> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()));
        let content_type = content_type.unwrap_or_default().into_owned();
        Ok(Self { content_type, bytes: Bytes::from_request(request, state).await })
    }
}

impl JsonBody {
    pub fn parse<T: FromFields>(self, app: &App) -> Result<T> {
        let bytes = self.bytes.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                return Error::BodyTooLarge { bytes_max: app.settings().serve.body_bytes_max };
            }
            let expected = "a whole JSON object".to_owned();
            Error::Argument { name: "body", value: rejection.body_text(), expected }
        })?;
        // A page of another site cannot send this type without being asked first.
        if !self.content_type.to_ascii_lowercase().contains("json") {
            let (name, expected) = ("Content-Type", "application/json".to_owned());
            return Err(Error::Argument {
                name,
                value: format!("{:?}", self.content_type),
                expected,
            });
        }
        T::from_fields(Fields::parse(&bytes)?)
    }
}
