//! The indexed files as resources: `file:` URIs.

use std::sync::Arc;

use rmcp::ErrorData;
use rmcp::model::{
    ListResourcesResult, ReadResourceResult, Resource, ResourceContents, ResourceTemplate,
};

use crate::base::error::{Error, ErrorKind, Result};
use crate::tools::App;
use crate::tools::resources::{self, FilePage};

/// Files of one page.
const PAGE: usize = 200;

pub(super) fn template() -> ResourceTemplate {
    ResourceTemplate::new("file:///{path}", "indexed file")
        .with_title("A file of the index")
        .with_description("The text of an indexed file, by its absolute path")
        .with_mime_type("text/plain")
}

pub(super) fn list(app: &App, cursor: Option<&str>) -> Result<ListResourcesResult, Arc<Error>> {
    let FilePage { files, next_cursor } = resources::list(app, cursor, PAGE)?;
    let described = files.into_iter().map(|file| {
        Resource::new(file.uri, file.path)
            .with_mime_type("text/plain")
            .with_size(file.size_bytes)
            .with_description(file.language)
    });
    let mut result = ListResourcesResult::with_all_items(described.collect());
    result.next_cursor = next_cursor;
    Ok(result)
}

pub(super) fn read(app: &App, uri: &str) -> Result<ReadResourceResult, Arc<Error>> {
    let text = resources::read(app, uri)?;
    let contents = ResourceContents::text(text, uri);
    Ok(ReadResourceResult::new(vec![contents]))
}

/// The protocol's error for a failure without a tool result.
pub(super) fn error_data(error: &Error) -> ErrorData {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::PathNotFound => ErrorData::resource_not_found(message, None),
        ErrorKind::InvalidParameter => ErrorData::invalid_params(message, None),
        _ => ErrorData::internal_error(message, None),
    }
}
