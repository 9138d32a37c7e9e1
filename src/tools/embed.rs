//! The embedding tool: texts in, vectors of the loaded model out.

use std::sync::Arc;

use super::{App, ToolSpec};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::base::vector::Matrix;
use crate::batch::{OutputDtype, Ranges, VectorFormat};
use crate::embedding::engine::{EmbedRequest, PromptKind};
use crate::embedding::models::answers_to;

/// Requests of at most this many texts go before bulk work.
const INTERACTIVE_TEXTS_MAX: usize = 4;

pub const SPEC: ToolSpec = ToolSpec {
    name: "embed",
    title: "Embed texts",
    description: "Compute the vectors of texts with the loaded model.",
    label: Tool::Embeddings,
    planned: &[],
    deadline_ms: |_| None,
    is_read_only: true,
    needs_index: false,
    needs_engine: true,
};

/// Texts to embed. Each dialect of HTTP spells this in its own way.
#[derive(Debug, Clone)]
pub struct EmbedInput {
    /// 1 to `serve.items_max` texts, none empty.
    pub texts: Vec<String>,
    /// The name of the model that must answer; any model if absent.
    pub model: Option<String>,
    /// Values of each vector to keep, 1 to the dimension of the model; all of them if absent.
    pub dimensions: Option<usize>,
    /// The name of the model's prompt that is put before each text; none if absent.
    pub prompt_name: Option<String>,
    pub output_dtype: OutputDtype,
}

/// Vectors, in the order of the texts.
pub struct EmbedAnswer {
    pub model: String,
    /// `[texts, dimensions]`
    pub vectors: Matrix,
    pub format: VectorFormat,
    /// Tokens of all texts, special tokens included.
    pub tokens: usize,
}

pub fn run(app: &App, input: EmbedInput, cx: &RunContext) -> Result<EmbedAnswer, Arc<Error>> {
    check_texts(&input.texts, app.settings().serve.items_max)?;
    let engine = app.engine_when_started(cx)?;
    let identity = engine.identity();
    if let Some(model) = input.model.filter(|model| !answers_to(&identity.name, model)) {
        let expected = format!("{}, the model that is loaded", identity.name);
        return Err(Error::Argument { name: "model", value: model, expected }.into());
    }
    let dimensions = identity.dimensions(input.dimensions)?;
    let ranges = if input.output_dtype.has_ranges() { ranges(app)? } else { None };
    let format = VectorFormat::new(input.output_dtype, ranges, dimensions)?;
    let prompt = match &input.prompt_name {
        Some(name) => PromptKind::Text(engine.prompt_named(name)?),
        None => PromptKind::None,
    };
    let texts: Vec<&str> = input.texts.iter().map(String::as_str).collect();
    let request = if texts.len() <= INTERACTIVE_TEXTS_MAX {
        EmbedRequest::query(&texts, prompt)
    } else {
        EmbedRequest::bulk(&texts, prompt)
    };
    let embeddings = engine.embed(request, cx)?.cut(dimensions, identity);
    let (vectors, tokens) = (embeddings.vectors, embeddings.tokens);
    Ok(EmbedAnswer { model: identity.name.clone(), vectors, format, tokens })
}

/// What is wrong with a file of the server is not the client's mistake.
fn ranges(app: &App) -> Result<Option<Arc<Ranges>>> {
    app.ranges().map_err(|error| Error::Unavailable {
        what: "the calibration of 8-bit vectors".to_owned(),
        remedy: error.to_string(),
    })
}

fn check_texts(texts: &[String], n_max: usize) -> Result<()> {
    let refuse =
        |value: String, expected: String| Err(Error::Argument { name: "input", value, expected });
    if !(1..=n_max).contains(&texts.len()) {
        return refuse(format!("{} texts", texts.len()), format!("1 to {n_max} texts"));
    }
    match texts.iter().position(String::is_empty) {
        Some(empty) => refuse(format!("an empty text at position {empty}"), "some text".to_owned()),
        None => Ok(()),
    }
}
