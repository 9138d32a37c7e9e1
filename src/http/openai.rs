//! The OpenAI dialect: `POST /v1/embeddings`, compatible with OpenAI's clients.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::request::{self, JsonBody, RequestHead};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::telemetry::RunContext;
use crate::tools::App;
use crate::tools::embed::{self, EmbedAnswer, EmbedInput};

/// The body of a request. OpenAI's fields that have no effect, such as `user`, are accepted.
#[derive(Deserialize)]
pub struct EmbeddingsRequest {
    /// A text or a list of texts.
    input: InputTexts,
    /// The loaded model's name; any model if absent.
    model: Option<String>,
    #[serde(default)]
    encoding_format: EncodingFormat,
    /// 1 to the dimension of the model; all of them if absent.
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum InputTexts {
    One(String),
    Many(Vec<String>),
    Other(Value),
}

/// The encoding of a vector.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum EncodingFormat {
    #[default]
    Float,
    /// The values as little-endian f32, in base64.
    Base64,
}

impl EmbeddingsRequest {
    fn into_input(self) -> Result<EmbedInput> {
        let texts = match self.input {
            InputTexts::One(text) => vec![text],
            InputTexts::Many(texts) => texts,
            InputTexts::Other(other) => {
                let value: String = other.to_string().chars().take(80).collect();
                let expected = "a string or a list of strings".to_owned();
                return Err(Error::Argument { name: "input", value, expected });
            }
        };
        Ok(EmbedInput { texts, model: self.model, dimensions: self.dimensions })
    }
}

pub async fn embeddings(
    State(app): State<App>,
    head: RequestHead,
    body: JsonBody<EmbeddingsRequest>,
) -> Response {
    let work = |app: &App, cx: &RunContext| {
        let request = request::parsed(body, app)?;
        let format = request.encoding_format;
        Ok((embed::run(app, request.into_input()?, cx)?, format))
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

/// values: `[d]`.
struct FormattedVector<'a> {
    values: &'a [f32],
    format: EncodingFormat,
}

impl Serialize for FormattedVector<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.format {
            EncodingFormat::Float => self.values.serialize(serializer),
            EncodingFormat::Base64 => {
                let bytes: Vec<u8> = self.values.iter().flat_map(|v| v.to_le_bytes()).collect();
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
            embedding: FormattedVector { values, format },
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
    let message = error.to_string();
    let body =
        json!({ "error": { "message": message, "type": kind, "param": null, "code": code } });
    let mut response = (status, Json(body)).into_response();
    request::add_retry_after(&mut response, error);
    response
}
