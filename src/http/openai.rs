//! The OpenAI dialect: `POST /v1/embeddings`, compatible with OpenAI's clients.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::json_body::JsonBody;
use super::request::{self, RequestHead};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::telemetry::RunContext;
use crate::batch::{EncodedVector, OutputDtype};
use crate::tools::embed::{self, EmbedAnswer, EmbedInput};
use crate::tools::{App, Fields, FromFields};

/// The body of a request. Fields that have no effect, such as `user`, and those of other servers are
/// accepted.
struct EmbeddingsRequest {
    input: EmbedInput,
    format: EncodingFormat,
}

/// The fields that an error can be about.
const FIELDS: [&str; 6] =
    ["input", "model", "encoding_format", "dimensions", "prompt_name", "output_dtype"];

/// The number formats of a vector, by their names at other servers.
const DTYPES: [(&str, OutputDtype); 5] = [
    ("float", OutputDtype::F32),
    ("int8", OutputDtype::Int8),
    ("uint8", OutputDtype::Uint8),
    ("binary", OutputDtype::Binary),
    ("ubinary", OutputDtype::Ubinary),
];

/// The encoding of a vector.
#[derive(Clone, Copy)]
enum EncodingFormat {
    /// As numbers.
    Float,
    /// The numbers as bytes, little-endian, in base64.
    Base64,
}

impl FromFields for EmbeddingsRequest {
    fn from_fields(mut fields: Fields) -> Result<Self> {
        let formats = [("float", EncodingFormat::Float), ("base64", EncodingFormat::Base64)];
        let texts = fields.texts("input")?.ok_or_else(|| Error::Argument {
            name: "input",
            value: "nothing".to_owned(),
            expected: "a string or a list of strings".to_owned(),
        })?;
        Ok(Self {
            input: EmbedInput {
                texts,
                // Some clients send the name that was not configured as an empty one.
                model: fields.text("model")?.filter(|model| !model.is_empty()),
                dimensions: fields.count("dimensions")?,
                prompt_name: fields.text("prompt_name")?,
                output_dtype: fields.choice("output_dtype", &DTYPES)?.unwrap_or(OutputDtype::F32),
            },
            format: fields.choice("encoding_format", &formats)?.unwrap_or(EncodingFormat::Float),
        })
    }
}

pub async fn embeddings(State(app): State<App>, head: RequestHead, body: JsonBody) -> Response {
    let work = |app: &App, cx: &RunContext| {
        let EmbeddingsRequest { input, format } = body.parse(app)?;
        Ok((embed::run(app, input, cx)?, format))
    };
    match request::run_tool(app, head, &embed::SPEC, work).await {
        // Serialise directly to text: `Value` would widen each f32 to f64 and print additional
        // digits.
        Ok((answer, format)) => Json(EmbeddingList::new(&answer, format)).into_response(),
        Err(error) => from_error(&error),
    }
}

/// The answer to `/v1/embeddings`.
#[derive(Serialize)]
struct EmbeddingList<'a> {
    object: &'static str,
    model: &'a str,
    data: Vec<EmbeddingObject<'a>>,
    usage: Usage,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

#[derive(Serialize)]
struct EmbeddingObject<'a> {
    object: &'static str,
    index: usize,
    embedding: FormattedVector<'a>,
}

struct FormattedVector<'a> {
    values: EncodedVector<'a>,
    format: EncodingFormat,
}

impl Serialize for FormattedVector<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.format {
            EncodingFormat::Float => self.values.serialize(serializer),
            EncodingFormat::Base64 => {
                let mut bytes = Vec::new();
                self.values.append_bytes(&mut bytes);
                serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(bytes))
            }
        }
    }
}

impl<'a> EmbeddingList<'a> {
    fn new(answer: &'a EmbedAnswer, format: EncodingFormat) -> Self {
        let vectors = answer.vectors.rows().enumerate();
        let data = vectors.map(|(index, values)| EmbeddingObject {
            object: "embedding",
            index,
            embedding: FormattedVector { values: answer.format.encode(values), format },
        });
        Self {
            object: "list",
            model: &answer.model,
            data: data.collect(),
            usage: Usage { prompt_tokens: answer.tokens, total_tokens: answer.tokens },
        }
    }
}

/// The response to a failed request. A model that is not loaded is status 404 in this dialect.
fn from_error(error: &Error) -> Response {
    let (status, code) = match error {
        Error::Argument { name: "model", .. } => {
            (StatusCode::NOT_FOUND, ErrorKind::ModelMissing.code())
        }
        error => (request::status(error), error.kind().code()),
    };
    let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
    let param = match error {
        Error::Argument { name, .. } => FIELDS.iter().find(|field| *field == name),
        _ => None,
    };
    let message = error.to_string();
    let body =
        json!({ "error": { "message": message, "type": kind, "param": param, "code": code } });
    let mut response = (status, Json(body)).into_response();
    request::add_retry_after(&mut response, error);
    response
}
