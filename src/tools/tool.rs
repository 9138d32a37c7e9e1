//! Tool: an operation that every interface can list, describe and call by its name.

use std::collections::HashSet;
use std::sync::Arc;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{App, BYTES_PER_TOKEN, ToolSpec, estimated_tokens};
use crate::base::error::{Error, Result};
use crate::base::panic::guarded;
use crate::base::telemetry::{RunContext, Savings};

/// Bytes of a wrong value that an error shows.
const VALUE_BYTES_MAX: usize = 80;

/// A JSON object, such as a JSON Schema.
pub type JsonObject = Map<String, Value>;

/// The answer of a tool. Its JSON conforms to its schema.
pub trait ToolAnswer: Serialize + JsonSchema {
    /// The answer for a model to read: compact, with places as `path:line`.
    fn text(&self) -> String;

    /// The files that the answer is about, best first.
    fn links(&self) -> Vec<FileLink> {
        Vec::new()
    }
}

/// A file that a client may open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLink {
    /// An absolute `file:` URI.
    pub uri: String,
    /// The path as the index stores it.
    pub path: String,
}

/// The answer of a tool, in the forms that interfaces send.
#[derive(Debug, Clone)]
pub struct CalledTool {
    pub json: Value,
    pub text: String,
    pub links: Vec<FileLink>,
}

type Call = dyn Fn(&App, JsonObject, &RunContext) -> Result<CalledTool, Arc<Error>> + Send + Sync;

/// One row of the table of tools.
pub struct Tool {
    pub spec: &'static ToolSpec,
    /// JSON Schema 2020-12 of the arguments, an object.
    pub input_schema: Arc<JsonObject>,
    /// JSON Schema 2020-12 of the answer, an object.
    pub output_schema: Arc<JsonObject>,
    call: Box<Call>,
}

impl Tool {
    /// The tool that parses its arguments as `I` and computes its answer with `run`.
    pub(super) fn new<I, A>(
        spec: &'static ToolSpec,
        run: fn(&App, I, &RunContext) -> Result<A, Arc<Error>>,
    ) -> Self
    where
        I: DeserializeOwned + JsonSchema + 'static,
        A: ToolAnswer + 'static,
    {
        let call = move |app: &App, arguments, cx: &RunContext| {
            let input = parse(arguments)?;
            if spec.needs_index {
                app.searcher_when_open(cx)?;
            }
            let answer = run(app, input, cx)?;
            let json = serde_json::to_value(&answer)
                .map_err(Error::library("serde_json", "write the answer of a tool"))?;
            let called = CalledTool { json, text: answer.text(), links: answer.links() };
            if let Some(savings) = savings(app, &called)? {
                cx.set_savings(savings);
            }
            Ok(called)
        };
        Self {
            spec,
            input_schema: Arc::new(input_schema::<I>()),
            output_schema: Arc::new(output_schema::<A>()),
            call: Box::new(call),
        }
    }

    /// Calls the tool with `arguments`.
    pub fn call(
        &self,
        app: &App,
        arguments: JsonObject,
        cx: &RunContext,
    ) -> Result<CalledTool, Arc<Error>> {
        (self.call)(app, arguments, cx)
    }

    /// Calls the tool as the run `cx`, and ends the run.
    pub fn run(
        &self,
        app: &App,
        arguments: JsonObject,
        cx: &RunContext,
    ) -> Result<CalledTool, Arc<Error>> {
        let result = guarded(self.spec.name, || self.call(app, arguments, cx));
        cx.finish(result.as_ref().err().map(|error| &**error));
        result
    }
}

/// The tokens of an answer and of the indexed files that it points to; `None` if it points to none.
fn savings(app: &App, answer: &CalledTool) -> Result<Option<Savings>, Arc<Error>> {
    let paths: HashSet<&str> = answer.links.iter().map(|link| link.path.as_str()).collect();
    if paths.is_empty() {
        return Ok(None);
    }
    let searcher = app.searcher()?;
    let spans = searcher.catalog().file_spans()?.iter();
    let sizes = spans.filter(|span| paths.contains(span.path.as_str())).map(|span| span.size_bytes);
    let bytes = sizes.take(paths.len()).sum::<u64>() as usize;
    Ok(Some(Savings {
        tokens_returned: estimated_tokens(&answer.text),
        tokens_of_files: bytes.div_ceil(BYTES_PER_TOKEN),
        files: paths.len(),
    }))
}

/// Parses the arguments of a tool; those that are null count as absent. An error names the argument.
fn parse<I: DeserializeOwned>(mut arguments: JsonObject) -> Result<I> {
    arguments.retain(|_, value| !value.is_null());
    let arguments = Value::Object(arguments);
    serde_path_to_error::deserialize(&arguments).map_err(|error| {
        let path = error.path().to_string();
        let value = value_at(&arguments, &path).map_or_else(String::new, |value| {
            let text = value.to_string();
            let head = crate::base::text::prefix(&text, VALUE_BYTES_MAX);
            format!(" = {head}{}", if head.len() < text.len() { "…" } else { "" })
        });
        let name = if path == "." { String::new() } else { format!("{path}{value}: ") };
        Error::ToolInput { detail: format!("{name}{}", error.inner()) }
    })
}

/// The value at a path such as `scope.globs[1]`.
fn value_at<'a>(arguments: &'a Value, path: &str) -> Option<&'a Value> {
    path.split(['.', '[', ']']).filter(|part| !part.is_empty()).try_fold(
        arguments,
        |value, part| match part.parse::<usize>() {
            Ok(index) => value.get(index),
            Err(_) => value.get(part),
        },
    )
}

/// The schema of a tool's arguments. It does not offer null for an absent one, because several clients
/// can only describe one type to their model.
fn input_schema<I: JsonSchema>() -> JsonObject {
    let settings = settings().with_transform(RecursiveTransform(without_null));
    object(settings.into_generator().into_root_schema_for::<I>())
}

/// Replaces "T or null" by T.
fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [kind] = &types[..] {
            let kind = kind.clone();
            schema.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(choice)] = &choices[..] {
            let choice = choice.clone();
            schema.remove("anyOf");
            // A description of the argument says more than that of its type.
            for (keyword, value) in choice {
                if schema.get(&keyword).is_none() {
                    schema.insert(keyword, value);
                }
            }
        }
    }
}

/// The schema of a tool's answer, without descriptions: they would cost a model tokens, and the
/// answer says the same.
fn output_schema<A: JsonSchema>() -> JsonObject {
    let settings =
        settings().for_serialize().with_transform(RecursiveTransform(|schema: &mut Schema| {
            schema.remove("description");
        }));
    object(settings.into_generator().into_root_schema_for::<A>())
}

/// JSON Schema 2020-12 without keywords that say nothing which a caller needs.
fn settings() -> SchemaSettings {
    let shorter = RecursiveTransform(|schema: &mut Schema| {
        for keyword in ["title", "format"] {
            schema.remove(keyword);
        }
    });
    let with = |settings: &mut SchemaSettings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    };
    SchemaSettings::draft2020_12().with(with).with_transform(shorter)
}

fn object(schema: Schema) -> JsonObject {
    match schema.to_value() {
        Value::Object(object) => object,
        other => unreachable!("the schema of a struct is an object, not {other}"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Input {
        /// A name.
        name: String,
        #[serde(default)]
        lines: Vec<u32>,
        /// Another one.
        next: Option<String>,
        inner: Option<Inner>,
    }

    /// A part.
    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    struct Inner {
        depth: usize,
    }

    #[test]
    fn a_wrong_argument_is_named_with_its_value() {
        let parse = |arguments| match arguments {
            Value::Object(arguments) => parse::<Input>(arguments),
            other => panic!("{other}"),
        };
        let input = Input { name: "a".to_owned(), lines: vec![], next: None, inner: None };
        assert_eq!(parse(json!({ "name": "a", "lines": null })).unwrap(), input);
        for (arguments, parts) in [
            (json!({ "name": 7 }), &["name = 7", "string"][..]),
            (json!({ "name": "a", "lines": [1, "two"] }), &["lines[1] = \"two\"", "u32"]),
            (json!({ "name": "a", "lins": [] }), &["lins", "lines"]),
            (json!({}), &["missing field `name`"]),
            (json!({ "name": ["x".repeat(9000)] }), &["name = [\"xxx", "…"]),
        ] {
            let message = parse(arguments).unwrap_err().to_string();
            assert!(message.len() < 400, "{message}");
            parts.iter().for_each(|part| assert!(message.contains(part), "{part}: {message}"));
        }
    }

    #[test]
    fn schemas_describe_arguments_and_leave_answers_short() {
        let arguments = Value::Object(input_schema::<Input>());
        assert_eq!(arguments["properties"]["name"]["description"], "A name.");
        assert_eq!(arguments["additionalProperties"], false);
        assert_eq!(arguments["required"], json!(["name"]));
        assert_eq!(arguments["properties"]["lines"]["items"].get("format"), None);
        let next = json!({ "description": "Another one.", "type": "string" });
        assert_eq!(arguments["properties"]["next"], next);
        let inner = &arguments["properties"]["inner"];
        assert_eq!((&inner["type"], inner.get("anyOf")), (&json!("object"), None));
        let answer = Value::Object(output_schema::<Input>());
        assert_eq!(answer["properties"]["name"], json!({ "type": "string" }));
    }
}
