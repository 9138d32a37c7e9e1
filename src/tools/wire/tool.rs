//! The description of a tool, for a program.

use std::sync::Arc;

use serde::Serialize;

use crate::tools::Tool;
use crate::tools::tool::JsonObject;

/// A tool with the JSON Schemas of its arguments and its answer.
#[derive(Serialize)]
pub struct ToolDescription {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    input_schema: Arc<JsonObject>,
    output_schema: Arc<JsonObject>,
}

impl ToolDescription {
    pub fn new(tool: &Tool) -> Self {
        Self {
            name: tool.spec.name,
            title: tool.spec.title,
            description: tool.spec.description,
            input_schema: tool.input_schema.clone(),
            output_schema: tool.output_schema.clone(),
        }
    }
}
